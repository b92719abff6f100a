"""What gateway, mailbox and host of a cluster do when calls fail, come late or come twice. No cluster is needed."""

import asyncio
import json
import os
import resource
import select
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from functools import partial

import pytest

from servicekit.jobs.current import RunningJob
from servicekit.jobs.options import RunnerKind
from servicekit.jobs.submission import Submission
from servicekit.runners.calls import dump_call
from servicekit.runners.cluster import gateway, gateway_posts, gateway_work, host, mailbox
from servicekit.runners.cluster.gateway import Gateway
from servicekit.runners.cluster.gateway_work import GatewayWork, HostProblem
from servicekit.runners.cluster.host import Host, run_work
from servicekit.runners.cluster.mailbox import ANSWER, KILL, STOP, HostEnd, Mailbox, News, Order
from servicekit.runners.cluster.mark import take_mark, wait_gone
from servicekit.runners.cluster.placement import Node, Placement
from servicekit.runners.descriptors import WorkDescriptors
from servicekit.runners.launcher import Launcher
from servicekit.runners.launcher_program.messages import CALL, TERMINATE
from servicekit.runners.process import _plan
from tests.hindering import without_descriptors
from tests.runners import targets

NOTHING = News(None, [], b"")
COMPLETED = HostEnd(
    has_begun=True,
    status=0,
    error=None,
    start_problem=None,
    lost=None,
    excess=None,
    outcome=b"outcome",
    rest=NOTHING,
    pushed=0,
)
ROOM = {"cpus": 8, "gpus": 0, "memory_bytes": 0}


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (gateway_posts, gateway_work):
        monkeypatch.setattr(module, "GONE_SECONDS", 0.1)
    monkeypatch.setattr(gateway_posts, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(gateway_work, "_DEATH_SECONDS", 0.1)
    monkeypatch.setattr(gateway_work, "_ANSWER_SECONDS", 0.1)
    monkeypatch.setattr(host, "BEAT_SECONDS", 60.0)  # a machine that stalls is not taken for a silent gateway


class FakePlaced:
    """A work whose end the test tells. What it is asked raises something as well."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.end: asyncio.Future[HostEnd | None] = asyncio.get_running_loop().create_future()

    async def wait(self) -> HostEnd | None:
        return await self.end

    def withdraw(self) -> None:
        self.asked.append("withdraw")
        raise ConnectionError

    def kill(self) -> None:
        self.asked.append("kill")
        raise ConnectionError


class FakeCluster:
    """A cluster of one node that fails at the first calls."""

    def __init__(self, failures: int = 0, start_error: Exception | None = None, *, is_deaf: bool = False) -> None:
        self.placed = FakePlaced()
        self.mailbox = Mailbox()
        self.started = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._failures = failures
        self._start_error = start_error
        self._is_deaf = is_deaf
        self.when_given_up: Callable[[], None] = nothing
        self.when_ordered: Callable[[], None] = nothing
        self.may_start = threading.Event()
        self.may_start.set()
        self.sent_to: object = None
        self.is_asked = asyncio.Event()
        self.answers: asyncio.Queue[bool | BaseException] = asyncio.Queue()
        """What the node says when it is asked whether nothing is left of the work."""

    def connect(self) -> None:
        pass

    def close(self) -> None:
        pass

    async def collect(self, busy: list[str], ended: list[str], seconds: float) -> tuple[dict[str, News], list[Node]]:
        return await self.mailbox.collect(busy, ended, seconds), [Node("node", ROOM, ROOM)]

    def start(self, *request: object) -> FakePlaced:
        self.sent_to = request[-1]
        self._loop.call_soon_threadsafe(self.started.set)
        self.may_start.wait()
        if self._start_error is not None:
            raise self._start_error
        return self.placed

    async def wait_gone(self, *_: object) -> bool:
        self.is_asked.set()
        answer = await self.answers.get()
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def send(self, key: str, number: int, order: Order) -> bool:
        if self._is_deaf:
            try:
                await asyncio.Event().wait()
            finally:
                self.when_given_up()
        self.when_ordered()
        self._failures -= 1
        if self._failures >= 0 and self._failures % 2:
            raise ConnectionError
        may_have_begun = await self.mailbox.send(key, number, order)
        if self._failures >= 0:  # it was carried out all the same
            raise ConnectionError
        return may_have_begun


class GatewayTrial:
    """A work in a gateway, and the service's ends of its descriptors."""

    def __init__(
        self,
        cluster: FakeCluster,
        descriptors: WorkDescriptors | None = None,
        placement: Placement | None = None,
    ) -> None:
        self.cluster = cluster
        self.descriptors = descriptors or make_descriptors()
        if placement is None:
            placement = Placement()
            placement.update([Node("node", ROOM, ROOM)])
        theirs = [os.dup(descriptor) for descriptor in self.descriptors.sent]
        self.work = GatewayWork("1", theirs, cluster, placement, lambda: None)
        self.running = asyncio.create_task(self.work.run(asyncio.sleep(0)))

    async def end(self) -> dict[str, object]:
        """What the service hears until it is over."""
        async with asyncio.timeout(20):
            await self.running
        return hear(self.descriptors)


class ServiceTrial:
    """A gateway in this process, and the service's ends of its sockets."""

    def __init__(self, cluster: FakeCluster) -> None:
        self._requests, requests = socket.socketpair()
        self._status, status = socket.socketpair()
        self._theirs = (requests, status)
        self.serving = asyncio.create_task(Gateway(requests, status, cluster).serve())

    def send(self, descriptors: WorkDescriptors) -> WorkDescriptors:
        socket.send_fds(self._requests, [CALL], descriptors.sent)
        return descriptors

    async def end(self) -> None:
        self._requests.close()
        await self.serving
        for each in (self._status, *self._theirs):
            each.close()


def make_descriptors(request: bytes = b'{"job_id": "1", "resources": {"cpus": 1}}') -> WorkDescriptors:
    return WorkDescriptors(request, b"", is_call=True)


def nothing() -> None:
    pass


def hear(descriptors: WorkDescriptors) -> dict[str, object]:
    """What the service has heard of a work that is over."""
    said: dict[str, object] = {}
    for line in os.read(descriptors.control, 65_536).splitlines():
        said |= json.loads(line)
    assert said.pop("over")
    descriptors.close()
    return said


@pytest.mark.parametrize("case", ["no descriptors", "no request"])
async def test_a_work_that_the_gateway_cannot_take_goes_back_at_once_and_the_others_go_on(case: str) -> None:
    cluster = FakeCluster()
    service = ServiceTrial(cluster)
    first = service.send(make_descriptors())
    await cluster.started.wait()
    second = make_descriptors(b"{")
    with without_descriptors(4) if case == "no descriptors" else nullcontext():
        service.send(second)
        await until(lambda: has_data(second.control))
    said = str(hear(second)["start_problem"])
    assert ("too many open files" if case == "no descriptors" else "cannot be read: JSONDecodeError") in said
    cluster.placed.end.set_result(COMPLETED)
    await until(lambda: has_data(first.control))
    await service.end()
    assert hear(first)["ended"] == 0


def test_a_gateway_may_have_more_open_files_than_a_process_by_default() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        gateway._raise_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 256
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize(
    ("text", "told"),
    [("it broke.\n", "it broke"), ("one\n  two.", "one two"), ("word " * 400, "word " * 100 + " ..."), ("", "")],
)
def test_an_error_of_the_cluster_is_told_on_one_line_and_says_if_it_goes_on(text: str, told: str) -> None:
    assert gateway_work.shorten(text) == told


async def test_a_work_that_ends_while_its_output_waits_disturbs_no_other() -> None:
    flood = News("node", [b"x" * 1_000] * 3_000, b"")
    descriptors = [make_descriptors() for _ in range(2)]  # so that both works get the same numbers in the gateway
    first = GatewayTrial(FakeCluster(), descriptors[0])
    await first.cluster.started.wait()
    first.work.take_news(flood)
    await until(lambda: has_data(first.descriptors.report))
    first.cluster.placed.end.set_exception(HostProblem("it was killed"))
    await first.running
    second = GatewayTrial(FakeCluster(), descriptors[1])
    await second.cluster.started.wait()
    count = 0

    def read() -> None:
        nonlocal count
        with suppress(BlockingIOError):
            while os.read(second.descriptors.report, 65_536):
                count += 1

    asyncio.get_running_loop().add_reader(second.descriptors.report, read)
    second.work.take_news(flood)
    second.cluster.placed.end.set_result(COMPLETED._replace(pushed=1))
    await second.running
    read()
    assert count == 3_000
    asyncio.get_running_loop().remove_reader(second.descriptors.report)
    assert (await second.end())["ended"] == 0
    assert (await first.end())["lost"] == "it was killed"


async def test_news_that_never_come_do_not_keep_an_end() -> None:
    trial = GatewayTrial(FakeCluster())
    trial.cluster.placed.end.set_result(COMPLETED._replace(pushed=1))
    said = await trial.end()
    assert said["ended"] == 0
    assert "began" in said


async def test_orders_arrive_once_and_in_order_though_calls_fail() -> None:
    trial = GatewayTrial(FakeCluster(failures=4))
    await trial.cluster.started.wait()
    os.write(trial.descriptors.calls, b"first")
    orders: list[Order] = []
    while len(orders) < 1:
        orders += (await trial.cluster.mailbox.take_orders("1"))[0]
    os.write(trial.descriptors.calls, b"second")
    while len(orders) < 2:
        orders += (await trial.cluster.mailbox.take_orders("1"))[0]
    assert orders == [(ANSWER, b"first"), (ANSWER, b"second")]
    trial.cluster.placed.end.set_result(COMPLETED)
    await trial.end()


async def test_a_work_that_the_cluster_does_not_begin_ends_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_work, "_PATIENCE_SECONDS", 0.1)
    trial = GatewayTrial(FakeCluster())
    said = await trial.end()
    assert "has not begun it" in str(said["awaited"])
    assert await trial.cluster.mailbox.begin("1") is None


