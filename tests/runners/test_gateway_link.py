"""The service's end of a gateway, with a program that stands for the gateway. No cluster is needed."""

import asyncio
import gc
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from servicekit.jobs.cluster import RayCluster
from servicekit.jobs.current import RunningJob
from servicekit.jobs.status import Transition
from servicekit.runners.cluster import gateway_link
from servicekit.runners.cluster.gateway_link import GatewayLink
from servicekit.runners.cluster.launcher import ClusterLauncher
from servicekit.runners.launcher_link import send_request
from servicekit.runners.launcher_program.messages import CALL
from servicekit.runners.process import ProcessRunner
from servicekit.runners.work import WorkEnd, WorkPlan
from tests.hindering import without_threads
from tests.runners.trial import Trial, wait_gone

# Connects at once, takes requests, and lives on for as long as one of their controls.
_PROGRAM: Final = """
import socket, sys, os
requests = socket.socket(fileno=int(sys.argv[1]))
_, (_, status), _, _ = socket.recv_fds(requests, 1, 9)
os.write(status, b'{"is_connected": true}\\n{"room": [9, 0]}\\n')
controls = []
while (received := socket.recv_fds(requests, 1, 9))[0]:
    controls.append(received[1][1])
for control in controls:
    os.read(control, 1)
"""


class FakePopen(subprocess.Popen[bytes]):
    """The program, where a gateway would be started."""

    failures = 0
    """So many starts fail from now on."""
    program = _PROGRAM

    def __init__(self, argv: list[str], **options: Any) -> None:
        if FakePopen.failures:
            FakePopen.failures -= 1
            self.returncode = 1
            raise BlockingIOError(11, "Resource temporarily unavailable")
        super().__init__([sys.executable, "-c", FakePopen.program, argv[-1]], **options)


_popen: Final = subprocess.Popen


@pytest.fixture(autouse=True)
def _program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", FakePopen)
    monkeypatch.setattr(FakePopen, "failures", 0)
    monkeypatch.setattr(gateway_link, "GONE_SECONDS", 0.1)


class Listener:
    """Hears what a gateway says of itself."""

    def __init__(self) -> None:
        self.connected = asyncio.Event()
        self.ended = asyncio.Event()

    def gateway_connected(self) -> None:
        self.connected.set()

    def gateway_found_room(self, room: int, works: int) -> None:
        pass

    def gateway_failed(self, problem: str) -> None:
        pass

    def gateway_ended(self, link: GatewayLink, *, was_closed: bool) -> None:
        self.ended.set()


async def connect() -> tuple[GatewayLink, Listener]:
    listener = Listener()
    link = GatewayLink({"address": "head:6379"}, listener)
    assert link.prepare()
    await listener.connected.wait()
    return link, listener


def send_work(link: GatewayLink) -> socket.socket:
    """The service's end of the control of a work."""
    ours, theirs = socket.socketpair()
    with theirs, Path(os.devnull).open() as request:
        assert link.send(CALL, [request.fileno(), theirs.fileno()])
    return ours


async def hear(control: socket.socket) -> list[bytes]:
    """The lines that the service hears of a work until it is over."""
    said = b""
    with control:
        control.setblocking(False)
        async with asyncio.timeout(20):
            while b"over" not in said:
                said += await asyncio.get_running_loop().sock_recv(control, 1_000)
    return said.splitlines()


async def wait_until(is_true: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not is_true():
            await asyncio.sleep(0.01)


def make_launcher() -> ClusterLauncher:
    return ClusterLauncher(RayCluster("head:6379"))


async def test_the_works_of_a_gateway_that_was_killed_are_over_though_a_child_has_the_other_end() -> None:
    link, listener = await connect()
    control = send_work(link)
    child = os.dup(link._controls[0])  # a child that was forked from the service has it
    link._process.kill()
    await listener.ended.wait()
    assert await hear(control) == [
        b'{"lost": "the process that speaks to the cluster has ended"}',
        b'{"over": true}',
    ]
    os.close(child)


async def test_a_gateway_that_stands_still_is_ended_and_so_are_its_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_link, "_HANGING_SECONDS", 0.1)
    link, listener = await connect()
    control = send_work(link)
    await listener.ended.wait()
    assert (await hear(control))[0] == b'{"lost": "the process that speaks to the cluster has ended"}'


async def test_a_gateway_that_ends_when_no_thread_can_be_started_leaves_nothing_for_ever() -> None:
    link, listener = await connect()
    control = send_work(link)
    with without_threads():
        link._process.kill()
        await listener.ended.wait()
    assert (await hear(control))[-1] == b'{"over": true}'


async def test_a_cluster_that_does_not_answer_is_told_from_the_beginning_and_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gateway_link, "_HANGING_SECONDS", 0.05)
    monkeypatch.setattr(gateway_link, "_CONNECT_SECONDS", 0.5)
    monkeypatch.setattr(FakePopen, "program", "import time; time.sleep(60)")
    launcher = make_launcher()
    launcher.open()
    process = launcher._link._process  # type: ignore[union-attr]
    assert str(launcher.find_notice()).endswith("UTC: it has not answered yet")
    await wait_until(lambda: "it has not answered within 0.5 seconds" in str(launcher.find_notice()))
    await wait_until(lambda: process.poll() is not None)
    monkeypatch.setattr(FakePopen, "program", _PROGRAM)
    await wait_until(lambda: launcher.find_room(_ignore))
    assert launcher.find_notice() is None
    launcher.close()


