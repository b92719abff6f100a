"""Running a program: what it writes goes into files byte for byte, and into the job's log as it comes."""

import os
import selectors
import signal
import subprocess
import tempfile
import threading
import time
from codecs import getincrementaldecoder
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import IO, Final

from servicekit.jobs.current import RunningJob
from servicekit.runners.output import OutputTail, ProgressReader
from servicekit.tasks.calls import CommandCall
from servicekit.tasks.secret_places import MASK

# A pipe holds as much on Linux, unless a program asks for more; the kernel's default for the most is 1 MiB.
_CHUNK_BYTES: Final = 64 * 1024
_LARGEST_PIPE_BYTES: Final = 1024 * 1024
_IN_MEMORY_BYTES: Final = 64 * 1024  # most programs write little, for which a file would cost more than all the rest
_TAIL_BYTES: Final = 64 * 1024  # as `Command` keeps for its result

TakeBytes = Callable[[bytes], None]


class Output:
    """One stream of a program: all of it in a file, its end in memory, and each piece passed on."""

    def __init__(self, take: TakeBytes, secrets: Sequence[str]) -> None:
        self.file: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES)  # noqa: SIM115 # closed below
        self.size = 0
        self.problem: OSError | None = None
        """Why not all of it is in the file: the disk is full, for example."""
        self.is_text = True
        """Whether all of it is UTF-8."""
        self._tail = OutputTail(_TAIL_BYTES, take)
        self._mask = Masking(secrets)
        self._decoder = getincrementaldecoder("utf-8")()

    def take(self, data: bytes) -> None:
        """Take the next piece; an empty one is the end. The program waits meanwhile, so that memory is bounded."""
        self._keep(self._mask.pass_on(data))

    def finish(self) -> None:
        """Take what was held back: the program has ended."""
        self.take(b"")
        self._check_text(b"", is_end=True)
        self._tail(b"")

    def _keep(self, data: bytes) -> None:
        if not data:
            return
        if self.problem is None:
            try:
                self.file.write(data)
                self.size += len(data)
            except OSError as error:  # the program goes on: what it does may matter more than what it says
                self.problem = error
        self._check_text(data)
        self._tail(data)

    def _check_text(self, data: bytes, *, is_end: bool = False) -> None:
        if self.is_text:
            try:
                self._decoder.decode(data, is_end)
            except UnicodeDecodeError:
                self.is_text = False

    @property
    def text(self) -> str:
        """The last of it, as text."""
        return self._tail.text

    @property
    def last_line(self) -> str:
        return self._tail.last_line

    def close(self) -> None:
        self.file.close()


class Masking:
    """Replaces secrets in a stream, also those that come in two pieces."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._secrets = [secret.encode(errors="surrogatepass") for secret in secrets]
        self._held = b""

    def pass_on(self, data: bytes) -> bytes:
        """The stream so far, without what may be the beginning of a secret. An empty piece gives all that was held."""
        if not self._secrets:
            return data
        is_end, data = not data, self._held + data
        for secret in self._secrets:
            data = data.replace(secret, MASK.encode())
        kept = 0 if is_end else max(_begun(data, secret) for secret in self._secrets)
        self._held = data[len(data) - kept :]
        return data[: len(data) - kept]


def _begun(data: bytes, secret: bytes) -> int:
    """How many of the last bytes may be the beginning of the secret."""
    longest = min(len(data), len(secret) - 1)
    return next((length for length in range(longest, 0, -1) if data.endswith(secret[:length])), 0)


class Program:
    """One run of a program. `run` blocks its thread until the program has ended; others may `stop` it."""

    def __init__(self, call: CommandCall, job: RunningJob) -> None:
        self.stdout = Output(ProgressReader(job, _Forward(1)), call.secrets)
        self.stderr = Output(_Forward(2), call.secrets)
        self.problem: OSError | None = None
        """Why it could not be started."""
        self.exit_code: int | None = None
        """As `subprocess` tells it: negative for a signal; `None` if it did not run."""
        self.seconds = 0.0
        self.was_asked = False
        self._call = call
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def run(self) -> None:
        """Run the program to its end. What it leaves behind may go on, and is not read any more."""
        begun = time.monotonic()
        with self._lock:
            if self.was_asked:
                return
            try:
                self._process = process = self._start()
            except OSError as error:
                self.problem = error
                return
        ended, ending = os.pipe()
        waiter = threading.Thread(target=_wait, args=(process, ending), name="servicekit program", daemon=True)
        waiter.start()
        try:
            self._read(process, ended)
        finally:
            waiter.join()
            os.close(ended)
        self.exit_code = process.returncode
        self.seconds = time.monotonic() - begun
        self.stdout.finish()
        self.stderr.finish()

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the program and to all that is still in its process group. It will not begin after that."""
        with self._lock:
            self.was_asked = True
            if self._process is not None and self._process.returncode is None:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._process.pid, number)

    def _start(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            self._call.argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self._call.cwd,
            env={**os.environ, **self._call.env},
            process_group=0,
        )

    def _read(self, process: "subprocess.Popen[bytes]", ended: int) -> None:
        """Read both streams until both end, or the program has ended: what it leaves behind can hold them open."""
        assert process.stdout
        assert process.stderr
        outputs = {process.stdout.fileno(): self.stdout, process.stderr.fileno(): self.stderr}
        with process.stdout, process.stderr, selectors.DefaultSelector() as selector:
            for descriptor in (*outputs, ended):
                os.set_blocking(descriptor, False)
                selector.register(descriptor, selectors.EVENT_READ)
            while outputs:
                ready = [key.fd for key, _ in selector.select()]
                if ended in ready:
                    for descriptor, output in outputs.items():
                        _take_rest(descriptor, output)
                    return
                for descriptor in ready:
                    data = os.read(descriptor, _CHUNK_BYTES)
                    if data:
                        outputs[descriptor].take(data)
                    else:
                        selector.unregister(descriptor)
                        del outputs[descriptor]


def _take_rest(descriptor: int, output: Output) -> None:
    """Take what the pipe holds. The program has written it before its end."""
    with suppress(BlockingIOError):
        data = os.read(descriptor, _LARGEST_PIPE_BYTES)
        if data:
            output.take(data)


def _wait(process: "subprocess.Popen[bytes]", ending: int) -> None:
    process.wait()
    os.close(ending)


class _Forward:
    """Writes to the output of the job's process, which the service makes lines of the job's log of."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __call__(self, data: bytes) -> None:
        with suppress(OSError):  # the service has ended, and this process will be ended too
            while data:
                data = data[os.write(self._descriptor, data) :]
