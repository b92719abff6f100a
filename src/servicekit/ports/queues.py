"""The queues, as they are looked at and paused."""

from typing import Protocol

from servicekit.jobs.queues import QueueRecord


class QueueStore(Protocol):
    """Tells of queues, and pauses them. What holds for all parts is in `ports.store`.

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
