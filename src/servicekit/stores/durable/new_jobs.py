"""The rows of jobs that are submitted, and which of them are accepted."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from servicekit.errors import QueueFull, RecordUnreadable, RetryUnavailable
from servicekit.jobs.idempotency import FirstUse
from servicekit.jobs.metadata import NO_METADATA, metadata_of
from servicekit.jobs.option_texts import dump_options, load_options
from servicekit.jobs.options import JobOptions, options_of_repetition
from servicekit.jobs.schedules import options_of_tick
from servicekit.jobs.submission import CallDescription
from servicekit.stores.durable.expiry import expiry_after
from servicekit.stores.durable.nonsense import NONSENSE
from servicekit.stores.durable.records import read_status
from servicekit.stores.durable.requests import Resubmission, Tick
from servicekit.stores.durable.times import time_text, write_time

_MOST: Final = 2**63 - 1
"""The largest number that a column holds: as good as no limit."""


class NewJob(NamedTuple):
    """A row of `jobs`, how many may wait in its queue before it, and what is written beside it."""

    id: str
    name: str
    runner: str
    target: str | None
    arguments: str | None
    owner: int | None
    submitted_at: str
    max_restarts: int
    tags: str
    queue: str
    priority: int
    waits_for: str | None
    scheduled_at: str | None
    expires_at: str | None
    concurrency_key: str | None
    concurrency_limit: int | None
    options: str | None
    retry_of: str | None
    schedule: str | None
    parent: str | None
    owned_by: str | None
    metadata: str | None
    idempotency_key: str | None
    fingerprint: str | None
    restart_problem: str | None
    max_pending: int | None
    words: Mapping[str, str]
    """The words by which its metadata is found."""

    @property
    def is_plain(self) -> bool:
        """Whether all columns after `max_restarts` have their default values."""
        others = (self.options, self.retry_of, self.schedule, self.parent, self.restart_problem)
        return others == (None, None, None, None, None)


def new_job(
    job_id: str,
    name: str,
    runner: str,
    call: CallDescription | None,
    options: JobOptions,
    now: datetime,
    *,
    owner: int | None = None,
    fingerprint: str | None = None,
    restart_problem: str | None = None,
    retry_of: str | None = None,
    schedule: str | None = None,
    parent: str | None = None,
    max_pending: int | None = None,
) -> NewJob:
    """The row of a job that is submitted now.

    A job with a concurrency key starts as waiting; a trigger makes it ready if a slot is free.
    """
    key = options.kept_concurrency_key
    scheduled_at, metadata = options.scheduled_at(now), metadata_of(options.metadata)
    return NewJob(
        job_id, name, runner, call and call.reference, call and call.arguments, owner, time_text(now),
        options.max_restarts, json.dumps(options.tags) if options.tags else "[]", options.queue, options.priority,
        _wait_of(key, is_due=scheduled_at is None), write_time(scheduled_at),
        expiry_after(options, scheduled_at or now), key, None if key is None else min(options.concurrency_limit, _MOST),
        dump_options(options), retry_of, schedule, parent, options.owner,
        None if metadata is NO_METADATA else metadata.text, options.kept_idempotency_key, fingerprint, restart_problem,
        max_pending, metadata.words,
    )  # fmt: skip


def _wait_of(concurrency_key: str | None, *, is_due: bool) -> str | None:
    """What a pending job waits for."""
    if not is_due:
        return "time"
    return None if concurrency_key is None else "key"


def accept(
    jobs: list[NewJob], first_uses: dict[str, FirstUse], pending: dict[str, int]
) -> tuple[list[NewJob], list[str | Exception]]:
    """The jobs to keep, and the answer to each caller.

    - `first_uses`: of the jobs' idempotency keys, as far as they have been used. Those that are used here are added.
    - `pending`: how many jobs wait in each queue where that is limited. Those that are accepted are added.
    """
    accepted: list[NewJob] = []
    answers: list[str | Exception] = []
    for job in jobs:
        key = job.idempotency_key
        if key is not None and key in first_uses:
            first = first_uses[key]
            answers.append(first.find_conflict(key, job.fingerprint) or first.job_id)
        elif job.max_pending is not None and pending.get(job.queue, 0) >= job.max_pending:
            answers.append(QueueFull(job.queue, job.max_pending))
        else:
            accepted.append(job)
            answers.append(job.id)
            pending[job.queue] = pending.get(job.queue, 0) + 1
            if key is not None:
                first_uses[key] = FirstUse(job.id, job.fingerprint)
    return accepted, answers


class EndedJob(NamedTuple):
    """What is kept of a job's submission, as it stands in the database: somebody may have changed it there."""

    name: Any
    runner: Any
    target: Any
    arguments: Any
    options: Any
    parent: Any
    status: Any
    restart_problem: Any


def repeat(ended: EndedJob, request: Resubmission) -> NewJob:
    """The row of a repetition. `RetryUnavailable`, `RecordUnreadable`."""
    name, runner, target, arguments, options_text, parent, status, problem = ended
    if not read_status(request.job_id, status).is_terminal:
        raise RetryUnavailable(request.job_id, status, "it has not ended.")
    if target is None:
        reason = "only the process that accepted it could have run it"
        raise RetryUnavailable(request.job_id, status, f"{reason}: {problem}" if problem else f"{reason}.")
    if not all(isinstance(text, str) for text in (name, runner, target, arguments, options_text or "", parent or "")):
        raise RecordUnreadable(f"Job {request.job_id}", "something that it was submitted with is no text.")
    try:
        options = options_of_repetition(load_options(options_text))
    except NONSENSE as error:
        raise RecordUnreadable(f"Job {request.job_id}", f"its options make no sense: {error}") from error
    call = CallDescription(target, arguments)
    return new_job(
        request.new_id, name, runner, call, options, request.now,
        retry_of=request.job_id, parent=parent, max_pending=request.max_pending,
    )  # fmt: skip


def job_of_tick(
    tick: Tick,
    job_id: str,
    overlap: str,
    name: str,
    runner: str,
    target: str,
    arguments: str,
    options_text: str | None,
) -> NewJob:
    """The job of a schedule's tick."""
    options = options_of_tick(tick.name, overlap, load_options(options_text))
    return new_job(
        job_id, name, runner, CallDescription(target, arguments), options, tick.now,
        schedule=tick.name, max_pending=tick.max_pending,
    )  # fmt: skip
