"""A store at work in this process, from its start to its end."""

import asyncio
import logging
import os
import time
from contextlib import suppress
from typing import Final

from servicekit.errors import StoreUnavailable
from servicekit.jobs.endings import NOT_BEGUN
from servicekit.jobs.query import ALL_JOBS
from servicekit.jobs.retention import Retention
from servicekit.ports import JobSignals, Notice
from servicekit.stores.durable.dead_processes import DeadProcesses
from servicekit.stores.durable.lease_watch import LEASE_OVER, LeaseWatch
from servicekit.stores.durable.local import LocalJobs
from servicekit.stores.durable.notifier import CommitNotifier
from servicekit.stores.durable.operations import Operation
from servicekit.stores.durable.pruner import Pruner
from servicekit.stores.durable.readiness import write_readiness
from servicekit.stores.durable.requests import AttemptEnd, Departure, Step
from servicekit.stores.durable.session import StoreSession

_log = logging.getLogger("servicekit.stores")

# `/health` must answer before those who ask give up, and a transaction takes milliseconds.
_CHECK_SECONDS: Final = 3.0


class DurableLiveness:
    """The `StoreLiveness` of a database, for the service of this name."""

    is_durable = True

    def __init__(self, session: StoreSession, retention: Retention, service: str | None) -> None:
        self._session = session
        self._database = session.database
        self._members = session.statements.membership
        self._service = service
        self._opening: asyncio.Lock | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watch = LeaseWatch(session)
        self._dead = DeadProcesses(session)
        self._pid = os.getpid()
        self.now = session.now
        self.prune = Pruner(session, retention).prune

    async def open(self, signals: JobSignals) -> None:
        if self._pid != os.getpid():
            self._forget_parent()
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            await self.close()
            self._loop, self._opening = loop, asyncio.Lock()
        assert self._opening is not None
        async with self._opening:
            if self._session.notifier is None:
                await self._start(signals)
            else:
                self._session.notifier.signals = signals

    def _forget_parent(self) -> None:
        """In a forked child: become a process of its own, if the store allows it."""
        self._pid, self._loop = os.getpid(), None
        self._database.forget_parent()
        self._session.local, self._session.notifier = LocalJobs(), None

    async def _start(self, signals: JobSignals) -> None:
        session = self._session
        is_new = self._database.registration.prepare()
        session.forget_clock()
        session.claiming = asyncio.Lock()  # on an event loop that has ended, a claim may still hold the old one
        session.notifier = notifier = CommitNotifier(
            session.publisher, session.now, session.local, signals, session.note_doubt
        )
        self._database.start(notifier.report)
        notifier.serve(self._database, session.statements)
        try:
            await self._join(signals)
            self._database.registration.remove_leftovers()
            self._watch.start()
        except BaseException:
            self._stop()
            if is_new:  # else attempts of this process may still run, and nobody else may start those
                self._database.registration.abandon()
            raise

    async def _join(self, signals: JobSignals) -> None:
        """Join the processes at work, as soon as the database is there and free.

        Another program's lock is waited for, without a bound: another process may migrate a large one, and whoever
        starts this one knows how long it may take. A server that cannot be reached may be starting as well, so it is
        waited for a while. If this process is told to stop meanwhile, it does not start.
        """
        began = time.monotonic()
        while True:
            try:
                await self._database.registration.take(self._database, self._session.now_text())
                await self._session.heed_clock()
                await self._settle(signals)
                await self._take_over()
                await self._tell_readiness(signals)
                await self._introduce()
            except StoreUnavailable as error:
                if signals.is_stopping or time.monotonic() - began >= self._database.patience_for(error):
                    raise
                _log.warning("The start waits for the job store %s: %s", self._database.location, error.reason)
            else:
                return

    async def join_again(self, number: int) -> None:
        """Join the processes at work anew: others took this process for dead, which had this number."""
        assert self._opening is not None
        async with self._opening:
            if self._database.registration.number == number:
                await self._join_anew()

    async def _join_if_lost(self) -> None:
        assert self._opening is not None
        async with self._opening:
            if self._database.registration.is_lost:
                await self._join_anew()

    async def _join_anew(self) -> None:
        if self._session.notifier is not None:
            self._watch.stop_attempts("they took this one for dead, and it joins them anew.", are_lost=True)
            await self._database.registration.take_another(self._database, self._session.now_text())

    async def _introduce(self) -> None:
        """Write the name of the service, and warn if another service uses the same jobs."""
        others = [] if self._service is None else await self._database.write(self._members.introduce, self._service)
        if others:
            _log.warning(
                "The job store %s is also that of %s, and this service is %r: they share their limits, lists and jobs. "
                "Give each service a file, or a schema of its own in the database (SERVICEKIT_JOBS_URL, or "
                "with_jobs(url=...)), unless they are one that was renamed.",
                self._database.location, " and of ".join(map(repr, others)), self._service,
            )  # fmt: skip

    async def _tell_readiness(self, signals: JobSignals) -> None:
        """Write what kinds of jobs this process can run, unless the others know it."""
        registration, readiness = self._database.registration, signals.readiness
        if readiness != registration.told_readiness:
            # Before it is written: what makes it doubtful meanwhile has the last word, and so has joining anew.
            registration.told_readiness = readiness
            try:
                row = write_readiness(registration.number, readiness)
                await self._database.write(self._members.put_readiness, row)
            except BaseException:  # it may be written or not
                registration.told_readiness = None
                raise

    async def _settle(self, signals: JobSignals) -> None:
        """Make the database and the engine agree on what runs here."""
        number = self._database.registration.number
        running = await self._database.read(self._members.list_running, number)
        signals.keep_only({(job.id, job.attempt) for job in running})
        for job in running:
            if not signals.is_running(job.id, job.attempt):
                end = AttemptEnd(job.id, job.attempt, NOT_BEGUN, self._session.now_text())
                await self._database.write(self._session.statements.writes.end_attempts, end)
            elif job.is_unwanted:
                signals.cancel(job.id)

    async def _settle_doubts(self) -> None:
        if self._session.is_in_doubt and self._session.notifier is not None:
            try:
                async with self._session.claiming:
                    await self._settle(self._session.notifier.signals)
            except StoreUnavailable:
                self._session.note_doubt()  # an outage can last for longer than a doubt, and claims may not be tried
                raise
            self._session.wake()  # what was given back is ready

    async def rescue(self) -> None:
        if self._database.registration.is_lost:
            await self._join_if_lost()
        await self._settle_doubts()
        await self._take_over()
        if self._session.notifier is not None:
            await self._tell_readiness(self._session.notifier.signals)

    async def _take_over(self) -> None:
        registration = self._database.registration
        await registration.renew(self._database, self._session.now_text())
        for member in await self._dead.list_ended():
            await self._session.heed_clock()
            taken, failed = await self._in_steps(self._members.take_over, member.id)
            registration.forget(member)
            if taken:
                name = "A process" if member.pid is None else f"Process {member.name or member.pid}"
                _log.info("%s is gone: %d of its jobs taken over, of which %d failed", name, taken, failed)
            self._session.wake()

    async def _in_steps(self, operation: Operation[Departure, Step], process: int) -> tuple[int, int]:
        """Take the jobs in steps. Return how many were taken, and how many of these have failed."""
        is_last, all_taken, all_failed = False, 0, 0
        while not is_last:
            step = await self._database.write(operation, Departure(process, self._session.now_text()))
            # Where a step takes none, others take them, or their rows are about to change: the next rescue sees.
            is_last = step.is_last or not step.taken
            all_taken, all_failed = all_taken + step.taken, all_failed + len(step.failed)
            await self._session.tell_of_failures(step.failed)
            await asyncio.sleep(0)
        return all_taken, all_failed

    async def retire(self) -> None:
        if self._session.notifier is not None and self._loop is asyncio.get_running_loop():
            self._database.hurry()
            with suppress(StoreUnavailable):  # who takes over finds the same
                await self._in_steps(self._members.retire, self._database.registration.number)
        self._session.local.forget_all()

    async def close(self) -> None:
        notifier = self._session.notifier
        if notifier is None:
            return
        if self._loop is asyncio.get_running_loop():
            with suppress(StoreUnavailable):
                await self._settle(notifier.signals)  # a claim may have come when nobody took it any more
                # What has become pending since `retire`.
                await self._in_steps(self._members.retire, self._database.registration.number)
                await self._database.registration.leave(self._database)
        self._stop()

    def _stop(self) -> None:
        self._watch.stop()
        self._database.stop()
        if self._session.notifier is not None:
            self._session.notifier.stop()
        self._session.notifier = None

    async def find_problem(self) -> str | None:
        try:
            async with asyncio.timeout(_CHECK_SECONDS):
                await self._database.write(self._members.touch, self._database.registration.number)
                await self._database.read(self._session.statements.queries.count_by_status, ALL_JOBS)
                notice = await self._database.find_notice()
        except TimeoutError:
            return self._tell(self._database.find_trouble() or "the database does not answer.")
        except StoreUnavailable as error:
            return self._tell(error.reason)
        trouble = self._database.find_trouble()  # a few bytes may find room where a job does not
        if trouble is not None:
            return self._tell(trouble)
        if self._database.registration.held_seconds <= 0:
            return f"No jobs run in this process at the moment: {LEASE_OVER}"
        return None if notice is None else Notice(notice)

    def _tell(self, reason: str) -> str:
        """The problem in words for clients. They need not know the place of the jobs, which the log tells."""
        self._session.failures.warn("The job store %s is not well: %s", self._database.location, reason)
        return f"Jobs cannot be kept at the moment: {reason}"
