"""The host of a work, on a node of the cluster: runs it there as the service would, by a launcher of the node."""

import asyncio
import math
import os
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from typing import Any, Final, Protocol

from servicekit.jobs.current import JobCall, RunningJob
from servicekit.jobs.options import RunnerKind
from servicekit.jobs.outcome import describe_error
from servicekit.jobs.submission import Submission
from servicekit.runners.cluster.mailbox import (
    ANSWER,
    BEAT_SECONDS,
    KILL,
    RETRY_SECONDS,
    HostEnd,
    News,
    Order,
    wait_event,
)
from servicekit.runners.cluster.mark import take_mark
from servicekit.runners.launcher import Launcher
from servicekit.runners.outcomes import MAX_OUTCOME_BYTES
from servicekit.runners.output import OutputLog
from servicekit.runners.reports import dump_artifact, dump_line, dump_progress, take_report
from servicekit.runners.submissions import MAX_REQUEST_BYTES
from servicekit.runners.work import OutcomeFile, WorkEnd, WorkPlan

# News wait for so long, and what comes meanwhile goes with them. A work that ends within that time says all at its end.
_PAUSE_SECONDS: Final = 0.02
# The cluster may fail to take a large end, for want of memory or of room on a disk. What ran must not count as not
# begun then. Smaller ends go with the answer of the task itself.
_LARGE_BYTES: Final = 1_000_000
# The gateway orders the kill after the grace time.
_GRACE_SECONDS: Final = math.inf
_SILENCE: Final = f"its node has heard nothing of the service for {BEAT_SECONDS:g} seconds"


class Post(Protocol):
    """The mailbox, from a node. Its methods raise anything if the mailbox cannot be reached."""

    @property
    def node(self) -> str:
        """The id of the node."""
        ...

    async def begin(self, key: str) -> float | None:
        """See `Mailbox.begin`."""
        ...

    async def push(self, key: str, number: int, news: News) -> None:
        """See `Mailbox.push`."""
        ...

    async def take_orders(self, key: str) -> tuple[list[Order], float]:
        """See `Mailbox.take_orders`."""
        ...


def run_work(post: Post, key: str, request: Mapping[str, Any], stdin: bytes) -> HostEnd | None:
    """Run a work until nothing of it is left; in the main thread of a process of the cluster.

    `None` if it has not begun, since the gateway wants it no more.
    """
    launcher = _find_launcher()
    with take_mark(key, request["job_id"]) as mark:
        host = Host(post, key, request, stdin, launcher, mark.fileno())
        try:
            return asyncio.run(host.run())
        except Exception as error:  # whatever it is, the work may have begun
            return host.describe_loss(f"its host failed: {describe_error(error)}")
        finally:
            # The cluster may interrupt this thread. What it takes for the end of the work must be its end.
            while not launcher.end_cut_off(host.job):
                pass


@cache
def _find_launcher() -> Launcher:
    """The launcher of this process, which stays for its next work, as the cluster keeps processes for that."""
    return Launcher()


