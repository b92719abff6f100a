"""The store, as the sum of its parts."""

from typing import Protocol

from servicekit.ports.attempts import AttemptStore
from servicekit.ports.changes import JobChanges
from servicekit.ports.liveness import StoreLiveness
from servicekit.ports.queues import QueueStore
from servicekit.ports.reads import JobReads
from servicekit.ports.schedules import ScheduleStore
from servicekit.ports.submissions import SubmissionStore


class JobStore(Protocol):
    """Keeps jobs, and publishes every change of theirs. Whoever needs one part of it is given that part.

    Every method of a part is atomic, and all parts are about the same jobs. A change of status is made only if the
    table in `servicekit.jobs.status` allows it.
    """

    @property
    def location(self) -> str:
        """Where the jobs are kept, for people: the full path of the file, or `memory://`."""
        ...

    @property
    def submissions(self) -> SubmissionStore: ...

    @property
    def attempts(self) -> AttemptStore: ...

    @property
    def reads(self) -> JobReads: ...

    @property
    def changes(self) -> JobChanges: ...

    @property
    def queues(self) -> QueueStore: ...

    @property
    def schedules(self) -> ScheduleStore: ...

    @property
    def liveness(self) -> StoreLiveness: ...
