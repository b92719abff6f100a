"""One work in the gateway: placed on the cluster, and connected to the service by the descriptors of a `Work`."""

import asyncio
import os
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, Protocol

from servicekit.jobs.outcome import clip, describe_error
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
_PIECE_BYTES: Final = 64 * 1024
# Of a reason: the control takes a line at once.
_MOST_CHARACTERS: Final = 500


class WorkLost(Exception):
    """The host has ended before it could tell how the work ended. The text is what follows `since`."""


class HostProblem(Exception):
    """No host could begin; the text says why."""


class Placed(Protocol):
    """A work that was sent to the cluster."""

    async def wait(self) -> HostEnd | None:
        """How it ended; `None` if it was withdrawn before it began. `WorkLost`, `HostProblem`."""
        ...

    def withdraw(self) -> None:
        """End it, if it has not begun; else its host stops it."""
        ...

    def kill(self) -> None:
        """End the process of its host."""
        ...


class WorkCluster(Protocol):
    """The cluster, as a work sees it."""

    def start(self, key: str, request: Request, stdin: bytes, demand: Demand) -> Placed:
        """Send a work to a node that has what it demands."""
        ...

    async def send(self, key: str, order: Order) -> None:
        """See `Mailbox.send`."""
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
        for descriptor in (request, stdin, stdout, stderr):  # what is printed comes as reports
            os.close(descriptor)
        for descriptor in (self._control, self._report, self._calls):
            os.set_blocking(descriptor, False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._control, self._obey)
        self._loop.add_reader(self._calls, self._answer)
        self._placed: Placed | None = None
        self._ordered = asyncio.Event()  # to stop, or to kill
        self._has_begun = self._is_withdrawn = False
        self._relayed = 0
        self._has_relayed = asyncio.Event()
        self._relaying: asyncio.Task[None] | None = None
        self._news: deque[News] = deque()
        self._sending: set[asyncio.Task[None]] = set()

    @property
    def is_busy(self) -> bool:
        """Whether what it has said is not passed on yet."""
        return bool(self._news)

    async def run(self, connected: Awaitable[None]) -> None:
        """Run it to its end. `connected` raises `HostProblem` if the cluster cannot be reached."""
        demand: Demand = self._request["resources"]
        try:
            await self._wait_connected(connected)
            if self._ordered.is_set():
                return
            if not self._find_room(demand):
                return
            self._placement.note_start(self.key, demand)
            try:
                self._placed = self._cluster.start(self.key, self._request, self._stdin, demand)
                self._stdin = b""
                await self._end(await self._wait_end(self._placed))
            finally:
                self._placement.note_end(self.key)
        except WorkLost as error:
            self._tell("lost", str(error))
        except HostProblem as error:
            self._tell("lost" if self._has_begun else "start_problem", str(error))
        except Exception as error:  # the cluster's own errors are of many kinds
            self._tell("lost" if self._placed else "start_problem", clip(describe_error(error), _MOST_CHARACTERS))
        finally:
            self._close()

    def take_news(self, news: News) -> None:
        """Pass on what the host has said."""
        self._news.append(news)
        if self._relaying is None:
            self._relaying = self._loop.create_task(self._relay())

    async def _wait_connected(self, connected: Awaitable[None]) -> None:
        ordered, connecting = self._loop.create_task(self._ordered.wait()), asyncio.ensure_future(connected)
        try:
            done, _ = await asyncio.wait(
                {ordered, connecting}, timeout=_CONNECT_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
            if not done:
                raise HostProblem(f"the cluster was not reached within {_CONNECT_SECONDS:g} seconds")
            if connecting in done:
                connecting.result()
        finally:
            ordered.cancel()

    def _find_room(self, demand: Demand) -> bool:
        if self._placement.has_room(demand):
            return True
        self._tell_room()  # before the job comes back to the service, and is taken again
        if self._placement.can_ever_hold(demand) or not self._placement.has_processors:
            self._tell("start_problem", self._placement.explain_refusal(demand))
        else:
            self._tell("unmet", [describe_demand(demand), self._placement.describe_largest()])
        return False

    async def _wait_end(self, placed: Placed) -> HostEnd | None:
        waiting = self._loop.create_task(placed.wait())
        withdrawing = self._loop.call_later(_PATIENCE_SECONDS, self._withdraw)
        try:
            return await waiting
        finally:
            withdrawing.cancel()

    def _withdraw(self) -> None:
        if not self._has_begun and not self._ordered.is_set() and self._placed is not None:
            self._is_withdrawn = True
            self._placed.withdraw()

    async def _end(self, end: HostEnd | None) -> None:
        if end is None or self._is_withdrawn:
            has_begun = end is not None and end.has_begun  # at the last moment
            reason = f"the cluster has not begun it within {_PATIENCE_SECONDS:g} seconds"
            if has_begun or not self._ordered.is_set():
                self._tell("lost" if has_begun else "start_problem", reason)
            return
        while self._relayed < end.pushed:  # the last news may still be in the mailbox
            self._has_relayed.clear()
            await self._has_relayed.wait()
        await self._pass_on(end.rest)
        _write_all(self._outcome, end.outcome or b"")
        told = {"start_problem": end.start_problem, "error": end.error, "lost": end.lost, "excess": end.excess}
        for key, value in told.items():
            if value is not None:
                self._tell(key, value)
        if end.lost is None and end.status is not None:
            self._tell("ended", end.status)

    async def _relay(self) -> None:
        while self._news:
            await self._pass_on(self._news[0])
            self._news.popleft()
            self._relayed += 1
            self._has_relayed.set()
        self._relaying = None

    async def _pass_on(self, news: News) -> None:
        if news.begun_on is not None:
            self._note_begun(news.begun_on)
        with suppress(OSError):  # the service has given the work up
            for report in news.reports:
                await self._send(self._report, report)
            await self._send(self._calls, news.calls)

    async def _send(self, descriptor: int, data: bytes) -> None:
        """Write to a socket, and wait until the service has read so much that it is taken."""
        while data:
            try:
                data = data[os.write(descriptor, data) :]
            except BlockingIOError:
                await self._wait_writable(descriptor)

    async def _wait_writable(self, descriptor: int) -> None:
        is_writable = asyncio.Event()
        self._loop.add_writer(descriptor, is_writable.set)
        try:
            await is_writable.wait()
        finally:
            self._loop.remove_writer(descriptor)

    def _note_begun(self, node: str) -> None:
        if not self._has_begun:
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
        self._ordered.set()
        is_kill = not orders or orders.strip(TERMINATE) != b""
        if self._placed is None:
            return
        if not self._has_begun:
            self._placed.withdraw()
        self._give(KILL if is_kill else STOP)
        if is_kill:
            self._loop.call_later(_KILL_SECONDS, self._placed.kill)

    def _answer(self) -> None:
        try:
            data = os.read(self._calls, _PIECE_BYTES)
        except BlockingIOError:
            return
        except ConnectionError:
            data = b""
        if data:
            self._give(ANSWER, data)
        else:
            self._loop.remove_reader(self._calls)

    def _give(self, kind: str, data: bytes = b"") -> None:
        task = self._loop.create_task(self._cluster.send(self.key, (kind, data)))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    def _tell(self, key: str, value: object) -> None:
        if self._control >= 0:
            tell(self._control, key, value)

    def _close(self) -> None:
        if self._control < 0:
            return
        self._loop.remove_reader(self._control)
        self._loop.remove_reader(self._calls)
        self._tell("over", True)
        for descriptor in (*self._guard, self._report, self._outcome, self._calls, self._control):
            os.close(descriptor)
        self._control = -1


def _write_all(descriptor: int, data: bytes) -> None:
    view, at = memoryview(data), 0
    while at < len(view):
        at += os.pwrite(descriptor, view[at:], at)
