"""The store: what the engine asks, put to the two threads, and what they report, passed on."""

import asyncio
import json
import os
from collections.abc import Callable, Collection
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final, NoReturn

from pydantic_core import to_json

from servicekit.errors import JobNotFound, NotRestartable, StoreUnavailable
from servicekit.jobs.arguments import load_arguments
from servicekit.jobs.events import JobEvent
from servicekit.jobs.outcome import Outcome
from servicekit.jobs.query import SCAN_LIMIT, ChangePage, JobFilter, JobPage
from servicekit.jobs.record import JobRecord, Progress
from servicekit.jobs.restartable import describe_call, fingerprint, load_target
from servicekit.jobs.retention import Retention
from servicekit.jobs.status import JobStatus, Transition, move_of
from servicekit.jobs.submission import Claim, RunnerKind, Submission, check_target
from servicekit.ports import Clock, EventPublisher, JobSignals
from servicekit.stores.sqlite import queries, writes
from servicekit.stores.sqlite.database import create_file
from servicekit.stores.sqlite.membership import Departure, Member, Registration, list_members, list_running
from servicekit.stores.sqlite.processes import ProcessLock, is_alive, is_lock_of, remove_leftovers
from servicekit.stores.sqlite.pruning import Prune, PruneGroup
from servicekit.stores.sqlite.rows import EventRow, progress_text, read_event_record, time_text
from servicekit.stores.sqlite.threads import Answer, Reader, resolve
from servicekit.stores.sqlite.writer import (
    DELETE,
    LATE_SECONDS,
    LEAVE,
    PRUNE,
    REGISTER,
    RELEASE,
    REQUEST_CANCEL,
    RETIRE,
    TAKE_OVER,
    TOUCH,
    UNCLAIM,
    News,
    Writer,
)

_DELETION_AGE: Final = timedelta(days=1)
_YOUNG: Final = timedelta(seconds=2 * LATE_SECONDS)
_CHECK_SECONDS: Final = 3.0
_STATUSES: Final = {transition: move_of(transition).target.value for transition in Transition}