async def test_a_canceled_work_ends_though_its_node_does_not_answer() -> None:
    trial = GatewayTrial(FakeCluster())
    await trial.cluster.started.wait()
    os.write(trial.descriptors.control, TERMINATE)
    assert await trial.end() == {}
    assert await trial.cluster.mailbox.begin("1") is None


async def test_a_work_that_is_canceled_while_it_is_sent_never_begins_and_others_go_on_meanwhile() -> None:
    cluster = FakeCluster()
    cluster.may_start.clear()  # as with large arguments
    trial = GatewayTrial(cluster)
    await cluster.started.wait()
    os.write(trial.descriptors.control, TERMINATE)
    while not (orders := (await cluster.mailbox.take_orders("1"))[0]):
        pass
    assert orders == [(STOP, b"")]
    cluster.may_start.set()
    await until(lambda: cluster.placed.asked)
    cluster.placed.end.set_result(None)
    assert await trial.end() == {}
    assert cluster.placed.asked == ["withdraw"]


async def test_a_host_that_does_not_obey_is_killed_by_the_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_work, "_KILL_SECONDS", 0.01)
    trial = GatewayTrial(FakeCluster())
    await trial.cluster.started.wait()
    await until(lambda: trial.work._placed)
    trial.work.take_news(News("node", [], b""))
    await until(lambda: has_data(trial.descriptors.control))
    os.write(trial.descriptors.control, b"k")
    await until(lambda: trial.cluster.placed.asked)
    assert trial.cluster.placed.asked == ["kill"]
    trial.cluster.placed.end.set_exception(HostProblem("it was killed"))
    assert (await trial.end())["lost"] == "it was killed"


