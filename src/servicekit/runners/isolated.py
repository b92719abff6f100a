"""The call in a job's own process, with a `current_job()` that reaches the service."""

import asyncio
import ctypes
import errno
import faulthandler
import logging
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from ulid import ULID

from servicekit.errors import JobCanceled, NoCurrentJob
from servicekit.jobs.current import JobCall, RunningJob
from servicekit.jobs.database_url import URL_VARIABLE, database_url_of
from servicekit.jobs.options import JobOptions, RunnerKind
from servicekit.jobs.outcome import CANCELED, Outcome, failure
from servicekit.jobs.submission import Submission
from servicekit.jobs.this_process import this_process
from servicekit.runners.calls import LOADING, load_call
from servicekit.runners.coroutine import CoroutineRunner
from servicekit.runners.functions import call_target, is_coroutine
from servicekit.runners.outcomes import write_outcome
from servicekit.runners.printing import log_records, open_output
from servicekit.runners.reports import dump_artifact, dump_line, dump_progress
from servicekit.runners.submissions import SubmissionClient

# Twenty times a second look continuous. More would cost a quick loop and the service time.
PROGRESS_SECONDS: Final = 0.05


def main(request: Mapping[str, Any], *, call: int, report: int, outcome_file: int, calls: int) -> None:
    """Make the call that one file describes, and write its outcome to another."""
    pid, outcome_descriptor = os.getpid(), GuardedDescriptor(outcome_file)
    this_process.runs_one_job = True
    # On a node of a cluster it is the node's own: it is not sent there.
    this_process.database_url = request.get("database_url", database_url_of(os.environ.get(URL_VARIABLE)))
    job = IsolatedJob(_describe(request), request["attempt"], GuardedDescriptor(report), calls)
    _prepare_output(job, request["log_level"])
    job.listen_to_signals()
    outcome = _run(request, call, job)
    if os.getpid() == pid:  # else this is a child that the target has forked, which must not speak for the job
        job.send_progress()
        if outcome_descriptor.is_open:
            write_outcome(outcome, job, outcome_descriptor.descriptor)
    _flush_output()


