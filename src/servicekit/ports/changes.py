"""What has changed, of all jobs in one order."""

from typing import Protocol

from servicekit.jobs.query import ChangePage


class JobChanges(Protocol):
    """Tells what has become of jobs since a position. `StoreUnavailable` if the store does not answer.

    All changes of all jobs, whichever process made them, have one order, and each has a position in it that is larger
    than those before. A reader that has read up to a position has missed nothing before it, also if it reads on after
    a restart or at another process.
    """

    async def list_changes(self, after: int, limit: int) -> ChangePage | None:
        """What jobs have become since the position `after`, each job once, in order of its newest change.

        Looks at no more than `limit` changes. A deleted job is a change without a record; one that retention has
        dropped is none. `None` if what happened then is no longer known, or the position never was.
        """
        ...

    async def get_position(self) -> int:
        """The position of the newest change of any job."""
        ...
