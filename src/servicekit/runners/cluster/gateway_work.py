"""One work in the gateway: placed on the cluster, and connected to the service by the descriptors of a `Work`."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Final, Protocol

from servicekit.jobs.cluster import GONE_SECONDS
from servicekit.jobs.outcome import clip, describe_error
from servicekit.runners.cluster.gateway_posts import NewsRelay, OrderSender
from servicekit.runners.cluster.mailbox import ANSWER, KILL, STOP, HostEnd, News, Order
from servicekit.runners.cluster.placement import Demand, Placement, describe_demand
from servicekit.runners.launcher_program.messages import TERMINATE, Request, read_request, tell

# To connect takes a second; minutes, if the cluster has to be given the code of the jobs. A job waits so long with it.
_CONNECT_SECONDS: Final = 60.0
# On a busy machine, a process of the cluster starts within seconds. If a work has not begun by then, something else has
# taken the room, and the work goes back.
_PATIENCE_SECONDS: Final = 30.0
# A host that was ordered to kill does so at once, unless it hangs. Then the cluster kills the host.
_KILL_SECONDS: Final = 5.0
# What a host that has died said before may still be on its way. Its supervisor kills the work within milliseconds, on a
# busy node later.
_DEATH_SECONDS: Final = 1.0
# A busy node may need half a minute to start the process that answers. One that is frozen never answers.
_ANSWER_SECONDS: Final = 60.0
_PIECE_BYTES: Final = 64 * 1024
# Errors of a cluster are pages long. The beginning says what it is, and the control takes such a line at once.
_MOST_CHARACTERS: Final = 500


class HostProblem(Exception):
    """No host has run it to its end. The text is what follows `since`."""

    def __init__(self, reason: str, *, is_host_gone: bool = True) -> None:
        super().__init__(reason)
        self.is_host_gone = is_host_gone
        """Whether it is known that there is no host any more."""


class Placed(Protocol):
    """A work that was sent to the cluster. `withdraw` and `kill` may take their time, and raise anything."""

    async def wait(self) -> HostEnd | None:
        """How it ended; `None` if it was withdrawn before it began. `HostProblem`."""
        ...

    def withdraw(self) -> None:
        """End it if it has not begun. If it has, its host asks it to stop."""
        ...

    def kill(self) -> None:
        """End the process of its host."""
        ...


class WorkCluster(Protocol):
    """The cluster, as a work sees it."""

    def start(self, key: str, request: Request, stdin: bytes, demand: Demand, node: str | None) -> Placed:
        """Send a work to this node, where it waits until its demand is free; `None`: to any node that has it free.

        Takes its time, and may raise anything. If the node is lost, the work goes to another one.

        `ValueError` and `TypeError`: it can never be sent.
        """
        ...

    async def send(self, key: str, number: int, order: Order) -> bool:
        """See `Mailbox.send`."""
        ...

    async def wait_gone(self, key: str, job_id: str, node: str, seconds: float) -> bool:
        """See `mark.wait_gone`, on that node, which may never answer."""
        ...


class GatewayWork:
    """Does for the service what a supervisor does: obeys orders, and tells what becomes of the work.

    The last word is `over`: nothing of the work is left. The end of the control alone does not say that, since works
    outlive a gateway that was killed.
    """

    def __init__(
        self,
        key: str,
        descriptors: list[int],
        cluster: WorkCluster,
        placement: Placement,
        tell_room: Callable[[], None],
    ) -> None:
        self.key = key
        self._tell_room = tell_room
        self._cluster = cluster
        self._placement = placement
        request, self._control, stdin, stdout, stderr, self._report, self._outcome, self._calls, *self._guard = (
            descriptors
        )
        self._request = read_request(request)
        self._stdin = os.pread(stdin, os.fstat(stdin).st_size, 0)
        for descriptor in (self._control, self._report, self._calls):
            os.set_blocking(descriptor, False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._control, self._obey)
        self._loop.add_reader(self._calls, self._answer)
        self._placed: Placed | None = None
        self._node: str | None = None
        self._ordered = asyncio.Event()  # to stop, or to kill
        self._is_sent = self._has_begun = self._is_withdrawn = False
        self._news = NewsRelay(self._report, self._calls, self._note_begun)
        self._orders = OrderSender(partial(cluster.send, key))
        self._waiting: asyncio.Task[HostEnd | None] | None = None
        # At last: if something fails before, the caller has all of them yet.
        for descriptor in (request, stdin, stdout, stderr):  # what is printed comes as reports
            os.close(descriptor)

    @property
    def is_busy(self) -> bool:
        """Whether what it has said is not passed on yet."""
        return self._news.is_busy

    def take_news(self, news: News) -> None:
        """Pass on what the host has said."""
        self._news.take(news)

    async def run(self, connected: Awaitable[None]) -> None:
        """Run it to its end. `connected` raises `HostProblem` if the cluster cannot be reached."""
        demand: Demand = self._request["resources"]
        try:
            await _wait_connected(connected, self._ordered)
            if self._ordered.is_set() or not self._find_room(demand):
                return
            node = self._placement.choose_node(demand)
            self._placement.note_start(self.key, demand, node)
            try:
                if await self._start(demand, node):
                    await self._end(await self._wait_end())
            finally:
                self._placement.note_end(self.key)
        except HostProblem as error:
            await self._fail(str(error), is_host_gone=error.is_host_gone)
        except Exception as error:  # the cluster's own errors are of many kinds; it may have been sent all the same
            await self._fail(shorten(describe_error(error)), is_host_gone=False)
        finally:
            await self._orders.stop()
            await self._news.stop()  # at last: news come while something is waited for
            self._close()

    def _find_room(self, demand: Demand) -> bool:
        if self._placement.has_room(demand):
            return True
        self._tell_room()  # before the job comes back to the service, and is taken again
        if self._placement.can_ever_hold(demand) or not self._placement.has_processors:
            self._tell("awaited", self._placement.explain_refusal(demand))
        else:
            self._tell("unmet", [describe_demand(demand), self._placement.describe_closest(demand)])
        return False

    async def _start(self, demand: Demand, node: str | None) -> bool:
        """Send it, in a thread: with large arguments that takes seconds, in which orders come and other works go on."""
        self._is_sent = True
        try:
            self._placed = await asyncio.to_thread(
                self._cluster.start, self.key, self._request, self._stdin, demand, node
            )
        except (ValueError, TypeError) as error:  # it would be refused each time
            self._tell("error", shorten(describe_error(error)))
            return False
        self._stdin = b""
        if self._ordered.is_set() and not self._has_begun:
            self._withdraw()
        return True

    async def _wait_end(self) -> HostEnd | None:
        assert self._placed is not None
        self._waiting = self._loop.create_task(self._placed.wait())
        withdrawing = self._loop.call_later(_PATIENCE_SECONDS, self._lose_patience)
        await asyncio.wait({self._waiting})
        withdrawing.cancel()
        return None if self._waiting.cancelled() else self._waiting.result()

    def _lose_patience(self) -> None:
        if not self._has_begun and not self._ordered.is_set():
            self._is_withdrawn = True
            self._orders.give((KILL, b""))
            self._withdraw()

    def _withdraw(self) -> None:
        """Have the cluster end it before it begins. If the cluster does not answer, it is given up.

        A node that froze just now does not answer until the cluster takes it for dead, and the other works are well.
        """
        if self._placed is not None:
            self._loop.call_later(GONE_SECONDS, self._kill_unbegun)
            _call(self._placed.withdraw)

    def _kill_unbegun(self) -> None:
        """Have its host never begin it. If it has begun it, nothing is left after `GONE_SECONDS`."""
        if not self._has_begun and self._control >= 0:
            self._orders.give((KILL, b""))
            self._loop.call_later(GONE_SECONDS, self._give_up)

    def _give_up(self) -> None:
        if not self._has_begun and self._waiting is not None:
            self._waiting.cancel()

    async def _fail(self, reason: str, *, is_host_gone: bool) -> None:
        """Wait until nothing is left of a work whose end is not known, and tell why."""
        if self._is_sent:
            self._orders.give((KILL, b""))  # in any case: the cluster may be wrong about the host
            is_gone = False
            if is_host_gone:
                await asyncio.sleep(_DEATH_SECONDS)
                await self._orders.flush()  # which tells whether the host was let begin it
                is_gone = not self._may_have_begun
                if self._node is not None:
                    job_id = str(self._request["job_id"])
                    ask = partial(self._cluster.wait_gone, self.key, job_id, self._node, GONE_SECONDS)
                    is_gone = await _wait_gone(ask)
            if not is_gone:
                await asyncio.sleep(GONE_SECONDS)
            await self._orders.flush()
        self._tell("lost" if self._may_have_begun else "start_problem", reason)

    @property
    def _may_have_begun(self) -> bool:
        """Whether its host was let begin it, of which it says so a moment later. It was ordered to stop or to kill."""
        return self._has_begun or (self._is_sent and self._orders.may_have_begun)

    async def _end(self, end: HostEnd | None) -> None:
        if end is None or (self._is_withdrawn and not end.outcome):
            await self._orders.flush()
            has_begun = self._may_have_begun if end is None else end.has_begun
            if has_begun:
                await self._fail("it was withdrawn from the cluster just when it began", is_host_gone=True)
            elif not self._ordered.is_set():
                self._placement.note_waiting(self._request["resources"])
                self._tell("awaited", f"the cluster has not begun it within {_PATIENCE_SECONDS:g} seconds")
            return
        await self._news.take_rest(end.rest, end.pushed)
        if end.has_begun:
            self._note_begun(None)
        _write_all(self._outcome, end.outcome or b"")
        told = {"start_problem": end.start_problem, "error": end.error, "lost": end.lost, "excess": end.excess}
        for key, value in told.items():
            if value is not None:
                self._tell(key, value)
        if end.lost is None and end.status is not None:
            self._tell("ended", end.status)

    def _note_begun(self, node: str | None) -> None:
        if not self._has_begun:
            if node is not None:
                self._node = node
                self._placement.note_begun(self.key, node)
            self._has_begun = True
            # The service may wake this process up by the number, as it does with a supervisor that somebody stopped.
            self._tell("began", os.getpid())

    def _obey(self) -> None:
        try:
            orders = os.read(self._control, 16)
        except ConnectionError:
            orders = b""
        except BlockingIOError:
            return
        if not orders:
            self._loop.remove_reader(self._control)
        was_ordered = self._ordered.is_set()
        self._ordered.set()
        is_kill = not orders or orders.strip(TERMINATE) != b""
        if not self._is_sent:
            return
        self._orders.give((KILL if is_kill else STOP, b""))
        if is_kill:
            self._loop.call_later(_KILL_SECONDS, self._kill_host)
        if not self._has_begun and not was_ordered:
            self._withdraw()

    def _kill_host(self) -> None:
        if self._placed is not None and self._control >= 0:
            _call(self._placed.kill)

    def _answer(self) -> None:
        try:
            data = os.read(self._calls, _PIECE_BYTES)
        except BlockingIOError:
            return
        except ConnectionError:
            data = b""
        if data:
            self._orders.give((ANSWER, data))
        else:
            self._loop.remove_reader(self._calls)

    def _tell(self, key: str, value: object) -> None:
        if self._control >= 0:
            tell(self._control, key, value)

    def _close(self) -> None:
        self._loop.remove_reader(self._control)
        self._loop.remove_reader(self._calls)
        self._tell("over", True)
        for descriptor in (*self._guard, self._report, self._outcome, self._calls, self._control):
            os.close(descriptor)
        self._control = -1


def shorten(text: str) -> str:
    """The beginning of what an error says, on one line, as the end of a sentence."""
    words = " ".join(text.split())
    if len(words) > _MOST_CHARACTERS:
        return clip(f"{words[:_MOST_CHARACTERS]} ...", 2 * _MOST_CHARACTERS)
    return clip(words.rstrip("."), _MOST_CHARACTERS)


async def _wait_connected(connected: Awaitable[None], ordered: asyncio.Event) -> None:
    """Wait for the cluster, or for an order, and not for ever. `HostProblem`."""
    waiting, connecting = asyncio.create_task(ordered.wait()), asyncio.ensure_future(connected)
    try:
        done, _ = await asyncio.wait(
            {waiting, connecting}, timeout=_CONNECT_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
        if not done:
            raise HostProblem(f"the cluster was not reached within {_CONNECT_SECONDS:g} seconds")
        if connecting in done:
            connecting.result()
    finally:
        waiting.cancel()


async def _wait_gone(ask: Callable[[], Coroutine[object, object, bool]]) -> bool:
    """Ask a node until nothing is left there of a work. `False` if it does not answer."""
    while (answer := await _answer_of(ask())) is False:
        pass
    return answer is True


async def _answer_of(asking: Coroutine[object, object, bool]) -> bool | None:
    """The answer; `None` if it does not come in time, or with an error."""
    answering = asyncio.create_task(asking)
    await asyncio.wait({answering}, timeout=_ANSWER_SECONDS)
    if not answering.done():
        answering.cancel()
        return None
    return None if answering.cancelled() or answering.exception() is not None else answering.result()


def _call(call: Callable[[], None]) -> None:
    """Have the cluster do it, in a thread, since it may take its time. If it fails, the order does its work."""
    asyncio.get_running_loop().run_in_executor(None, _try, call)


def _try(call: Callable[[], None]) -> None:
    with suppress(Exception):  # the cluster's own errors are of many kinds
        call()


def _write_all(descriptor: int, data: bytes) -> None:
    view, at = memoryview(data), 0
    while at < len(view):
        at += os.pwrite(descriptor, view[at:], at)