class SqliteStore:
    """A `JobStore` in one file: see the package's page for what it promises."""

    is_shared = True

    def __init__(
        self,
        path: Path,
        publisher: EventPublisher,
        clock: Clock,
        retention: Retention,
        *,
        scan_limit: int = SCAN_LIMIT,
    ) -> None:
        self._path = path.resolve()  # the locks are beside the file itself, whatever leads to it
        self._publisher = publisher
        self._clock = clock
        self._retention = retention
        self._scan_limit = scan_limit
        self._opening: asyncio.Lock | None = None
        self._signals: JobSignals | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock: ProcessLock | None = None
        self._process = 0
        self._pid = os.getpid()
        self._writer: Writer | None = None
        self._reader: Reader | None = None
        # What only this process can run: the file has no words for it.
        self._local: dict[str, Submission] = {}

    async def open(self, signals: JobSignals) -> None:
        if self._pid != os.getpid():
            self._forget_parent()
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            await self.close()
            self._loop, self._opening = loop, asyncio.Lock()
        assert self._opening is not None
        async with self._opening:
            self._signals = signals
            if self._writer is None:
                await self._start(signals)

    def _forget_parent(self) -> None:
        """In a forked child: leave what the parent has opened alone, and be a process of one's own."""
        self._inherited = (self._writer, self._reader)  # closing their connections is not the child's business
        self._pid = os.getpid()
        self._lock, self._process, self._loop = None, 0, None
        self._writer = self._reader = None
        self._local = {}

    async def _start(self, signals: JobSignals) -> None:
        had_lock = self._lock is not None
        try:
            create_file(self._path)
            self._lock = self._lock or ProcessLock(self._path)
        except OSError as error:
            raise StoreUnavailable(str(self._path), f"its folder cannot be written ({error.strerror}).") from error
        self._writer = Writer(self._path, self._report, self._publisher)
        self._reader = Reader(self._path, "servicekit reader")
        try:
            await self._register(self._lock)
            await self._settle(signals)
            await self.rescue()
            remove_leftovers(self._path)
        except BaseException:
            self._stop_threads()
            if not had_lock:  # else attempts of this process may still run, and nobody else may start those
                self._lock.release()
                self._lock, self._process = None, 0
            raise

    async def _register(self, lock: ProcessLock) -> None:
        registration = Registration(self._process or None, os.getpid(), lock.path.name, self._now())
        self._process = await self._writing().ask(REGISTER, registration)

    async def _settle(self, signals: JobSignals) -> None:
        """Let the file and the engine agree on what runs here, after another event loop has ended between the two."""
        for job in await self._reading().ask(list_running, self._process):
            if not signals.is_running(job.id, job.attempt):
                await self._writing().ask(UNCLAIM, writes.Release(job.id, job.attempt, self._now()))
            elif job.is_unwanted:
                signals.cancel(job.id)

    async def _join_again(self) -> None:
        """Become a member anew: others took this process for dead, and its jobs are theirs."""
        assert self._opening is not None
        async with self._opening:
            if self._lock is not None and self._writer is not None:
                self._process = 0
                await self._register(self._lock)

    async def insert(self, submission: Submission) -> str:
        call = describe_call(submission)
        options = submission.options
        job = writes.NewJob(
            submission.id,
            submission.name,
            json.dumps(options.tags) if options.tags else "[]",
            submission.runner.value,
            call and call.reference,
            call and call.arguments,
            None if call else self._process,
            self._now(),
            options.max_restarts,
            options.idempotency_key,
            None if options.idempotency_key is None else fingerprint(submission),
        )
        if call is None:
            self._local[submission.id] = submission
        job_id: str | None = None
        try:
            job_id = await self._writing().ask(writes.insert, job)
        finally:
            if job_id != submission.id:
                self._local.pop(submission.id, None)
                submission.discard()
        return job_id

    async def claim(self, limit: int, excluding: Collection[RunnerKind], max_running: int | None = None) -> list[Claim]:
        request = writes.ClaimRequest(self._process, limit, excluding, max_running, self._now())
        try:
            return [self._claim(job) for job in await self._writing().ask(writes.claim, request)]
        except writes.ProcessForgotten:
            await self._join_again()
            return await self.claim(limit, excluding, max_running)

    def _claim(self, job: writes.ClaimedJob) -> Claim:
        submission = self._local.pop(job.id, None)
        if submission is None:
            submission = _load(job)
        return Claim(submission, job.attempt)

    async def finish(self, claim: Claim, outcome: Outcome) -> bool:
        result = None if outcome.result is None else self._encode(outcome.result)
        end = writes.End(
            claim.submission.id,
            claim.attempt,
            _STATUSES[outcome.transition],
            self._now(),
            outcome.error,
            outcome.error_traceback,
            outcome.artifact_id,
            outcome.result is not None,
            result,
        )
        return await self._writing().ask(writes.finish, end)

    def _encode(self, result: object) -> str | None:
        """The result as JSON; `None` if it has none, or too much of it."""
        try:
            text = to_json(result).decode()
        except Exception:  # it may call the user's code, and what cannot be JSON is not kept
            return None
        limit = self._retention.max_result_bytes
        return None if limit is not None and len(text) > limit else text

    async def release(self, claim: Claim) -> bool:
        release = writes.Release(claim.submission.id, claim.attempt, self._now())
        return await self._writing().ask(RELEASE, release)

    async def report_progress(self, claim: Claim, progress: Progress) -> None:
        report = writes.ProgressReport(claim.submission.id, claim.attempt, progress_text(progress))
        await self._writing().ask(writes.report_progress, report)

    async def request_cancel(self, job_id: str) -> JobRecord:
        record = await self._writing().ask(REQUEST_CANCEL, writes.Request(job_id, self._now()))
        if record.status.is_terminal:
            self._forget(job_id)
        return record

    async def delete(self, job_id: str) -> None:
        await self._writing().ask(DELETE, writes.Request(job_id, self._now()))
        self._forget(job_id)

    async def get_record(self, job_id: str) -> JobRecord:
        return await self._reading().ask(queries.get_record, job_id)

    async def get_result(self, job_id: str) -> object:
        return await self._reading().ask(queries.get_result, job_id)

    async def list_records(self, wanted: JobFilter, limit: int, before: str | None) -> JobPage:
        request = queries.ListRequest(wanted, limit, before, self._scan_limit)
        return await self._reading().ask(queries.list_records, request)

    async def list_changes(self, after: int, limit: int) -> ChangePage | None:
        return await self._reading().ask(queries.list_changes, queries.ChangesRequest(after, limit))

    async def get_position(self) -> int:
        return await self._reading().ask(queries.get_position, None)

    async def list_transitions(self, job_id: str, after_version: int) -> list[JobRecord]:
        request = queries.TransitionsRequest(job_id, after_version)
        return await self._reading().ask(queries.list_transitions, request)

    async def count_by_status(self) -> dict[JobStatus, int]:
        return await self._reading().ask(queries.count_by_status, None)

    async def prune(self, limit: int) -> bool:
        now = self._clock.now()
        groups = [
            PruneGroup(sorted(statuses), bounds.max_count, time_text(now - bounds.max_age) if bounds.max_age else "")
            for statuses, bounds in self._retention.groups()
        ]
        request = Prune(groups, limit, time_text(now - _YOUNG), time_text(now - _DELETION_AGE))
        return await self._writing().ask(PRUNE, request)

    async def rescue(self) -> None:
        await self._renew_lock()
        for member in await self._reading().ask(list_members, None):
            if member.id != self._process and not self._is_alive(member):
                await self._in_steps(TAKE_OVER, member.id)
                if member.lock is not None and is_lock_of(self._path, member.lock):
                    with suppress(OSError):
                        self._path.with_name(member.lock).unlink()
                if self._signals is not None:
                    self._signals.wake()

    def _is_alive(self, member: Member) -> bool:
        if member.lock is None or not is_lock_of(self._path, member.lock):
            return False
        return is_alive(self._path.with_name(member.lock), member.pid)

    async def _renew_lock(self) -> None:
        """Make another lock if somebody has removed the file by which others see that this process lives."""
        if self._lock is not None and self._writer is not None and not self._lock.is_there:
            old, self._lock = self._lock, ProcessLock(self._path)
            await self._register(self._lock)
            old.close()

    async def _in_steps(self, function: Callable[..., list[bool]], process: int) -> None:
        while not await self._writing().ask(function, Departure(process, self._now())):  # noqa: ASYNC110
            await asyncio.sleep(0)

    async def find_problem(self) -> str | None:
        try:
            async with asyncio.timeout(_CHECK_SECONDS):
                await self._writing().ask(TOUCH, self._process)
                await self.count_by_status()
        except TimeoutError:
            return self._find_trouble() or f"The job store {self._path} does not answer."
        except StoreUnavailable as error:
            return str(error)
        return self._find_trouble()  # a few bytes may find room where a job does not

    def _find_trouble(self) -> str | None:
        return None if self._writer is None else self._writer.find_trouble()

    async def retire(self) -> None:
        if self._writer is not None and self._loop is asyncio.get_running_loop():
            self._writer.hurry()
            with suppress(StoreUnavailable):  # who takes over finds the same
                await self._in_steps(RETIRE, self._process)
        for job_id in list(self._local):
            self._forget(job_id)

    async def close(self) -> None:
        if self._writer is None:
            return
        await self._leave()
        self._stop_threads()

    async def _leave(self) -> None:
        """Give up this process's place, unless it still has attempts: nobody may start those again while it lives."""
        if self._loop is asyncio.get_running_loop():
            with suppress(StoreUnavailable):
                departure = Departure(self._process, self._now())
                if await self._writing().ask(LEAVE, departure) and self._lock is not None:
                    self._lock.release()
                    self._lock, self._process = None, 0

    def _report(self, news: News) -> None:
        """From the writer's thread: pass on what it has to say."""
        if self._loop is not None:
            with suppress(RuntimeError):  # the event loop is closed, and nobody waits
                self._loop.call_soon_threadsafe(self._take_news, news)

    def _take_news(self, news: News) -> None:
        for row in news.others:  # they happened before ours, and readers want them in order
            self._take_from_elsewhere(row)
        for row in news.ours:
            if self._publisher.is_watched(row.job_id) and (event := _event(row)):
                self._publisher.publish(event)
        for answer in news.answers:
            self._take_back(answer)
        resolve(news.answers)
        if self._signals is not None and (news.others or news.is_foreign):
            self._signals.wake()
        if news.is_change:
            self._publisher.notify()
        if news.is_late:
            self._ask_for_followed()

    def _ask_for_followed(self) -> None:
        """See whether jobs that are watched have been removed while this process stood still."""
        if self._reader is not None:
            for job_id in self._publisher.list_followed():
                asked = self._reader.ask(queries.get_record, job_id)
                asked.add_done_callback(partial(self._tell_of_removal, job_id))

    def _tell_of_removal(self, job_id: str, asked: "asyncio.Future[JobRecord]") -> None:
        if not asked.cancelled() and isinstance(asked.exception(), JobNotFound):
            self._publisher.relay(JobEvent(job_id, None))

    def _take_back(self, answer: Answer) -> None:
        """Give back claims for which nobody waits any more."""
        call, result = answer
        if call.function is writes.claim and call.future.cancelled() and self._writer is not None:
            for job in result if isinstance(result, list) else ():
                self._writer.ask(UNCLAIM, writes.Release(job.id, job.attempt, self._now()))

    def _take_from_elsewhere(self, row: EventRow) -> None:
        if self._publisher.is_followed(row.job_id) and (event := _event(row)):
            self._publisher.relay(event)
        if row.is_last:
            self._forget(row.job_id)
        if row.is_unwanted and self._signals is not None and self._loop is not None:
            # Not before the worker has got the claims that were answered a moment ago.
            self._loop.call_soon(self._signals.cancel, row.job_id)

    def _stop_threads(self) -> None:
        for thread in (self._writer, self._reader):
            if thread is not None:
                thread.stop()
        self._writer = self._reader = None

    def _forget(self, job_id: str) -> None:
        """A job that only this process could have run will never run."""
        submission = self._local.pop(job_id, None)
        if submission is not None:
            submission.discard()

    def _writing(self) -> Writer:
        return self._writer or self._refuse()

    def _reading(self) -> Reader:
        return self._reader or self._refuse()

    def _refuse(self) -> NoReturn:
        raise StoreUnavailable(str(self._path), "it is closed.")

    def _now(self) -> str:
        return time_text(self._clock.now())


def _event(row: EventRow) -> JobEvent | None:
    """The event of a row; `None` for one whose job has been deleted since, which has an event of its own."""
    record = read_event_record(row)
    return JobEvent(row.job_id, record, is_transition=bool(row.is_transition)) if record or row.is_deletion else None


def _load(job: writes.ClaimedJob) -> Submission:
    """What was written down, ready to be run; or, if that cannot be, ready to fail with the reason."""
    try:
        if job.target is None or job.arguments is None:
            raise NotRestartable
        target = load_target(job.target)
        args, kwargs = load_arguments(job.target, target, job.arguments)
        runner = check_target(target, args, kwargs)  # it may have been another kind of function when it was submitted
    except Exception as error:  # finding the target runs the user's code, and every other claim needs its answer
        return Submission(job.id, job.name, _Failing(error), (), {}, RunnerKind.COROUTINE)
    return Submission(job.id, job.name, target, args, kwargs, runner)


class _Failing:
    """A target that fails for a reason that was known before."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def __call__(self) -> NoReturn:
        raise self._error
