"""`make demo-cluster`, as a newcomer would see it, and what is left of it."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.needs import needs
from tests.service import STOP_SECONDS

ROOT = Path(__file__).parents[2]
pytestmark = needs("postgresql")


@contextmanager
def run_demo(folder: Path) -> Iterator["subprocess.Popen[str]"]:
    # The job would go on for eight seconds after its third step, at which its worker is killed.
    environment = os.environ | {"STEP_SECONDS": "0.1", "TMPDIR": str(folder)}
    with subprocess.Popen(
        [sys.executable, "-m", "tools.demo_cluster", "--steps", "80"],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where temporary files are, for every user, as /tmp: the server has one of its own."""
    with TemporaryDirectory(prefix="servicekit-tests-") as name:
        Path(name).chmod(0o1777)
        yield Path(name)


def test_the_stream_goes_on_through_another_service_when_the_worker_is_killed(folder: Path) -> None:
    with run_demo(folder) as process:
        output, _ = process.communicate(timeout=100)
    assert process.returncode == 0, output
    killed, completed = re.findall(r"\$ kill -9 \d+   # (worker \d)|completed  at (worker \d), attempt 2", output)
    assert killed[0] != completed[1]
    assert output.endswith("Nothing is left of them.\n")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_of_a_demo_that_is_stopped_in_the_middle(stop: signal.Signals, folder: Path) -> None:
    with run_demo(folder) as process:
        assert process.stdout
        output = ""
        while "attempt 1" not in output:
            line = process.stdout.readline()
            assert line, output
            output += line
        process.send_signal(stop)
        output += process.communicate(timeout=STOP_SECONDS)[0]
    if stop is signal.SIGINT:
        assert (process.returncode, output.rpartition("\n\n")[2]) == (0, "Stopped.\n")
    pids = [int(pid) for pid in re.findall(r"pid (\d+)", output)]
    assert len(pids) == 4
    deadline = time.monotonic() + STOP_SECONDS
    while any(map(is_there, pids)) or list(folder.iterdir()):  # what ends after its parent ends by itself
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # One that has ended and that nobody waits for: here, its parent was killed.
    return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