class GuardedDescriptor:
    """A descriptor by which the job speaks to the service, as long as the target has not closed it.

    The kernel gives a closed descriptor's number to the next file that the target opens. Nothing must be written there.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._identity = self._identify()

    @property
    def is_open(self) -> bool:
        return self._identify() == self._identity

    def _identify(self) -> tuple[int, int] | None:
        try:
            status = os.fstat(self.descriptor)
        except OSError:
            return None
        return status.st_dev, status.st_ino


class IsolatedJob(RunningJob):
    """The running job in its own process. It sends its reports to the service, and is asked to stop by a signal."""

    def __init__(self, submission: Submission, attempt: int, report: GuardedDescriptor, calls: int) -> None:
        super().__init__(submission, attempt, host=self)
        self.interrupt: Callable[[], object] | None = None
        """Makes the target stop where it is."""
        self._report = report
        self._link: SubmissionClient | None = SubmissionClient(calls)
        self._next_progress_at = 0.0
        self._is_waiting = False
        self._is_told = False
        self._masks = threading.local()

    @property
    def database_url(self) -> str | None:
        return this_process.database_url

    def log(self, text: str, level: str = "info", source: str = "log") -> None:
        for line in str(text).removesuffix("\n").split("\n"):
            self._send(dump_line(line, str(level).lower(), source))

    def name_artifact(self, artifact_id: str | ULID) -> None:
        super().name_artifact(artifact_id)
        # At once: the process may be killed, and then nobody would know.
        self._send(dump_artifact(str(self.artifact_id)))

    def notify_begun(self, job: RunningJob) -> None:
        """Nothing to do: the service knows it from the supervisor."""

    def notify_report(self, job: RunningJob) -> None:  # noqa: ARG002 (it is this one)
        """Send new progress, at most every `PROGRESS_SECONDS`. Called once until the progress was taken."""
        delay = self._next_progress_at - time.monotonic()
        if delay <= 0:
            self.send_progress()
        else:
            timer = threading.Timer(delay, self.send_progress)
            timer.daemon = True
            timer.start()

    def send_progress(self) -> None:
        """Send the newest progress, if it was not sent yet."""
        progress = self.take_progress()
        if progress is not None:
            self._next_progress_at = time.monotonic() + PROGRESS_SECONDS
            self._send(dump_progress(progress))

    def wait_cancel_requested(self, timeout: float | None = None) -> bool:
        # A function that waits here learns of the request by the result. So it is not interrupted any more.
        is_main = threading.current_thread() is threading.main_thread()
        if is_main:
            self._is_waiting = True
        try:
            is_asked = self._is_asked(timeout)
            if is_asked:
                self.request_cancel()
                self._is_told = self._is_told or is_main
        finally:
            if is_main:
                self._is_waiting = False
        return is_asked

    async def submit_for(self, job: RunningJob, call: JobCall) -> str:
        return await asyncio.wrap_future(self._made_link().ask(job.id, call))

    def submit_blocking_for(self, job: RunningJob, call: JobCall) -> str:
        return self._made_link().ask(job.id, call).result()

    def _made_link(self) -> SubmissionClient:
        if self._link is None:
            raise NoCurrentJob
        return self._link

    def listen_to_signals(self) -> None:
        """Take requests to stop from now on, and one that has come before."""
        signal.signal(signal.SIGTERM, self._on_sigterm)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        # CPython forgets, in the child, a signal that came during a fork, as when a pool is ended as soon as it has
        # begun. So the signal is blocked during a fork, and waits in the kernel until the child can take it.
        os.register_at_fork(
            before=self._hold_back_signal,
            after_in_parent=self._let_signal_pass,
            after_in_child=self._become_bystander,
        )

    def raise_in_target(self) -> None:
        """Interrupt a function, unless it waits for the request or has seen it."""
        if not (self._is_waiting or self._is_told):
            raise JobCanceled(self.id)

    def _on_sigterm(self, *_: object) -> None:
        # Systemd, for example, sends this signal to each process of a service. What that means for a job is up to the
        # service, which confirms its own requests by a message. If the target has closed the descriptor of the
        # messages, every signal counts.
        if not self._report.is_open or self._is_asked(0):
            self.request_cancel()
            if self.interrupt is not None:
                self.interrupt()

    def _is_asked(self, timeout: float | None) -> bool:
        # The service sends nothing else there, and nobody reads it. So it wakes every thread that waits for it.
        poll = select.poll()
        if self._report.is_open:
            poll.register(self._report.descriptor, select.POLLIN)
        return bool(poll.poll(None if timeout is None else 1_000 * timeout)) or self.is_cancel_requested

    def _hold_back_signal(self) -> None:
        self._masks.at_fork = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def _let_signal_pass(self) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._masks.at_fork)

    def _become_bystander(self) -> None:
        """In a forked child of this process, which must not speak for the job."""
        if signal.getsignal(signal.SIGTERM) == self._on_sigterm:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self._let_signal_pass()
        self._link = None
        self._is_notified = False  # a thread that was to send the progress is only in the parent

    def _send(self, message: bytes) -> None:
        while self._report.is_open:
            try:
                os.write(self._report.descriptor, message)
            except OSError as error:
                # On some systems a full socket does not block, but fails. The service reads within milliseconds.
                if error.errno == errno.ENOBUFS:
                    time.sleep(0.01)
                    continue
            return


def _describe(request: Mapping[str, Any]) -> Submission:
    """The job as it is known before its target is imported. `_describe` itself stands for the target."""
    options = JobOptions(tags=request["tags"], metadata=request["metadata"], owner=request["owner"])
    name, parent = request["name"], request["parent"]
    return Submission(request["job_id"], name, _describe, (), {}, RunnerKind.PROCESS, options, parent=parent)


def _run(request: Mapping[str, Any], call: int, job: IsolatedJob) -> Outcome:
    try:
        job.interrupt = _end_process
        os.environ[LOADING] = job.id
        target, args, kwargs = load_call(_read_stdin(call), request["main"])
        os.environ.pop(LOADING, None)  # the target's module may have removed it
        submission = replace(job.submission, target=target, args=args, kwargs=kwargs)
        job.interrupt = job.raise_in_target
        _reseed()
        outcome = call_target(submission, job)
        job.interrupt = None
        if is_coroutine(outcome.result):
            coroutine = replace(submission, target=outcome.result, args=(), kwargs={})
            outcome = asyncio.run(_await(coroutine, job))
    # Of the target's module, of a task that the target has started, or of a signal that came late.
    except BaseException as error:
        job.interrupt = None
        return CANCELED if job.is_cancel_requested and isinstance(error, JobCanceled) else failure(error)
    return outcome


def _reseed() -> None:
    """Seed NumPy's random numbers. Forked processes would all draw the same; Python seeds its own `random` anew."""
    random = sys.modules.get("numpy.random")
    if random is not None:
        random.seed()


def _end_process() -> None:
    """Stop before the target has begun. An exception would not do: the code of an import may catch it."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTERM)


async def _await(submission: Submission, job: IsolatedJob) -> Outcome:
    task, loop = asyncio.current_task(), asyncio.get_running_loop()

    def cancel() -> None:
        if task is not None and job.is_interruptible:
            task.cancel()

    job.interrupt = lambda: loop.call_soon_threadsafe(cancel)
    return await CoroutineRunner().run(submission, job)


def _read_stdin(descriptor: int) -> bytes:
    """Read the file that is open in the place of the standard input, and put an empty one there."""
    with open(descriptor, "rb", closefd=False) as file:
        data = file.read()
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), descriptor)
    return data


def _prepare_output(job: IsolatedJob, log_level: int) -> None:
    # The streams that were inherited belong to the launcher's own output.
    sys.stdout, sys.stderr = open_output(1), open_output(2)
    faulthandler.enable()
    log_records(job)
    logging.getLogger().setLevel(log_level)


def _flush_output() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(BaseException):  # the target may have put any object there
            stream.flush()
    ctypes.CDLL(None).fflush(None)  # what libraries in C have printed
