"""Passes on what has been committed: answers to callers, events to readers, and news to the engine."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any

from servicekit.errors import JobNotFound, RecordUnreadable, StoreUnavailable
from servicekit.jobs.backoff import Backoff
from servicekit.jobs.endings import NOT_BEGUN
from servicekit.jobs.events import JobEvent
from servicekit.jobs.record import JobRecord
from servicekit.jobs.submission import Submission
from servicekit.ports import EventRelay, JobSignals
from servicekit.stores.durable.database import Database
from servicekit.stores.durable.local import LocalJobs
from servicekit.stores.durable.news import Answer, News, resolve
from servicekit.stores.durable.operations import Operation
from servicekit.stores.durable.records import EventRow, read_event_record
from servicekit.stores.durable.requests import AttemptEnd, RecordRequest
from servicekit.stores.durable.statements import Statements
from servicekit.stores.durable.times import time_text


class CommitNotifier:
    """Takes the reports of a database from any thread, and passes them on, on the event loop where it was made.

    All that one commit has changed is passed on in one turn of the loop: first what other processes did, since it was
    committed earlier, then the events of this process, then the answers. So a caller that has its answer and begins to
    read misses nothing and gets nothing twice.
    """

    def __init__(
        self,
        publisher: EventRelay,
        now: Callable[[], datetime],
        local: LocalJobs,
        signals: JobSignals,
        note_doubt: Callable[[], None],
    ) -> None:
        """`note_doubt`: it is not known any more what this process runs, as the database has it."""
        self._publisher = publisher
        self._now = now
        self._local = local
        self.signals = signals
        self._note_doubt = note_doubt
        self._loop = asyncio.get_running_loop()
        self._has_changed = True
        self._serving: tuple[Database, Statements] | None = None

    def serve(self, database: Database, statements: Statements) -> None:
        """Have these to ask, when something has to be asked."""
        self._serving = database, statements

    def stop(self) -> None:
        """The database is closed. What it has reported is still passed on."""
        self._serving = None

    def take_change(self) -> bool:
        """Whether any process has changed anything since this was asked last."""
        has_changed, self._has_changed = self._has_changed, False
        return has_changed

    def report(self, news: News) -> None:
        """There are news. It may be called from any thread."""
        with suppress(RuntimeError):  # the event loop is closed, and nobody waits
            self._loop.call_soon_threadsafe(self._pass_on, news)

    def _pass_on(self, news: News) -> None:
        for row in news.others:  # they were committed before ours, and a reader gets events in their order
            self._take_from_elsewhere(row)
        for row in news.ours:
            if self._publisher.is_watched(row.job_id) and (event := self._event(row)):
                self._publisher.publish(event)
        for answer in news.answers:
            self._heed(answer)
        resolve(news.answers)
        self._tell(news)

    def _tell(self, news: News) -> None:
        self._has_changed |= news.is_change or news.is_foreign
        # A commit of another process may have freed a slot that all processes share, without an event of ours.
        if news.is_foreign or news.is_ready or (news.others and not news.is_told):
            self.signals.wake()
        for job_id in news.unwanted:
            self._cancel(job_id)
        if news.has_lines:  # lines of a log make no event, so any job may have new ones
            self._publisher.notify_log(None)
        if news.is_change:
            self._publisher.notify()
        if news.is_anew:
            self._publisher.begin_anew()
            self._note_doubt()
            self._ask_for_followed()
        elif news.is_late:
            self._ask_for_missing()

    def _take_from_elsewhere(self, row: EventRow) -> None:
        if row.job_id in self._publisher.followed and (event := self._event(row)):
            self._publisher.relay(event)
        if row.is_last:
            self._local.forget(row.job_id)
        if row.is_unwanted:
            self._cancel(row.job_id)

    def _cancel(self, job_id: str) -> None:
        # In the next turn of the loop: only then the worker has the claims that were answered in this one.
        self._loop.call_soon(self.signals.cancel, job_id)

    def _event(self, row: EventRow) -> JobEvent | None:
        """The event of a row; `None` for one whose job has been deleted since, which has an event of its own."""
        try:
            record = read_event_record(row, None if row.is_transition else self._now())
        except RecordUnreadable:  # a newer version wrote it, and its readers see the next one
            return None
        if record is None and not row.is_deletion:
            return None
        return JobEvent(row.job_id, record, is_transition=bool(row.is_transition))

    def _heed(self, answer: Answer) -> None:
        """Do what is to be done about an answer."""
        call, result = answer
        operation: Operation[Any, Any] = call.operation
        if isinstance(result, Exception):
            return
        if operation.then is not None:
            operation.then(self, call.argument, result)
        if operation.if_abandoned is not None and call.future.cancelled():
            operation.if_abandoned(self, call.argument, result)

    def notify_log(self, job_id: str) -> None:
        self._publisher.notify_log(job_id)

    def keep(self, submission: Submission) -> None:
        self._local.put_back(submission)

    def put_back(self, job_id: str, attempt: int) -> None:
        end = AttemptEnd(job_id, attempt, NOT_BEGUN, time_text(self._now()))
        self._put_back(end, Backoff())

    def _put_back(self, end: AttemptEnd, backoff: Backoff) -> None:
        if self._serving is not None:
            database, statements = self._serving
            asked = database.write(statements.writes.end_attempts, end)
            asked.add_done_callback(partial(self._put_back_again, end, backoff))

    def _put_back_again(self, end: AttemptEnd, backoff: Backoff, asked: "asyncio.Future[Any]") -> None:
        """Try again: nobody runs the job, and no other process may take it over while this one lives."""
        if not asked.cancelled() and isinstance(asked.exception(), StoreUnavailable):
            self._loop.call_later(backoff.next_seconds(), self._put_back, end, backoff)

    def _ask_for_followed(self) -> None:
        """Find out what has become of followed jobs: the events that would tell are lost."""
        if self._serving is not None:
            database, statements = self._serving
            for job_id in list(self._publisher.followed):
                asked = database.read(statements.queries.get_record, RecordRequest(job_id, self._now()))
                asked.add_done_callback(partial(self._tell_of_followed, job_id))

    def _tell_of_followed(self, job_id: str, asked: "asyncio.Future[JobRecord]") -> None:
        if asked.cancelled():
            return
        error = asked.exception()
        if error is None:
            self._publisher.relay(JobEvent(job_id, asked.result()))
        elif isinstance(error, JobNotFound):
            self._publisher.relay(JobEvent(job_id, None))

    def _ask_for_missing(self) -> None:
        """Find out which followed jobs were deleted: the events that would tell may be gone by now.

        Not what the others are: their events are there, and a reader that was told the newest one would miss the rest.
        """
        if self._serving is not None:
            database, statements = self._serving
            asked = database.read(statements.queries.find_missing, list(self._publisher.followed))
            asked.add_done_callback(self._tell_of_missing)

    def _tell_of_missing(self, asked: "asyncio.Future[set[str]]") -> None:
        if not asked.cancelled() and asked.exception() is None:
            for job_id in asked.result():
                self._publisher.relay(JobEvent(job_id, None))