class Host:
    """One work, and what is said of it in both directions."""

    database_url: str | None = None

    def __init__(
        self,
        post: Post,
        key: str,
        request: Mapping[str, Any],
        stdin: bytes,
        launcher: Launcher,
        guard: int | None = None,
    ) -> None:
        self._post = post
        self._node = post.node
        self._key = key
        self._launcher = launcher
        submission = Submission(request["job_id"], request["name"], run_work, (), {}, RunnerKind.PROCESS)
        self.job = RunningJob(submission, request["attempt"], self)
        self.job.kill_grace_seconds = _GRACE_SECONDS
        self.job.guard = guard
        self._has_news = asyncio.Event()
        self._calls = _CallRelay(self._has_news.set)
        self._plan = WorkPlan(
            request={**_adapt(request), "has_guard": guard is not None},
            make_stdin=lambda: stdin,
            take_stdout=OutputLog(self.job, "stdout", "info"),
            take_stderr=OutputLog(self.job, "stderr", "warning"),
            take_report=self._take_report,
            submissions=self._calls,
        )
        self._has_begun = self._has_told_begin = False
        self._told_artifact: str | None = None
        self._lost: str | None = None
        self._pushed = 0
        self._is_over = asyncio.Event()
        self._heard_at = time.monotonic()
        self._working: asyncio.Task[WorkEnd] | None = None

    async def run(self) -> HostEnd | None:
        # The work may have waited in the cluster for minutes. If the gateway died meanwhile, the next attempt may run.
        try:
            if not await self._ask_to_begin():
                return None
        except Exception:  # the cluster's own errors are of many kinds
            return self._describe(None, _SILENCE)
        self._working = asyncio.create_task(self._launcher.run(self._plan, self.job))
        telling, listening = asyncio.create_task(self._tell()), asyncio.create_task(self._listen())
        while not self._working.done():
            try:
                await asyncio.wait({self._working})
            except asyncio.CancelledError:  # the cluster interrupts its own tasks so
                self._stop(_GRACE_SECONDS)
        self._is_over.set()
        self._has_news.set()
        # What is on its way to the mailbox arrives, unless the mailbox is lost.
        await asyncio.wait({telling, listening}, return_when=asyncio.FIRST_COMPLETED)
        telling.cancel()
        listening.cancel()
        await asyncio.wait({telling, listening})
        self.job.finish_log()
        try:
            end = self._working.result()
        except OSError as error:
            return self._describe(None, str(error))
        if end.outcome_file is not None and os.fstat(end.outcome_file.descriptor).st_size > _LARGE_BYTES:
            await self._push_begin()
        return self._describe(end, end.start_problem)

    def describe_loss(self, reason: str) -> HostEnd:
        """What is said of a work whose end was not seen."""
        return self._describe(None, None)._replace(has_begun=self._has_begun, lost=reason)

    def notify_begun(self, job: RunningJob) -> None:  # noqa: ARG002
        self._has_begun = True
        self._has_news.set()

    def notify_report(self, job: RunningJob) -> None:  # noqa: ARG002
        self._has_news.set()

    async def submit_for(self, job: RunningJob, call: JobCall) -> str:
        """The call's own process submits, over a socket: see `_CallRelay`."""
        raise NotImplementedError

    def submit_blocking_for(self, job: RunningJob, call: JobCall) -> str:
        raise NotImplementedError

    def _take_report(self, data: bytes) -> None:
        take_report(self.job, data)
        if self.job.artifact_id != self._told_artifact:  # of which the job notifies nobody
            self._has_news.set()

    async def _tell(self) -> None:
        """Push news until the work is over."""
        while not self._is_over.is_set():
            await wait_event(self._has_news, self.job.seconds_to_next_line())
            await wait_event(self._is_over, _PAUSE_SECONDS)
            if self._is_over.is_set():
                return
            self._has_news.clear()
            news = self._take_news()
            if news is not None:
                await self._push(news)

    async def _push(self, news: News) -> None:
        """Push until the mailbox has taken it, or is lost."""
        while True:
            try:
                await self._post.push(self._key, self._pushed + 1, news)
            except Exception:  # the cluster's own errors are of many kinds
                if self._silence_seconds > BEAT_SECONDS:
                    return
                await asyncio.sleep(RETRY_SECONDS)
            else:
                self._pushed += 1
                return

    async def _push_begin(self) -> None:
        if not self._has_told_begin:
            self._has_told_begin = True
            with suppress(TimeoutError):
                async with asyncio.timeout(BEAT_SECONDS):
                    await self._push(News(self._node, [], b""))

    async def _ask_to_begin(self) -> bool:
        """Whether the gateway is there, and wants the work to begin. Raises anything if it is not there."""
        while True:
            try:
                is_wanted = await self._ask()
            except Exception:  # the cluster's own errors are of many kinds
                if self._silence_seconds > BEAT_SECONDS:
                    raise
                await asyncio.sleep(RETRY_SECONDS)
            else:
                if is_wanted and self._silence_seconds > BEAT_SECONDS:
                    raise TimeoutError
                return is_wanted

    async def _ask(self) -> bool:
        """Ask for the gateway's last sign of life, and whether it wants the work. Raises anything without an answer."""
        asked_at = time.monotonic()
        async with asyncio.timeout(self._patience_seconds):
            age = await self._post.begin(self._key)
        if age is not None:
            self._heard_at = asked_at - age
        return age is not None

    def _take_news(self) -> News | None:
        begun_on = self._node if self._has_begun and not self._has_told_begin else None
        self._has_told_begin = self._has_begun
        reports = [dump_line(line.text, line.level, line.source) for line in self.job.take_lines()]
        progress = self.job.take_progress()
        if progress is not None:
            reports.append(dump_progress(progress))
        if self.job.artifact_id != self._told_artifact:
            self._told_artifact = self.job.artifact_id
            reports.append(dump_artifact(str(self._told_artifact)))
        calls = self._calls.take_all()
        return News(begun_on, reports, calls) if begun_on or reports or calls else None

    async def _listen(self) -> None:
        """Obey the gateway. If nothing is heard of it for too long, kill the work."""
        await asyncio.sleep(_PAUSE_SECONDS)
        while True:
            try:
                async with asyncio.timeout(self._patience_seconds):
                    orders, age = await self._post.take_orders(self._key)
            except Exception:  # the cluster's own errors are of many kinds
                await asyncio.sleep(RETRY_SECONDS)
            else:
                self._heard_at = time.monotonic() - age
                for order in orders:
                    self._obey(order)
            if self._silence_seconds > BEAT_SECONDS:
                with suppress(Exception):  # as above
                    await self._ask()  # once more: this process may have stood still itself
            if self._silence_seconds > BEAT_SECONDS:
                if not self._is_over.is_set():
                    self._lost = _SILENCE
                    self._stop(grace_seconds=0)
                return

    @property
    def _patience_seconds(self) -> float:
        return max(RETRY_SECONDS, BEAT_SECONDS - self._silence_seconds)

    @property
    def _silence_seconds(self) -> float:
        return time.monotonic() - self._heard_at

    def _obey(self, order: Order) -> None:
        kind, data = order
        if kind == ANSWER:
            self._calls.answer(data)
        else:
            self._stop(grace_seconds=0 if kind == KILL else _GRACE_SECONDS)

    def _stop(self, grace_seconds: float) -> None:
        if self.job.is_cancel_requested and grace_seconds >= self.job.kill_grace_seconds:
            return  # the cluster asks, and the gateway too: twice would interrupt what tidies up
        self.job.kill_grace_seconds = min(grace_seconds, self.job.kill_grace_seconds)
        self.job.request_cancel()
        if self.job.is_interruptible and self._working is not None:
            self._working.cancel()

    def _describe(self, end: WorkEnd | None, start_problem: str | None) -> HostEnd:
        outcome = None
        if end is not None and end.outcome_file is not None:
            outcome = _read(end.outcome_file)
        return HostEnd(
            has_begun=end is not None and end.has_begun,
            status=None if end is None else end.status,
            error=None if end is None else end.error,
            start_problem=start_problem,
            lost=self._lost,
            excess=None if end is None else end.excess,
            outcome=outcome,
            rest=self._take_news() or News(None, [], b""),
            pushed=self._pushed,
        )


