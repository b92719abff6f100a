"""Many jobs at once, for users: cancel, repeat or delete those that match a filter, step by step."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final, NamedTuple

from servicekit.engine.all_jobs_reader import follow_jobs
from servicekit.engine.lifecycle import Engine
from servicekit.engine.worker import Worker
from servicekit.errors import JobNotFound, QueueFull, RecordUnreadable, RetryUnavailable, check_count
from servicekit.events.hub import EventHub
from servicekit.jobs.bulk import MAX_PROBLEMS, BulkAction, BulkCount, BulkProblem, BulkStep, JobSelection
from servicekit.jobs.query import ALL_JOBS, JobFilter
from servicekit.jobs.record import JobRecord
from servicekit.jobs.status import JobStatus
from servicekit.observability.activity import ActivityRecorder
from servicekit.observability.job_logging import JobLogging
from servicekit.ports import JobStore

_AT_ONCE: Final = 50  # a database writes them in one transaction, and others wait no longer than for that
_CANCEL_WAIT_SECONDS: Final = 1.0  # as for one job: in all, however many there are
_LOOK_SECONDS: Final = 0.05  # between two looks for ends, on a service where much happens

_Act = Callable[[str], Awaitable[bool]]


class _Found(NamedTuple):
    records: list[JobRecord]
    missing: int
    next_before: str | None


class BulkActions:
    """Cancels, repeats and deletes many jobs at once: `scheduler.bulk`.

    Each call is one step, with those jobs of the selection on which the action has an effect. Its cost is bounded,
    whatever the filter: so a step can find few jobs, or none, and not be the last. Go on before `step.next_before`
    until that is `None`.

    Nothing is undone if a step fails in the middle, or its process dies: what was done is done, and the same step again
    does the rest. A job whose status has changed since it was looked at, so that it is not meant any more, is left
    alone. `StoreUnavailable` if the store does not answer.
    """

    def __init__(
        self,
        engine: Engine,
        worker: Worker,
        hub: EventHub,
        lines: JobLogging,
        counted: ActivityRecorder,
        next_id: Callable[[], str],
        wake: Callable[[], None],
    ) -> None:
        self._engine = engine
        self._worker = worker
        self._hub = hub
        self._lines = lines
        self._counted = counted
        self._next_id = next_id
        self._wake = wake

    async def count(self, action: BulkAction, selection: JobSelection) -> BulkCount:
        """On how many jobs the action would have an effect now, in all steps. Nothing is changed."""
        store = await self._engine.open()
        wanted, asked = selection.wanted, _narrowed(action, selection.wanted)
        if selection.job_ids:
            found = await _find_named(store, asked, sorted(selection.job_ids))
            ids = [record.id for record in found.records]
            return BulkCount(len(ids), is_exact=True, up_to=max(ids, default=None))
        # First, so that no job is counted later that the action leaves alone.
        newest = await store.reads.list_records(JobFilter(owner=wanted.owner), 1, None)
        up_to = newest.records[0].id if newest.records else newest.next_before
        if asked is None:
            return BulkCount(0, is_exact=True, up_to=up_to)
        counts = await store.reads.count_by_status(asked)
        return BulkCount(sum(counts.values()), counts.is_exact, up_to)

    async def cancel(self, selection: JobSelection) -> BulkStep:
        """Ask jobs that are pending or running to stop, all at once, and wait for their ends, in all at most a second.

        A job counts as done if it has stopped, or was asked to.
        """
        store = await self._engine.open()
        statuses = BulkAction.CANCEL.narrow(selection.wanted)
        running: list[str] = []

        async def cancel(job_id: str) -> bool:
            record = await store.submissions.request_cancel(job_id, statuses)
            if record is None or (record.cancel_requested_at is not None and not record.status.is_terminal):
                self._worker.cancel(job_id)
                running.append(job_id)
                return True
            self._counted.canceled(record)
            return record.status is JobStatus.CANCELED

        found = await _find(store, BulkAction.CANCEL, selection)
        position = await store.changes.get_position() if found.records else 0
        step = await _act(cancel, found)
        if running:
            await self._wait_for_ends(store, running, position)
        return step

    async def _wait_for_ends(self, store: JobStore, job_ids: Sequence[str], position: int) -> None:
        left = set(job_ids)
        with suppress(TimeoutError):
            async with (
                asyncio.timeout(_CANCEL_WAIT_SECONDS),
                follow_jobs(store, self._hub, ALL_JOBS, position, _LOOK_SECONDS, job_ids) as reader,
            ):
                while left:
                    change = await reader.next_event()
                    if change is not None and (change.record is None or change.record.status.is_terminal):
                        left.discard(change.job_id)

    async def retry(self, selection: JobSelection) -> BulkStep:
        """Submit jobs that have failed or were canceled again, as new jobs whose `retry_of` they are.

        A job of which a repetition is kept is skipped: so the same step again repeats none a second time. Problems are
        jobs whose call is not kept, and those whose queue is full.
        """
        store = await self._engine.open_for_jobs()

        found = await _find(store, BulkAction.RETRY, selection)
        records = {record.id: record for record in found.records}

        async def repeat(job_id: str) -> bool:
            new_id = self._next_id()
            if await store.submissions.resubmit(job_id, new_id, is_once=True) != new_id:
                return False
            self._counted.submitted_record(records[job_id])
            return True

        step = await _act(repeat, found)
        self._wake()
        return step

    async def delete(self, selection: JobSelection) -> BulkStep:
        """Delete jobs at once. Those that run are asked to stop, and hold their slots until they have stopped."""
        store = await self._engine.open()
        statuses = BulkAction.DELETE.narrow(selection.wanted)

        async def delete(job_id: str) -> bool:
            if not await store.submissions.delete(job_id, statuses):
                return False
            self._worker.cancel(job_id)
            self._lines.deleted(job_id)
            return True

        found = await _find(store, BulkAction.DELETE, selection)
        return await _act(delete, found)


async def _find(store: JobStore, action: BulkAction, selection: JobSelection) -> _Found:
    check_count("limit", selection.limit)
    asked, above, limit = _narrowed(action, selection.wanted), selection.above, selection.limit
    if selection.job_ids:
        named = sorted((job_id for job_id in selection.job_ids if job_id < above), reverse=True)
        found = await _find_named(store, asked, named[:limit])
        return found._replace(next_before=named[limit - 1] if len(named) > limit else None)
    if asked is None:
        return _Found([], 0, None)
    page = await store.reads.list_records(asked, limit, above)
    return _Found(page.records, 0, page.next_before)


def _narrowed(action: BulkAction, wanted: JobFilter) -> JobFilter | None:
    """The wanted jobs on which the action has an effect; `None` if there can be none."""
    statuses = action.narrow(wanted)
    return replace(wanted, statuses=statuses) if statuses else None


async def _find_named(store: JobStore, asked: JobFilter | None, job_ids: Sequence[str]) -> _Found:
    """Those of these jobs that match. One that does not, that cannot be read or is not there is missing."""
    found = await asyncio.gather(*(_find_record(store, job_id) for job_id in job_ids))
    records = [record for record in found if record is not None and asked is not None and asked.matches(record)]
    return _Found(records, len(job_ids) - len(records), None)


async def _find_record(store: JobStore, job_id: str) -> JobRecord | None:
    try:
        return await store.reads.get_record(job_id)
    except (JobNotFound, RecordUnreadable):
        return None


async def _act(act: _Act, found: _Found) -> BulkStep:
    done, problems = 0, list[BulkProblem]()
    for start in range(0, len(found.records), _AT_ONCE):
        some = found.records[start : start + _AT_ONCE]
        answers = await asyncio.gather(*(_try(act, record.id) for record in some), return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException):  # raised when nothing of the step goes on any more
                raise answer
        done += sum(answer is True for answer in answers)
        problems += [answer for answer in answers if isinstance(answer, BulkProblem)]
        del problems[MAX_PROBLEMS:]
    skipped = found.missing + len(found.records) - done
    return BulkStep(done, skipped, problems, found.next_before)


async def _try(act: _Act, job_id: str) -> bool | BulkProblem:
    try:
        return await act(job_id)
    except JobNotFound:
        return False
    except (RetryUnavailable, QueueFull, RecordUnreadable) as error:
        return BulkProblem(job_id, str(error))
