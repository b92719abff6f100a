"""The store: its parts, and what holds for all of them.

Guarantees.

- Every method is atomic: another process, and a crash at any moment, sees all of it or nothing. What was acknowledged
  is kept; a durable store has it on the disk by then.
- `StoreUnavailable` if the store does not answer. Whether the call was carried out is not known then. The engine
  repeats only calls that bear it; a caller repeats an insert with an idempotency key.
- A status changes only as the table in `jobs.status` allows it, and a terminal status never changes. Each change of a
  record makes its `version` one more, from 1, and gives the job a new position (`JobChanges`). A call that changes
  nothing publishes nothing.
- Times are those of `StoreLiveness.now`. If that was set back, a job has still not begun before it was submitted, and
  not ended before it began: the later moment is written.
- What no other process can run (`jobs.restartable.describe_call` gives a `CallProblem`) is run by the process that has
  accepted it, and is lost with it.

What is decided elsewhere, once for all stores.

    which change of status is legal               jobs.status.move_of
    when a job may start, and may wait            JobOptions.scheduled_at, has_times, queue_timeout
    whether a key was used for another call       jobs.idempotency.FirstUse, jobs.restartable.fingerprint
    how a call is written and made again          jobs.restartable: describe_call, as_accepted, load_call
    what becomes of an attempt, or of a job that  jobs.endings: decide_end, end_process, end_abandoned, end_expired,
    waited too long or that nobody can run        end_unreadable
    what a repetition has of its job              jobs.options.options_of_repetition
    what becomes of a tick, and what its job has  jobs.schedules.judge_tick, options_of_tick
    how much history is kept                      jobs.record: MAX_PAST_ATTEMPTS, MAX_TRANSITIONS
    what is kept of ended jobs                    jobs.retention.Retention
    which jobs a filter means                     jobs.query.JobFilter
    how results are written                       jobs.results

A store passes the suite in `servicekit.testing.stores`.
"""

from typing import Protocol

from servicekit.ports.activity import ActivityStore
from servicekit.ports.attempts import AttemptStore
from servicekit.ports.changes import JobChanges
from servicekit.ports.liveness import StoreLiveness
from servicekit.ports.queues import QueueStore
from servicekit.ports.reads import JobReads
from servicekit.ports.schedules import ScheduleStore
from servicekit.ports.submissions import SubmissionStore


class JobStore(Protocol):
    """Keeps jobs, and publishes every change of them. Whoever needs one part is given that part.

    All parts are about the same jobs. They are attributes that stay the same, whether the store is open or not.
    """

    @property
    def location(self) -> str:
        """Where the jobs are kept, for people: the full path of the file, the URL of the database without a
        password, or `memory://`."""
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
    def activity(self) -> ActivityStore: ...

    @property
    def liveness(self) -> StoreLiveness: ...
