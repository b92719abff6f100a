"""The queues, and the processes that work on them, as operators look at them."""

from typing import Protocol

from servicekit.jobs.queues import QueueRecord
from servicekit.jobs.workers import WorkerRecord


class QueueStore(Protocol):
    """Tells of queues and of who works on them, and pauses queues. What holds for all parts is in `ports.store`.

    Nobody makes a queue: it is there when a job names it, and may be forgotten when there is nothing to say of it.
    """

    async def list_queues(self) -> list[QueueRecord]:
        """The queues that have jobs pending or running, or are paused, by name.

        A deleted job counts for as long as it still runs. `max_concurrency` is not for the store to say.
        """
        ...

    async def set_queue_paused(self, name: str, *, is_paused: bool) -> None:
        """Let no job of the queue be claimed, or let them be again: in all processes, until it is said otherwise.

        A durable store keeps that over restarts. A queue can be paused before it has jobs. What runs goes on. When the
        queue goes on, the worker is woken.
        """
        ...

    async def list_workers(self) -> list[WorkerRecord]:
        """The processes that are alive, as in `StoreLiveness`, with how many jobs each runs; the oldest first.

        One that has died is left out as soon as the store knows it, also while its jobs are still to be taken over. The
        cost does not grow with the number of jobs that are kept. A store in memory tells of its own process, and of
        none when it is closed. What each can run is as new as its last `StoreLiveness.rescue`.
        """
        ...
