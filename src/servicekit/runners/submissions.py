"""Jobs that a job's own process submits: its requests, and the service's answers.

Both go through one socket. Each is a number of bytes, and so many bytes of JSON. The service does not trust the
process: a request has a limit, and names its target, as a row of the file does. A request is answered before the next
one is read.
"""

import asyncio
import json
import logging
import os
import socket
import threading
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Final

from servicekit.errors import (
    IdempotencyConflict,
    InvalidArguments,
    InvalidTarget,
    QueueFull,
    SchedulerClosed,
    ServicekitError,
    StoreUnavailable,
)
from servicekit.jobs.backoff import Backoff, FailureLog
from servicekit.jobs.current import JobCall, RunningJob
from servicekit.jobs.option_texts import dump_options, parse_options
from servicekit.jobs.options import RunnerKind
from servicekit.jobs.outcome import clip, describe_error
from servicekit.jobs.restartable import describe_call, load_call, refuse
from servicekit.jobs.submission import CallProblem, Submission, name_of
from servicekit.jobs.threads import start_in_thread

# The service holds two of them for each job, at the most.
MAX_REQUEST_BYTES: Final = 1024 * 1024
# The length of the number that says how many bytes follow.
_SIZE_BYTES: Final = 4
# So much of each fact of an error is told. An answer must fit into the socket at once, since nobody waits to write it.
_MOST_CHARACTERS: Final = 2_000

_log = logging.getLogger("servicekit.engine")

_FACTS: Final[dict[type[ServicekitError], tuple[str, ...]]] = {
    QueueFull: ("queue", "limit"),
    IdempotencyConflict: ("key", "job_id"),
    InvalidArguments: ("target", "argument", "reason"),
    StoreUnavailable: ("place", "reason"),
    SchedulerClosed: (),
}
"""The errors that the process raises as they are, and the attributes of which they are made."""
_ERRORS: Final = {kind.__name__: kind for kind in _FACTS}


class SubmissionServer:
    """The service's end. It takes requests as they are read, and answers them in order."""

    def __init__(self, job: RunningJob) -> None:
        self._job = job
        self._descriptor = -1
        self._heard = b""
        self._serving: asyncio.Task[None] | None = None
        self._failures = FailureLog(_log)

    def open(self, descriptor: int) -> None:
        """Answer into this socket, until nothing more is read from it."""
        self._descriptor, self._heard = descriptor, b""

    def take(self, data: bytes) -> None:
        """Take what was read from the socket; nothing (`b""`) at its end."""
        if self._descriptor < 0:
            return
        self._heard += data
        if not data or len(self._heard) > 2 * MAX_REQUEST_BYTES:
            self._close()
        self._serve_next()

    def _close(self) -> None:
        """Neither read nor answer any more. Another file may have the descriptor's number by the next answer."""
        self._descriptor, self._heard = -1, b""

    def _serve_next(self) -> None:
        if self._serving is not None or len(self._heard) < _SIZE_BYTES:
            return
        end = _SIZE_BYTES + int.from_bytes(self._heard[:_SIZE_BYTES])
        if end > _SIZE_BYTES + MAX_REQUEST_BYTES:
            self._close()
        elif len(self._heard) >= end:
            request, self._heard = self._heard[_SIZE_BYTES:end], self._heard[end:]
            self._serving = asyncio.get_running_loop().create_task(self._serve(request))

    async def _serve(self, request: bytes) -> None:
        try:
            answer = await self._answer(request)
            if self._descriptor >= 0:
                with suppress(OSError):  # a process that does not read its answers loses them
                    os.write(self._descriptor, frame(answer))
        finally:
            self._serving = None
        self._serve_next()

    async def _answer(self, request: bytes) -> object:
        number: object = None
        try:
            number, reference, arguments, options = json.loads(request)
            call = await self._load(reference, arguments, options)
            return [number, await self._job.submit(call)]
        except tuple(_FACTS) as error:
            facts = [getattr(error, name) for name in _FACTS[type(error)]]
            return [number, None, type(error).__name__, [_bounded(fact) for fact in facts]]
        except InvalidTarget as error:
            return [number, None, None, clip(error.reason, _MOST_CHARACTERS)]
        except Exception as error:  # the service cannot import the target, or the request makes no sense
            return [number, None, None, f"the service cannot submit it: {describe_error(error)}"]

    async def _load(self, reference: str, arguments: str, options: str | None) -> JobCall:
        """Load the call in a thread: to import its module may take long, and runs unknown code.

        If the system gives no thread, the job waits for one. Its time limits go on meanwhile.
        """
        backoff = Backoff()
        while True:
            try:
                loading = start_in_thread(_load, reference, arguments, options)
            except RuntimeError as error:
                if self._descriptor < 0:
                    raise
                self._failures.warn("The job that job %s submits has to wait: %s", self._job.id, error)
                await asyncio.sleep(backoff.next_seconds())
            else:
                return await loading


def _bounded(fact: object) -> object:
    return clip(fact, _MOST_CHARACTERS) if isinstance(fact, str) else fact


def _load(reference: str, arguments: str, options: str | None) -> JobCall:
    target, args, kwargs = load_call(reference, arguments)
    return JobCall(target, args, kwargs, parse_options(options))


class SubmissionClient:
    """The process's end. Requests of several threads are sent one after the other."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._lock = threading.Lock()
        self._last = 0

    def ask(self, job_id: str, call: JobCall) -> "Future[str]":
        """Submit a job. `InvalidTarget` or `InvalidArguments` if the call cannot be described, or is too large."""
        request = _describe(job_id, call)
        future: Future[str] = Future()
        future.set_running_or_notify_cancel()  # a caller that is canceled must not cancel this future
        # In the target's thread, a request to stop could interrupt the exchange half-way, and the next answer would be
        # read as this one's.
        threading.Thread(target=self._exchange, args=(call, request, future), daemon=True).start()
        return future

    def _exchange(self, call: JobCall, request: list[object], future: "Future[str]") -> None:
        try:
            with self._lock:
                self._last += 1
                self._socket.sendall(frame([self._last, *request]))
                answer = json.loads(self._read(int.from_bytes(self._read(_SIZE_BYTES))))
            future.set_result(_read_answer(call, *answer))
        except OSError:  # the service has gone
            future.set_exception(SchedulerClosed())
        except Exception as error:
            future.set_exception(error)

    def _read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            part = self._socket.recv(count - len(data))
            if not part:
                raise ConnectionError
            data += part
        return data


def _describe(job_id: str, call: JobCall) -> list[object]:
    name = call.options.name or name_of(call.target)
    described = describe_call(Submission(job_id, name, call.target, call.args, call.kwargs, RunnerKind.THREAD))
    if isinstance(described, CallProblem):
        raise refuse(call.target, described)
    request: list[object] = [described.reference, described.arguments, dump_options(call.options)]
    if len(json.dumps(request)) > MAX_REQUEST_BYTES - 100:  # the number of the request comes to it
        reason = f"they have more than {MAX_REQUEST_BYTES:,} bytes. Write them to a file, and pass its path"
        raise InvalidArguments(name, None, reason)
    return request


def _read_answer(call: JobCall, _number: int, job_id: str | None, error: str | None = None, facts: Any = None) -> str:
    if job_id is not None:
        return job_id
    if error is None:
        raise InvalidTarget(call.target, facts)
    raise _ERRORS[error](*facts)


def frame(message: object) -> bytes:
    data = json.dumps(message).encode()
    return len(data).to_bytes(_SIZE_BYTES) + data
