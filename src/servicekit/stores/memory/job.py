"""One job, as the store in memory keeps it."""

from collections import deque
from dataclasses import replace
from datetime import datetime
from sys import getsizeof
from typing import Final

from servicekit.errors import RetryUnavailable
from servicekit.jobs.metadata import NO_METADATA, metadata_of
from servicekit.jobs.options import options_of_repetition
from servicekit.jobs.outcome import Outcome
from servicekit.jobs.record import (
    MAX_PAST_ATTEMPTS,
    MAX_TRANSITIONS,
    JobRecord,
    PastAttempt,
    Progress,
    seconds_elapsed,
    seconds_remaining,
    transitions_of,
)
from servicekit.jobs.restartable import as_accepted, find_restart_problem, is_fixed
from servicekit.jobs.shown_calls import KeptCall, keep_call
from servicekit.jobs.sizes import estimate_bytes
from servicekit.jobs.status import EndedBy, JobStatus, Transition, move_of
from servicekit.jobs.submission import CallDescription, JobTarget, Submission
from servicekit.stores.memory.index_block import IndexBlock
from servicekit.stores.memory.log_lines import JobLog
from servicekit.stores.memory.queue import Queue

DROPPED: Final = object()
"""Stands for a result that is not kept."""
_RUNNING: Final = move_of(Transition.CLAIM).target
# An estimate of what one record takes besides its texts. It counts against the bound on what is kept.
_RECORD_BYTES: Final = 500
_NO_ARGUMENTS: Final[dict[str, object]] = {}
_SCALARS: Final = frozenset({bool, int, float, str, bytes})
_NOT_ENDED: Final = "it has not ended."
_UNKNOWN: Final = "it was not looked for yet"
_TOO_LARGE: Final = "its arguments took too much memory to be kept (Retention.max_result_bytes)."


