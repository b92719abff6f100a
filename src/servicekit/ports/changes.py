"""What has changed, of all jobs in one order."""

from typing import Protocol

from servicekit.jobs.query import ChangePage


class JobChanges(Protocol):
    """Tells what has become of jobs since a position. What holds for all parts is in `ports.store`.

    All changes of all jobs, whichever process made them, are in one order, and each has a position above those before.
    A change is seen only when all before it can be seen: a reader that has read up to a position has missed nothing
    before it. A durable store's positions count on after a restart and at each of its processes. A position of a store
    that has forgotten everything must not be taken for a new one.
    """

    async def list_changes(self, after: int, limit: int) -> ChangePage | None:
        """What jobs have become since the position `after`, each job once, in the order of its newest change.

        Looks at the `limit` changes after that position. A change has the record of now, and no record if the job is
        not kept any more. A deletion has the owner of its job. What retention drops is no change. `None` if the changes
        that follow `after` are not all kept any more, or `after` has not come yet: the reader begins again with the
        present.
        """
        ...

    async def get_position(self) -> int:
        """The position of the newest change of any job. A store without changes has one, too."""
        ...