async def test_what_passes_a_waiting_work_is_sent_to_the_node_that_was_chosen() -> None:
    placement = Placement()
    placement.update([Node("one", ROOM, ROOM), Node("two", {**ROOM, "cpus": 2}, {**ROOM, "cpus": 2})])
    placement.note_start("0", {"cpus": 1}, None)
    placement.note_begun("0", "one")
    assert not placement.has_room({"cpus": 8})
    trial = GatewayTrial(FakeCluster(), placement=placement)
    trial.cluster.placed.end.set_result(COMPLETED)
    assert (await trial.end())["ended"] == 0
    assert trial.cluster.sent_to == "two"


async def lose_host(*, has_news: bool = True) -> GatewayTrial:
    """A work that has begun, and whose host has died."""
    trial = GatewayTrial(FakeCluster())
    await trial.cluster.started.wait()
    assert await trial.cluster.mailbox.begin("1") is not None
    if has_news:
        trial.work.take_news(News("node", [], b""))
    trial.cluster.placed.end.set_exception(HostProblem("it was killed"))
    return trial


async def is_over(trial: GatewayTrial) -> bool:
    """Whether it is, after some time that is short beside `GONE_SECONDS`."""
    await asyncio.wait({trial.running}, timeout=3 * gateway_work._DEATH_SECONDS)
    return trial.running.done()


async def give_up(trial: GatewayTrial) -> None:
    trial.running.cancel()
    await asyncio.wait({trial.running})
    assert hear(trial.descriptors).get("lost") is None


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GONE_SECONDS", "_ANSWER_SECONDS"):
        monkeypatch.setattr(gateway_work, name, 60)