class Job:
    """One job, mutable; only the store touches it."""

    __slots__ = (
        "args",
        "artifact_id",
        "attempt",
        "attempts",
        "block",
        "call",
        "cancel_requested_at",
        "concurrency_key",
        "ended_by",
        "error",
        "error_traceback",
        "expires_at",
        "finished_at",
        "id",
        "kwargs",
        "log",
        "name",
        "options",
        "own_block",
        "parent",
        "pending_reason",
        "process",
        "progress",
        "queue",
        "queue_counts",
        "restart_problem",
        "result",
        "result_bytes",
        "retry_of",
        "runner",
        "schedule",
        "scheduled_at",
        "spared",
        "started_at",
        "status",
        "submission",
        "submitted_at",
        "target",
        "transitions",
        "turn",
        "version",
        "why_not_again",
    )  # fmt: skip

    queue: "Queue[Job]"
    block: "IndexBlock[Job]"
    own_block: "IndexBlock[Job]"
    """Its block among the jobs of its owner, if it has one."""
    queue_counts: dict[JobStatus, int]
    """How many jobs of its queue have each status."""

    def __init__(self, submission: Submission, submitted_at: datetime) -> None:
        self.id = submission.id
        self.name = submission.name
        self.runner = submission.runner
        self.options = submission.options  # nearly always the same object for all jobs
        key = submission.options.concurrency_key
        self.concurrency_key = None if key is None else submission.options.kept_concurrency_key
        self.retry_of = submission.retry_of
        self.schedule = submission.schedule
        self.parent = submission.parent
        self.submission: Submission | None = submission
        """`None` once the job has ended: its call is in the next four then, if it can be made again."""
        self.target: JobTarget | None = None
        self.call: CallDescription | None = None
        """The written call: the arguments themselves could be changed."""
        self.args: tuple[object, ...] = ()
        self.kwargs = _NO_ARGUMENTS
        self.why_not_again = _NOT_ENDED
        self.restart_problem: str | None = _UNKNOWN
        self.status = JobStatus.PENDING
        self.turn: int | None = None
        """Its place in its queue while it is ready. A running job remembers the place that it had."""
        self.submitted_at = submitted_at
        self.scheduled_at: datetime | None = None
        self.expires_at: datetime | None = None
        """The end of its `queue_timeout`. It counts while the job runs too, since the attempt may not begin."""
        self.started_at: datetime | None = None
        self.finished_at: datetime | None = None
        self.cancel_requested_at: datetime | None = None
        self.ended_by: EndedBy | None = None
        self.error: str | None = None
        self.error_traceback: str | None = None
        self.artifact_id: str | None = None
        self.progress: Progress | None = None
        self.result: object = None
        self.result_bytes = 0
        self.process: str | None = None
        self.attempt = 0
        self.spared = 0
        """How many of its attempts could not begin."""
        self.pending_reason: str | None = None
        self.attempts: tuple[PastAttempt, ...] = ()
        self.transitions: deque[JobRecord] | None = None
        """The records at the newest changes of status, if it was retried; if not, the present record tells them."""
        self.log: JobLog | None = None
        self.version = 1

    def record(self, now: datetime) -> JobRecord:
        metadata = self.options.metadata
        return JobRecord(
            self.id, self.status, self.submitted_at, self.started_at, self.finished_at, self.error, self.artifact_id,
            self.name, self.attempt, self.version, self.progress, self.options.tags, self.cancel_requested_at,
            self.options.queue, self.options.priority, self.scheduled_at, self.ended_by, self.retry_of, self.schedule,
            self.parent, self.options.owner, {} if metadata is NO_METADATA else metadata_of(metadata).as_dict(),
            self.process, seconds_elapsed(self.started_at, self.finished_at, now),
            seconds_remaining(self.progress, self.started_at, now) if self.status is _RUNNING else None,
            self.error_traceback, self.attempts, self.find_restart_problem(), self.pending_reason,
            self.runner,
        )  # fmt: skip

    def find_restart_problem(self) -> str | None:
        """Why the job cannot be repeated, and would be lost with its process if it were in a file.

        It is found when somebody looks, or at the end.
        """
        if self.restart_problem is _UNKNOWN and self.submission is not None:
            self.restart_problem = find_restart_problem(self.submission)
        return self.restart_problem

    def list_transitions(self, now: datetime) -> list[JobRecord]:
        return transitions_of(self.record(now)) if self.transitions is None else list(self.transitions)

    def begin_again(self, failure: Outcome, now: datetime) -> None:
        """Note that the attempt has failed and will be followed by another."""
        self._remember_transitions(now)
        started_at = self.started_at or self.submitted_at
        ended = PastAttempt(
            self.attempt, started_at, max(now, started_at), failure.error, failure.ended_by, self.process
        )
        self.attempts = (*self.attempts, ended)[-MAX_PAST_ATTEMPTS:]
        self.started_at = self.progress = self.process = None
        self.scheduled_at = failure.retry_at

    def take_back(self, reason: str | None, now: datetime) -> None:
        """Note that the attempt could not begin."""
        self._remember_transitions(now)
        self.pending_reason = reason
        self.spared += 1
        self.started_at = self.progress = self.process = None

    def _remember_transitions(self, now: datetime) -> None:
        if self.transitions is None:
            self.transitions = deque(transitions_of(self.record(now)), MAX_TRANSITIONS)

    def call_to_show(self) -> KeptCall:
        submission = self.submission
        if submission is None and self.target is not None:
            submission = Submission(
                self.id, self.name, self.target, self.args, self.kwargs, self.runner, self.options,
                description=self.call,
            )  # fmt: skip
        return KeptCall(self.name, self.options.owner, None, None) if submission is None else keep_call(submission)

    def discard_call(self) -> None:
        """Close a coroutine object that will never run."""
        if self.submission is not None:
            self.submission.discard()

    def end(self, outcome: Outcome, now: datetime) -> None:
        """Write the end of the job."""
        self.pending_reason = None
        earliest = self.started_at or self.submitted_at
        self.finished_at = now if now > earliest else earliest
        self.ended_by = outcome.ended_by
        self.error = outcome.error
        self.error_traceback = outcome.error_traceback
        self.artifact_id = outcome.artifact_id
        self.result = outcome.result
        self.result_bytes = outcome.result_bytes
        submission = self.submission
        assert submission is not None  # it is kept until here
        problem = self.find_restart_problem()
        self.submission = None
        if problem is not None:
            self.why_not_again = problem  # what it refers to is let go of: nobody could bound it
            return
        self.target = submission.target
        if isinstance(submission.description, CallDescription) and not is_fixed(submission):
            self.call = submission.description
        else:
            self.args, self.kwargs = submission.args, submission.kwargs or _NO_ARGUMENTS

    def repeat(self, new_id: str) -> Submission:
        """A submission of the same call, due at once; `RetryUnavailable` if the call is not kept."""
        if self.target is None:
            raise RetryUnavailable(self.id, self.status, self.why_not_again)
        repetition = Submission(
            new_id,
            self.name,
            self.target,
            self.args,
            self.kwargs,
            self.runner,
            options_of_repetition(self.options),
            retry_of=self.id,
            parent=self.parent,
            description=self.call,
        )
        return as_accepted(repetition)

    @property
    def call_bytes(self) -> int:
        """The bytes that the arguments of an ended job take."""
        if self.call is not None:
            return getsizeof(self.call.arguments)
        values = (*self.args, *self.kwargs.values())
        return sum(getsizeof(value) if type(value) in _SCALARS else estimate_bytes(value) for value in values)

    def drop_call(self) -> None:
        self.target, self.args, self.kwargs, self.call = None, (), _NO_ARGUMENTS, None
        self.why_not_again = _TOO_LARGE

    @property
    def cargo_bytes(self) -> int:
        """The bytes that the job keeps besides its record and its call."""
        size = self.result_bytes
        if self.error_traceback is not None:
            size += getsizeof(self.error_traceback)
        if self.log is not None:
            size += self.log.memory_bytes
        if self.transitions is not None:
            # No traceback but the job's is in them, but a copy of its metadata in each.
            size += (_RECORD_BYTES + len(metadata_of(self.options.metadata).text)) * len(self.transitions)
        return size

    def drop_cargo(self) -> None:
        if self.result is not None:
            self.result = DROPPED
        self.result_bytes = 0
        self.error_traceback = None
        if self.log is not None:
            self.log.clear()
        if self.transitions:
            self.transitions = deque([replace(self.transitions[-1], error_traceback=None)], MAX_TRANSITIONS)