async def test_a_gateway_that_cannot_be_asked_at_once_to_connect_is_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = [False, False]  # since too many descriptors are on their way
    monkeypatch.setattr(gateway_link, "send_request", lambda *asked: answers.pop() if answers else send_request(*asked))
    launcher = make_launcher()
    launcher.open()
    await wait_until(lambda: launcher.find_room(_ignore))
    launcher.close()


async def test_a_work_that_does_not_begin_ends_no_other() -> None:
    link, listener = await connect()
    control = send_work(link)
    link.work_stuck("a job has not begun for 60 seconds")
    link.close()
    control.close()
    await listener.ended.wait()
    assert link._process.wait() == 0


async def test_a_gateway_that_takes_no_more_works_has_not_ended_while_one_is_left() -> None:
    link, listener = await connect()
    control = send_work(link)
    link.close()
    with pytest.raises(ConnectionError):
        link.send(CALL, [0, 0])
    link.note_end()
    assert not listener.ended.is_set()
    control.close()
    await listener.ended.wait()


def test_a_link_leaves_no_descriptors_open_if_its_event_loop_ends() -> None:
    async def run_works() -> None:
        link, _ = await connect()
        for _ in range(3):
            send_work(link).close()
        link.close()

    def count() -> int:
        gc.collect()
        return len(list(Path("/proc/self/fd").iterdir()))

    asyncio.run(run_works())
    before = count()
    for _ in range(3):
        asyncio.run(run_works())
    assert count() <= before


async def test_a_gateway_that_cannot_be_started_is_tried_again_and_health_says_so() -> None:
    FakePopen.failures = 2
    launcher = make_launcher()
    launcher.open()
    assert "cannot be started: [Errno 11]" in str(launcher.find_notice())
    await wait_until(lambda: launcher.find_room(_ignore))
    assert launcher.find_notice() is None
    launcher.close()


def test_a_launcher_opens_on_another_event_loop_within_the_pause_of_the_first() -> None:
    launcher = make_launcher()

    async def lose_the_first() -> None:
        launcher.open()
        await wait_until(lambda: launcher.find_room(_ignore))
        assert launcher._link is not None
        launcher._link._process.kill()
        await wait_until(launcher.find_notice)
        launcher.close()

    async def run_on_another() -> None:
        launcher.open()
        await wait_until(lambda: launcher.find_room(_ignore))
        launcher.close()

    asyncio.run(lose_the_first())
    asyncio.run(run_on_another())


def fork_and_look(launcher: ClusterLauncher) -> int:
    """How a forked child ends: 0, if it finds nothing of its parent."""
    child = os.fork()
    if child == 0:
        is_empty = launcher._link is None and launcher.find_room(_ignore) == 0 and launcher._runs == 0
        os._exit(0 if is_empty else 1)
    return os.waitpid(child, 0)[1]


async def test_a_forked_child_begins_without_the_works_of_its_parent() -> None:
    launcher = make_launcher()
    launcher.open()
    await wait_until(lambda: launcher.find_room(_ignore))
    launcher._runs = 3
    assert fork_and_look(launcher) == 0
    assert launcher.find_room(_ignore) == 6
    launcher.close()


async def test_a_gateway_that_cannot_import_its_library_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "ray.py").write_text("raise OSError('libray.so is damaged')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(subprocess, "Popen", FakePopen.__base__)
    launcher = make_launcher()
    launcher.open()
    said = "the library of the cluster cannot be imported: OSError: libray.so is damaged"
    await wait_until(lambda: str(launcher.find_notice()).endswith(said))
    launcher.close()


_SERVICE: Final = """
import asyncio
from servicekit.jobs.cluster import RayCluster
from servicekit.runners.cluster.launcher import ClusterLauncher
async def serve():
    launcher = ClusterLauncher(RayCluster("head:6379"))
    launcher.open()
    print(launcher._link._process.pid, flush=True)
    await asyncio.sleep(1_000)
asyncio.run(serve())
"""
# Nothing else runs in its process meanwhile, as while Ray starts a cluster.
_SLOW_LIBRARY: Final = (
    "import ctypes, pathlib; pathlib.Path(__file__).with_name('began').touch(); ctypes.PyDLL(None).sleep(1_000)"
)


async def test_a_gateway_whose_library_holds_it_up_ends_with_the_service(tmp_path: Path) -> None:
    (tmp_path / "ray.py").write_text(_SLOW_LIBRARY)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    service = _popen([sys.executable, "-c", _SERVICE], env=environment, stdout=subprocess.PIPE)
    with service:
        assert service.stdout is not None
        gateway = int(service.stdout.readline())
        await wait_until((tmp_path / "began").exists)
        service.kill()
    await wait_gone(gateway)


async def test_the_cluster_gets_no_secrets_of_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["service", "--token=hush"])
    monkeypatch.setenv("TOKEN", "hush")
    sent: list[WorkPlan] = []

    async def note(plan: WorkPlan, _job: RunningJob) -> WorkEnd:
        sent.append(plan)
        raise OSError("nobody is there")

    launcher = make_launcher()
    monkeypatch.setattr(launcher._launcher, "run", note)
    trial = Trial(ProcessRunner(launcher), print)
    trial.database_url = "postgresql://user:hush@host/jobs"
    assert (await trial.end()).transition is Transition.RELEASE
    assert "hush" not in json.dumps(sent[0].request)
    assert sent[0].request["program"] == ["service"]


def _ignore() -> None:
    pass
