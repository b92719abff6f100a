"""The row of a job that is submitted."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from servicekit.jobs.metadata import NO_METADATA, metadata_of
from servicekit.jobs.option_texts import dump_options
from servicekit.jobs.options import JobOptions
from servicekit.jobs.submission import CallDescription
from servicekit.stores.durable.expiry import expiry_after
from servicekit.stores.durable.times import time_text, write_time


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
    metadata: str | None
    idempotency_key: str | None
    fingerprint: str | None
    restart_problem: str | None
    max_pending: int | None
    words: Mapping[str, str]
    """What its metadata can be found by."""

    @property
    def is_plain(self) -> bool:
        """Whether all columns after `max_restarts` are what they are by default."""
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

    A job with a concurrency key starts as waiting for it; a trigger makes the job ready if a place is free.
    """
    key = options.concurrency_key
    scheduled_at, metadata = options.scheduled_at(now), metadata_of(options.metadata)
    return NewJob(
        job_id, name, runner, call and call.reference, call and call.arguments, owner, time_text(now),
        options.max_restarts, json.dumps(options.tags) if options.tags else "[]", options.queue, options.priority,
        _wait_of(key, is_due=scheduled_at is None), write_time(scheduled_at),
        expiry_after(options, scheduled_at or now), key, None if key is None else options.concurrency_limit,
        dump_options(options), retry_of, schedule, parent, None if metadata is NO_METADATA else metadata.text,
        options.idempotency_key, fingerprint, restart_problem, max_pending, metadata.words,
    )  # fmt: skip


def _wait_of(concurrency_key: str | None, *, is_due: bool) -> str | None:
    """What a pending job waits for."""
    if not is_due:
        return "time"
    return None if concurrency_key is None else "key"
