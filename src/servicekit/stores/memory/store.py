"""The store in memory, put together from its parts."""

from servicekit.jobs.query import SCAN_LIMIT
from servicekit.jobs.retention import Retention
from servicekit.ports import (
    ActivityStore,
    AttemptStore,
    Clock,
    EventPublisher,
    JobChanges,
    JobReads,
    QueueStore,
    ScheduleStore,
    StoreLiveness,
    SubmissionStore,
)
from servicekit.stores.memory.activity import MemoryActivity
from servicekit.stores.memory.attempts import MemoryAttempts
from servicekit.stores.memory.changes import MemoryChanges
from servicekit.stores.memory.kept_jobs import KeptJobs
from servicekit.stores.memory.liveness import MemoryLiveness
from servicekit.stores.memory.queues import MemoryQueues
from servicekit.stores.memory.reads import MemoryReads
from servicekit.stores.memory.schedules import MemorySchedules
from servicekit.stores.memory.submissions import MemorySubmissions


class MemoryStore:
    """A `JobStore` that forgets everything with its process."""

    def __init__(
        self,
        publisher: EventPublisher,
        clock: Clock,
        retention: Retention,
        *,
        scan_limit: int = SCAN_LIMIT,
        max_pending: int | None = None,
    ) -> None:
        self.kept = kept = KeptJobs(publisher, clock, retention, max_pending=max_pending)
        """Internal: the state that the parts share."""
        self.location = "memory://"
        self.submissions: SubmissionStore = MemorySubmissions(kept)
        self.attempts: AttemptStore = MemoryAttempts(kept)
        self.reads: JobReads = MemoryReads(kept, scan_limit)
        self.changes: JobChanges = MemoryChanges(kept)
        self.queues: QueueStore = MemoryQueues(kept)
        self.schedules: ScheduleStore = MemorySchedules(kept)
        self.activity: ActivityStore = MemoryActivity(kept.now)
        self.liveness: StoreLiveness = MemoryLiveness(kept, self.attempts)
