"""The seams of servicekit. Read this first.

    Scheduler ──▶ JobStore ──▶ EventPublisher (the hub) ──▶ streams, waiters, metrics
        │            ▲
        └─▶ Worker ──┘ claims, and ends what it claimed
              └─▶ Runner  runs one attempt to its end, or stops it

The engine knows these protocols and nothing of what stands behind them. Whoever builds a scheduler chooses. Whoever
needs one part of a store is given that part. In the order in which a job meets them:

    submissions   jobs come in: insert, repeat, cancel, delete
    attempts      jobs are run: claim, the end of an attempt, what it says meanwhile; what comes due
    reads         what is known of jobs: records, results, lists, logs
    changes       what has become of all jobs since a position
    queues        what waits and runs in each, and pauses
    schedules     what submits jobs by the clock
    activity      how many jobs have come and ended, and how long they took, minute by minute
    liveness      this process at work on the store, and those that are gone; the time that all agree on
    store         the parts together, and what holds for all of them
    events        what a store tells: the hub, and the engine
    runner        runs one attempt
    clock         lets time pass
"""

from servicekit.ports.activity import ActivityStore
from servicekit.ports.attempts import AttemptStore
from servicekit.ports.changes import JobChanges
from servicekit.ports.clock import SET_SECONDS, Clock, ClockSetting, MovedClock
from servicekit.ports.events import EventPublisher, EventRelay, JobSignals
from servicekit.ports.liveness import Notice, StoreLiveness
from servicekit.ports.queues import QueueStore
from servicekit.ports.reads import JobReads
from servicekit.ports.runner import Runner
from servicekit.ports.schedules import ScheduleStore
from servicekit.ports.store import JobStore
from servicekit.ports.submissions import SubmissionStore

__all__ = [
    "SET_SECONDS",
    "ActivityStore",
    "AttemptStore",
    "Clock",
    "ClockSetting",
    "EventPublisher",
    "EventRelay",
    "JobChanges",
    "JobReads",
    "JobSignals",
    "JobStore",
    "MovedClock",
    "Notice",
    "QueueStore",
    "Runner",
    "ScheduleStore",
    "StoreLiveness",
    "SubmissionStore",
]
