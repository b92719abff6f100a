"""A store on a database, put together from its parts."""

from servicekit.jobs.query import SCAN_LIMIT
from servicekit.jobs.retention import Retention
from servicekit.ports import (
    ActivityStore,
    AttemptStore,
    EventRelay,
    JobChanges,
    JobReads,
    QueueStore,
    ScheduleStore,
    StoreLiveness,
    SubmissionStore,
)
from servicekit.stores.durable.activity import DurableActivity
from servicekit.stores.durable.attempts import DurableAttempts
from servicekit.stores.durable.changes import DurableChanges
from servicekit.stores.durable.database import Database
from servicekit.stores.durable.liveness import DurableLiveness
from servicekit.stores.durable.queues import DurableQueues
from servicekit.stores.durable.reads import DurableReads
from servicekit.stores.durable.schedules import DurableSchedules
from servicekit.stores.durable.session import StoreSession
from servicekit.stores.durable.statements import Statements
from servicekit.stores.durable.submissions import DurableSubmissions


class DurableStore:
    """A `JobStore` whose jobs outlive their process. The page of a database's package has its promises."""

    def __init__(
        self,
        database: Database,
        statements: Statements,
        publisher: EventRelay,
        retention: Retention,
        *,
        max_pending: int | None = None,
        scan_limit: int = SCAN_LIMIT,
        service: str | None = None,
    ) -> None:
        session = StoreSession(database, statements, publisher)
        liveness = DurableLiveness(session, retention, service)
        self.location = database.location
        self.submissions: SubmissionStore = DurableSubmissions(session, max_pending)
        self.attempts: AttemptStore = DurableAttempts(session, retention, liveness.join_again)
        self.reads: JobReads = DurableReads(session, scan_limit)
        self.changes: JobChanges = DurableChanges(session)
        self.queues: QueueStore = DurableQueues(session)
        self.schedules: ScheduleStore = DurableSchedules(session, max_pending)
        self.activity: ActivityStore = DurableActivity(session)
        self.liveness: StoreLiveness = liveness
