"""This process at work on the store, and what dead processes and old jobs leave behind."""

from datetime import datetime
from typing import Protocol

from servicekit.ports.events import JobSignals


class Notice(str):
    """What is wrong, in the answer of a health check, though the service can work."""

    __slots__ = ()


class StoreLiveness(Protocol):
    """Opens and closes the store for this process, and cleans up. What holds for all parts is in `ports.store`.

    A process claims under a name of its own, which no other process ever has. It is alive from `open` until `close`, or
    until the store knows that it has died: by a lock that the operating system frees, or by a lease that has run out.
    A process that is merely slow is not dead. One that was taken for dead must find that out before it writes anything,
    stop its attempts (`JobSignals.stop_attempts`), and join anew. One whose lease has run out stops them before any
    other can find that, and claims nothing (`StoreUnavailable`) until it has renewed its lease, or joined anew.
    """

    @property
    def is_durable(self) -> bool:
        """Whether what is kept outlives this process; then other processes may work on the same jobs as well."""
        ...

    def now(self) -> datetime:
        """The time in UTC, the same for all processes that work on these jobs, wherever they run.

        Every moment that the engine gives to the store, or compares with one from there, is of this time: retries,
        ticks, what is due. The store writes no other, but for the times in ids and of log lines, which come from the
        machine where they were made. It is called often and does not wait: a store with a server keeps the offset of
        this machine's clock. Waiting is done by the clock (`Clock.sleep`).
        """
        ...

    async def open(self, signals: JobSignals) -> None:
        """Begin to work for the engine on this event loop: after `close` again, and on another loop if need be.

        A durable store can be asked from then on. `StoreUnavailable` if jobs cannot be kept there; then nothing is left
        open.

        - What is open on this loop already only gets the new `signals`. What is open on another loop, which has ended,
          is closed there first. A forked child leaves alone what its parent has opened, and is a process of its own.
        - The store and the engine agree on what runs here. A job that this process has claimed and the engine does not
          work on (`JobSignals.is_running`) is given back as not begun. One that the engine works on and that was
          canceled or deleted meanwhile is told to it (`JobSignals.cancel`).
        - What dead processes have left is rescued, once, before this returns.
        - `QueueStore.list_workers` of every process tells what kinds of jobs this one can run (`JobSignals.readiness`).
        """
        ...

    async def rescue(self) -> None:
        """Take over the jobs of processes that have died. The engine asks every 0.6 seconds if the store is durable.

        An attempt of such a process ends as lost (`endings.LOST`, like `AttemptStore.end_attempt`): the job is ready
        again, or has failed. `AttemptFacts.lost_attempts` counts all but those that ended with a `RETRY` and those that
        cost nothing (`Outcome.is_spared`). A pending job that only the dead process could have run ends
        (`end_abandoned`).

        The engine hears of each failure (`hear_of_failure`), and the worker is woken. If two processes do this at the
        same time, each job is taken once. If one dies over it, another goes on. A large number is taken in steps.

        What a dead process has run on a cluster may go on for a while: its jobs are taken over `GONE_SECONDS` after its
        death was seen, if such a job is among them.

        If `JobSignals.readiness` has changed, that is written as well, and nothing if it has not.
        """
        ...

    async def prune(self, limit: int) -> bool:
        """Drop up to `limit` ended jobs that retention does not allow; say whether there may be more.

        The oldest go first, by the time of their end; of jobs with the same time, any. Statuses with bounds of their
        own count by themselves. A store may drop sooner what is too much. Nothing is published: it is no change.
        """
        ...

    async def find_problem(self) -> str | None:
        """Try to write and to read. What is wrong, in words for clients that need not know the place, or `None`.

        It is a `Notice` if jobs are accepted and run all the same.

        It answers within seconds, whatever is wrong, and raises nothing.
        """
        ...

    async def retire(self) -> None:
        """This process claims no more jobs: end the pending jobs that would be lost with it (`end_abandoned`).

        Its attempts go on, and their ends can still be written. If the store does not answer nothing is raised: the
        rescuer of this process ends these jobs.
        """
        ...

    async def close(self) -> None:
        """Leave in order, after `retire` and after the attempts of this process, and let go of everything.

        An attempt that was not ended by then is given back as not begun, unless the engine still works on it. In a
        store that forgets, such a job ends as in `retire`, and can still be read. A durable store that is closed raises
        `StoreUnavailable` when it is asked. To close what is not open does nothing.
        """
        ...