@pytest.mark.usefixtures("patient")
async def test_a_work_whose_host_has_died_is_lost_when_its_node_says_that_nothing_is_left() -> None:
    trial = await lose_host()
    for answer in (None, False):
        if answer is not None:
            trial.cluster.answers.put_nowait(answer)
        await trial.cluster.is_asked.wait()
        trial.cluster.is_asked.clear()
        assert not await is_over(trial)
    trial.cluster.answers.put_nowait(True)
    assert (await trial.end())["lost"] == "it was killed"


@pytest.mark.usefixtures("patient")
async def test_a_node_is_asked_though_the_news_that_its_work_has_begun_come_late() -> None:
    trial = await lose_host(has_news=False)
    trial.cluster.when_ordered = partial(trial.work.take_news, News("node", [], b""))
    trial.cluster.answers.put_nowait(True)
    assert (await trial.end())["lost"] == "it was killed"


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("answer", [ConnectionError(), asyncio.CancelledError()])
async def test_if_the_node_does_not_know_the_work_is_not_lost_before_any_host_has_given_up(
    answer: BaseException,
) -> None:
    trial = await lose_host()
    trial.cluster.answers.put_nowait(answer)
    await trial.cluster.is_asked.wait()
    assert not await is_over(trial)
    await give_up(trial)


@pytest.mark.usefixtures("patient")
async def test_a_work_that_may_have_begun_on_an_unknown_node_is_not_lost_before_any_host_has_given_up() -> None:
    trial = await lose_host(has_news=False)
    assert not await is_over(trial)
    await give_up(trial)


async def test_a_work_whose_node_never_answers_is_lost_in_the_end() -> None:
    trial = await lose_host()
    assert (await trial.end())["lost"] == "it was killed"


async def test_a_node_knows_that_a_work_is_left_as_long_as_its_supervisor_is(launcher: Launcher) -> None:
    mark = take_mark("1", "JOB")
    post = FakePost()
    running = asyncio.create_task(make_host(post, launcher, targets.name_and_sleep, guard=mark.fileno()).run())
    await read_lines(post.mailbox, "artifact")
    mark.close()  # as when the host is killed
    assert not await asyncio.to_thread(wait_gone, "1", "JOB", 0.05)
    assert await asyncio.to_thread(wait_gone, "2", "JOB", 60)
    await post.mailbox.send("1", 1, (KILL, b""))
    await running
    assert await asyncio.to_thread(wait_gone, "1", "JOB", 60)


def test_a_supervisor_that_was_stopped_is_made_to_go_on_when_its_host_is_gone() -> None:
    with take_mark("1", "JOB") as mark:
        holder = subprocess.Popen(["sleep", "0.1"], pass_fds=[mark.fileno()])
    holder.send_signal(signal.SIGSTOP)
    assert wait_gone("1", "JOB", 60)
    assert holder.wait() == 0


async def test_a_work_that_begins_when_it_is_withdrawn_has_crashed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_work, "_PATIENCE_SECONDS", 0.05)
    trial = GatewayTrial(FakeCluster())
    await trial.cluster.started.wait()
    assert await trial.cluster.mailbox.begin("1") is not None
    await until(lambda: trial.cluster.placed.asked)
    trial.cluster.placed.end.set_result(None)
    assert "just when it began" in str((await trial.end())["lost"])


async def test_an_outcome_at_the_last_moment_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_work, "_PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(gateway_work, "GONE_SECONDS", 60)
    trial = GatewayTrial(FakeCluster())
    orders: list[Order] = []
    while not orders:
        orders, _ = await trial.cluster.mailbox.take_orders("1")
    assert orders == [(KILL, b"")]
    trial.cluster.placed.end.set_result(COMPLETED)
    assert (await trial.end())["ended"] == 0


@pytest.mark.parametrize("was_let_begin", [True, False])
@pytest.mark.parametrize(
    "error",
    [HostProblem("it says nothing", is_host_gone=False), HostProblem("it says nothing"), OSError("it says nothing")],
)
async def test_a_work_without_an_end_has_crashed_only_if_its_host_was_let_begin_it(
    error: Exception, *, was_let_begin: bool
) -> None:
    trial = GatewayTrial(FakeCluster())
    await trial.cluster.started.wait()
    if was_let_begin:
        assert await trial.cluster.mailbox.begin("1") is not None
    trial.cluster.placed.end.set_exception(error)
    assert "it says nothing" in str((await trial.end())["lost" if was_let_begin else "start_problem"])
    assert await trial.cluster.mailbox.begin("1") is None  # whatever the cluster says of its host


