"""What a store tells: readers and listeners of what has happened to jobs, and the engine of what it may have to do."""

from collections.abc import Collection
from typing import Protocol

from servicekit.jobs.events import JobEvent
from servicekit.jobs.record import JobRecord
from servicekit.jobs.workers import Readiness


class EventPublisher(Protocol):
    """Takes what this process has done to jobs, and passes it on.

    It belongs to the event loop, unless a member says otherwise: a store that writes in a thread of its own comes back
    to the loop before it calls. Nothing here waits, and nothing raises.
    """

    @property
    def is_idle(self) -> bool:
        """Whether no event of any job would reach anybody. May be asked from any thread."""
        ...

    def is_watched(self, job_id: str) -> bool:
        """Whether an event about this job, made by this process, would reach anybody. If not, it need not be made."""
        ...

    def publish(self, event: JobEvent) -> None:
        """Pass on a change of one job: to the job's readers, and to those who count events.

        The store publishes after the change is kept, and before it answers the call, if it can. In the order of the
        record's versions it publishes:

        - each change of status, with `is_transition`; that a job was inserted is the first. A reader relies on each;
        - each other change of a record (progress, a request to stop) without it. A newer event replaces an older one;
        - the deletion of a job, as an event without a record.

        An event that `is_watched` does not want need not be made.
        """
        ...

    def notify(self) -> None:
        """Something has happened to some job, whichever process did it: `JobChanges.get_position` is another one now.

        Readers of all jobs look for themselves. One call for many changes will do, soon after them.
        """
        ...

    def notify_log(self, job_id: str | None) -> None:
        """This job has new lines in its log, whichever process added them; `None`: any job may have."""
        ...


class EventRelay(EventPublisher, Protocol):
    """Takes what other processes have done to jobs as well: for a store that several processes share."""

    @property
    def has_readers(self) -> bool:
        """Whether somebody reads the events of some job, or of all. May be asked from any thread.

        While nobody does, the store need not look often for what other processes have done.
        """
        ...

    @property
    def followed(self) -> Collection[str]:
        """The jobs that somebody reads the events of, as it is now: copy it to go through it while others may come.

        Events of other jobs need not be made.
        """
        ...

    def relay(self, event: JobEvent) -> None:
        """Pass on what another process has done: to the job's readers, and not to those who count events.

        The order and what is said of each change are those of `publish`. The same event may come twice.
        """
        ...

    def begin_anew(self) -> None:
        """What was said of jobs until now may never have been: the store has lost its newest changes.

        Of each job its present record comes next, also if its version was lower than one that was told.
        """
        ...


class JobSignals(Protocol):
    """What a store tells the engine of this process, on its event loop, and what it may ask it there.

    `StoreLiveness.open` gives it to the store. Nothing here waits, and nothing raises.
    """

    def wake(self) -> None:
        """There may be something to claim. To wake for nothing does no harm.

        The engine knows what it inserts and what it ends. It is woken for what becomes ready otherwise: by time, by a
        slot of a concurrency key, a retry, a repetition, a schedule, a queue that goes on, a rescue, or by what another
        process does.
        """
        ...

    @property
    def is_stopping(self) -> bool:
        """Whether the process has been told to stop."""
        ...

    @property
    def readiness(self) -> Readiness:
        """What kinds of jobs this process can run now. It may be another answer each time, and takes no time."""
        ...

    def is_running(self, job_id: str, attempt: int) -> bool:
        """Whether this process works on that attempt."""
        ...

    def hear_of_failure(self, record: JobRecord) -> None:
        """The store has failed this job: it waited too long, or nobody is left that could run it. For the log."""
        ...

    def cancel(self, job_id: str) -> None:
        """The job was asked to stop, or deleted, by another process; it may be running here.

        What this process's engine has asked for itself need not be told it.
        """
        ...

    def keep_only(self, held: Collection[tuple[str, int]]) -> None:
        """Of all jobs, this process holds these attempts alone, as the store has it: stop others that run here."""
        ...

    def stop_attempts(self, *, are_lost: bool) -> None:
        """Others may take over what this process runs: ask all of it to stop that others can run.

        It is asked as when the process stops, work outside of this process is killed soon after, and the jobs are given
        back if that can still be written. What is claimed later is not meant. `are_lost`: others have done so, and no
        end counts any more. Then all is asked to stop.
        """
        ...