class _CallRelay:
    """Passes on what the call asks for by the socket of its submissions, and the answers."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._descriptor = -1
        self._data = bytearray()
        self._wake = wake

    def open(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def take(self, data: bytes) -> None:
        if not data or len(self._data) > 2 * MAX_REQUEST_BYTES:  # who does not wait for answers gets no more of them
            self._descriptor = -1
        elif self._descriptor >= 0:
            self._data += data
            self._wake()

    def take_all(self) -> bytes:
        data = bytes(self._data)
        self._data.clear()
        return data

    def answer(self, data: bytes) -> None:
        if self._descriptor >= 0:
            with suppress(OSError):  # a process that does not read its answers loses them
                os.write(self._descriptor, data)


def _adapt(request: Mapping[str, Any]) -> dict[str, object]:
    """The request with what is of this node: its directory, environment and folders of modules.

    After those come the service's folders that are here as well.
    """
    own = [folder for folder in sys.path if isinstance(folder, str)]
    shared = [folder for folder in request["path"] if folder not in own and os.path.exists(folder)]  # noqa: PTH110
    return {
        **request,
        "cwd": os.getcwd(),  # noqa: PTH109 # it may be gone, which the work then tells by itself
        "env": {**os.environ, **request["env"]},
        "path": [*own, *shared],
    }


def _read(file: OutcomeFile) -> bytes | None:
    with_limit = os.fstat(file.descriptor).st_size <= MAX_OUTCOME_BYTES
    data = os.pread(file.descriptor, MAX_OUTCOME_BYTES, 0) if with_limit else None
    file.close()
    return data