async def test_news_that_come_while_the_last_order_is_given_up_go_nowhere() -> None:
    cluster = FakeCluster(is_deaf=True)
    trial = GatewayTrial(cluster)
    await cluster.started.wait()
    number = trial.work._report
    os.write(trial.descriptors.control, TERMINATE)
    await until(lambda: cluster.placed.asked)
    trial.work.take_news(News("node", [], b""))
    cluster.placed.end.set_result(COMPLETED)
    cluster.when_given_up = partial(trial.work.take_news, News(None, [b"x" * 1_000] * 3_000, b""))
    assert (await trial.end())["ended"] == 0
    assert not asyncio.get_running_loop().remove_writer(number)


async def test_a_work_that_may_have_been_sent_all_the_same_never_begins() -> None:
    trial = GatewayTrial(FakeCluster(start_error=ConnectionError("it broke off")))
    assert "it broke off" in str((await trial.end())["start_problem"])
    assert await trial.cluster.mailbox.begin("1") is None


async def test_a_work_that_the_cluster_refuses_is_not_tried_again() -> None:
    trial = GatewayTrial(FakeCluster(start_error=ValueError("too precise")))
    said = await trial.end()
    assert said == {"error": "ValueError: too precise"}


async def test_a_mailbox_drops_what_it_has_had_and_frees_the_host_of_an_ended_work() -> None:
    box = Mailbox()
    first, second = News("node", [], b""), News(None, [b"line"], b"")
    await box.push("1", 1, first)
    await box.push("1", 1, first)
    assert await box.collect([], [], 1) == {"1": first}
    await box.push("1", 1, first)
    assert await box.collect([], [], 0.01) == {}
    await box.push("1", 2, second)
    waiting = asyncio.create_task(box.push("1", 3, second))
    await asyncio.sleep(0)
    assert not waiting.done()
    await box.collect([], ["1"], 0)
    await waiting
    await box.push("1", 4, second)
    assert await box.collect([], [], 0.01) == {}
    assert await box.begin("1") is None
    assert (await box.take_orders("1"))[0] == [(KILL, b"")]
    assert await box.begin("2") is not None
    await box.send("2", 1, (STOP, b""))
    assert await box.begin("2") is None


class FakePost:
    """A mailbox as a host sees it. So many of the news seem not to arrive."""

    node = "node"
    age_of_orders: float | None = None

    def __init__(self, *, failures: int = 0, age: float | None = 0.0, is_reachable: bool = True) -> None:
        self.mailbox = Mailbox()
        self._failures = failures
        self._age = age
        self._is_reachable = is_reachable

    async def begin(self, key: str) -> float | None:
        if not self._is_reachable:
            raise ConnectionError
        return None if self._age is None else self._age + (await self.mailbox.begin(key) or 0)

    async def push(self, key: str, number: int, news: News) -> None:
        await self.mailbox.push(key, number, news)
        self._failures -= 1
        if self._failures >= 0:
            raise ConnectionError

    async def take_orders(self, key: str) -> tuple[list[Order], float]:
        orders, age = await self.mailbox.take_orders(key)
        return orders, self.age_of_orders or age


class NoHost:
    """The service of a job."""

    database_url = None

    def notify_begun(self, job: RunningJob) -> None:
        pass

    def notify_report(self, job: RunningJob) -> None:
        pass

    submit_for = submit_blocking_for = None


@pytest.fixture
def launcher() -> Iterator[Launcher]:
    launcher = Launcher()
    yield launcher
    launcher.close()


def make_host(
    post: FakePost, launcher: Launcher, target: Callable[..., object], *args: object, guard: int | None = None
) -> Host:
    submission = Submission("job", "name", target, args, {}, RunnerKind.RAY)
    request = _plan(submission, RunningJob(submission, 1, NoHost())).request  # type: ignore[arg-type]
    return Host(post, "1", request, dump_call(submission), launcher, guard)


@pytest.mark.parametrize("case", ["unwanted", "stale", "unreachable"])
async def test_a_host_begins_nothing_that_nobody_waits_for(
    case: str, launcher: Launcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "BEAT_SECONDS", 0.3)
    posts = {"unwanted": FakePost(age=None), "stale": FakePost(age=20), "unreachable": FakePost(is_reachable=False)}
    end = await make_host(posts[case], launcher, targets.give, 1).run()
    if case == "unwanted":
        assert end is None
    else:
        assert end is not None
        assert not end.has_begun
        assert "has heard nothing" in str(end.start_problem)


async def test_news_arrive_once_though_calls_fail(launcher: Launcher) -> None:
    post = FakePost(failures=2)
    running = asyncio.create_task(make_host(post, launcher, targets.obey).run())
    news = await collect(post.mailbox)
    assert news.begun_on == "node"
    await post.mailbox.send("1", 1, (KILL, b""))
    end = await running
    assert end is not None
    assert end.has_begun
    assert end.pushed >= 1
    assert end.rest.begun_on is None
    for news in (await post.mailbox.collect([], [], 0.01)).values():
        assert news.begun_on is None


@pytest.mark.parametrize("is_heard_at_last", [True, False])
async def test_a_host_that_hears_nothing_asks_once_more_and_kills_its_work(
    launcher: Launcher, monkeypatch: pytest.MonkeyPatch, *, is_heard_at_last: bool
) -> None:
    monkeypatch.setattr(mailbox, "POLL_SECONDS", 0.01)
    post = FakePost()
    running = asyncio.create_task(make_host(post, launcher, targets.sleep).run())
    while not (await collect(post.mailbox)).begun_on:
        pass
    asked = asyncio.Event()

    async def begin(key: str) -> float | None:
        asked.set()
        return 0.0 if is_heard_at_last else 60.0

    monkeypatch.setattr(post, "begin", begin)
    post.age_of_orders = 60.0
    await asked.wait()
    if is_heard_at_last:
        post.age_of_orders = None
        await post.mailbox.send("1", 1, (KILL, b""))
    end = await running
    assert end is not None
    # It is asked a moment before, and may end by that if it has not begun its target yet.
    assert end.status in (signal.SIGTERM, signal.SIGKILL)
    assert end.lost == (None if is_heard_at_last else "its node has heard nothing of the service for 5 seconds")


async def test_a_work_is_asked_to_stop_once_though_the_cluster_asks_too(launcher: Launcher) -> None:
    post = FakePost()
    running = asyncio.create_task(make_host(post, launcher, targets.tidy_up).run())
    lines = await read_lines(post.mailbox, "began")
    running.cancel()  # as the cluster does
    lines += await read_lines(post.mailbox, "tidying")
    await post.mailbox.send("1", 1, (STOP, b""))
    end = await running
    assert end is not None
    news = await post.mailbox.collect([], [], 0.01)
    lines += [report for each in (*news.values(), end.rest) for report in each.reports]
    assert [line for line in lines if b"tidied up" in line]


async def test_the_name_of_an_artifact_does_not_wait_for_the_next_line(launcher: Launcher) -> None:
    post = FakePost()
    running = asyncio.create_task(make_host(post, launcher, targets.name_and_sleep).run())
    await read_lines(post.mailbox, "artifact")
    await post.mailbox.send("1", 1, (KILL, b""))
    await running


def test_a_host_that_fails_tells_what_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(host: Host) -> None:
        host.notify_begun(host.job)
        raise RuntimeError("it broke")

    monkeypatch.setattr(Host, "run", fail)
    submission = Submission("job", "name", targets.give, (), {}, RunnerKind.RAY)
    request = _plan(submission, RunningJob(submission, 1, NoHost())).request  # type: ignore[arg-type]
    end = run_work(FakePost(), "1", request, b"")
    assert end is not None
    assert (end.has_begun, end.status, end.lost) == (True, None, "its host failed: RuntimeError: it broke")


async def test_a_large_end_says_before_that_the_work_has_begun(
    launcher: Launcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "_PAUSE_SECONDS", 60)  # as if it were short
    post = FakePost()
    end = await make_host(post, launcher, targets.give, "x" * 2_000_000).run()
    assert end is not None
    assert (end.has_begun, end.pushed) == (True, 1)
    assert (await collect(post.mailbox)).begun_on == "node"


async def read_lines(box: Mailbox, until: str) -> list[bytes]:
    lines: list[bytes] = []
    while until not in str(lines):
        lines += (await collect(box)).reports
    return lines


async def collect(box: Mailbox) -> News:
    while not (found := await box.collect([], [], 1)):
        pass
    return found["1"]


def has_data(descriptor: int) -> bool:
    return bool(select.select([descriptor], [], [], 0)[0])


async def until(is_so: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not is_so():
            await asyncio.sleep(0)
