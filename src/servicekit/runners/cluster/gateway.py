"""The gateway: the process beside the service that is the driver of the cluster.

    python -m servicekit.runners.cluster.gateway SOCKET

The first request brings the file with the cluster's address, and a socket for what the gateway says of itself, in
lines of JSON: `{"is_connected": true}`; `{"room": [3, 1]}` for three more works besides one that is there, from then on
each second, as its sign of life; `{"problem": "..."}` before it ends. Each further request is a work.
"""

import asyncio
import json
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any, Final, Protocol

from servicekit.jobs.outcome import describe_error
from servicekit.runners.cluster.gateway_work import GatewayWork, HostProblem, WorkCluster, shorten
from servicekit.runners.cluster.mailbox import BEAT_SECONDS, POLL_SECONDS, News
from servicekit.runners.cluster.placement import Node, Placement
from servicekit.runners.cluster.ray_address import keep_loopback
from servicekit.runners.launcher_program.forks import die_with_parent, outlive_parent
from servicekit.runners.launcher_program.messages import MOST_DESCRIPTORS, read_request, refuse, tell

# A mailbox that has not answered for so long is lost: hosts take the gateway for dead after BEAT_SECONDS.
_ANSWER_SECONDS: Final = 2 * BEAT_SECONDS
# A work that is busy may soon be so no more, and the mailbox would not know it.
_BUSY_SECONDS: Final = 0.05
# The service takes a gateway that has said nothing for some time for one that hangs: see `GatewayLink`.
_ROOM_SECONDS: Final = 1.0
# Each work has five. More than that would be no use, and some programs close all that they might have, one by one.
_MOST_OPEN_FILES: Final = 65_536
# To leave the cluster takes a second. The process ends anyway, and the cluster then misses it.
_CLOSE_SECONDS: Final = 10.0


class Cluster(WorkCluster, Protocol):
    """A cluster that runs works: the one part that each engine has of its own."""

    def connect(self) -> None:
        """Reach the cluster, and start the mailbox there. Takes its time. Any error says why it failed."""
        ...

    def close(self) -> None:
        """Leave the cluster, to which nothing is sent any more."""
        ...

    async def collect(self, busy: list[str], ended: list[str], seconds: float) -> tuple[dict[str, News], list[Node]]:
        """See `Mailbox.collect`; and the nodes."""
        ...


class Gateway:
    """Takes works from the service, and has them run, until the service has closed the socket and none is left."""

    def __init__(self, requests: socket.socket, status: socket.socket, cluster: Cluster) -> None:
        self._requests = requests
        self._status = status
        self._cluster = cluster
        self._placement = Placement()
        self._works: dict[str, GatewayWork] = {}
        self._ended: list[str] = []  # what the mailbox does not know yet
        self._count = 0
        self._room: tuple[int, int] | None = None
        self._room_told_at = 0.0
        self._is_closed = False
        self._has_changed = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        loop = asyncio.get_running_loop()
        requests = self._requests.fileno()
        os.set_blocking(requests, False)
        loop.add_reader(requests, self._take_request)
        self._connected = loop.create_task(self._connect())
        collecting = loop.create_task(self._collect())
        while not (self._is_closed and not self._works) and not collecting.done():
            self._has_changed.clear()
            self._tell_room()
            await self._has_changed.wait()
        if not collecting.done():
            if self._connected.done():
                with suppress(TimeoutError):
                    async with asyncio.timeout(_CLOSE_SECONDS):
                        await asyncio.to_thread(self._cluster.close)
        elif self._connected.exception() is not None:
            await asyncio.gather(*self._running)  # which tell the service why they do not begin
        else:
            # The service knows when nothing is left of the works: see `GatewayLink`.
            self._tell("problem", f"the cluster was lost: {_describe(collecting.exception())}")

    async def _connect(self) -> None:
        try:
            await asyncio.to_thread(self._cluster.connect)
            await self._collect_once()  # which tells the nodes
        except BaseException as error:  # the cluster's own errors are of many kinds
            problem = _describe(error)
            self._tell("problem", problem)
            raise HostProblem(f"the cluster cannot be reached: {problem}") from error
        outlive_parent()  # from now on it ends its works first
        self._tell("is_connected", True)

    async def _collect(self) -> None:
        try:
            await asyncio.shield(self._connected)
            while True:
                await self._collect_once()
                await asyncio.sleep(0)  # works pass on at once what has come, as a rule; then none of them is busy
        finally:
            self._has_changed.set()

    async def _collect_once(self) -> None:
        busy = [work.key for work in self._works.values() if work.is_busy]
        ended, self._ended = self._ended, []
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                found, nodes = await self._cluster.collect(busy, ended, _BUSY_SECONDS if busy else POLL_SECONDS)
        except TimeoutError:
            raise TimeoutError(f"its mailbox has not answered for {_ANSWER_SECONDS:g} seconds") from None
        self._placement.update(nodes)
        for key, news in found.items():
            work = self._works.get(key)
            if work is not None:
                work.take_news(news)
        self._has_changed.set()

    def _take_request(self) -> None:
        try:
            kind, descriptors, flags, _ = socket.recv_fds(self._requests, 1, MOST_DESCRIPTORS)
        except BlockingIOError:
            return
        except ConnectionError:
            kind, descriptors, flags = b"", [], 0
        if not kind:
            asyncio.get_running_loop().remove_reader(self._requests.fileno())
            self._is_closed = True
            self._has_changed.set()
        elif flags & socket.MSG_CTRUNC:
            refuse(descriptors)
        else:
            self._begin(descriptors)

    def _begin(self, descriptors: list[int]) -> None:
        self._count += 1
        key = f"{os.getpid()}.{self._count}"
        try:
            work = GatewayWork(key, descriptors, self._cluster, self._placement, self._tell_room)
        except Exception as error:  # as for want of memory; the other works go on
            refuse(descriptors, f"its request cannot be read: {shorten(describe_error(error))}")
        else:
            self._works[key] = work
            task = asyncio.get_running_loop().create_task(self._run(work, asyncio.shield(self._connected)))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _run(self, work: GatewayWork, connected: Awaitable[None]) -> None:
        try:
            await work.run(connected)
        finally:
            del self._works[work.key]
            self._ended.append(work.key)
            self._has_changed.set()

    def _tell_room(self) -> None:
        room, now = (self._placement.count_room(), self._placement.count), time.monotonic()
        is_due = room != self._room or now - self._room_told_at >= _ROOM_SECONDS
        if is_due and self._tell("room", room):
            self._room, self._room_told_at = room, now

    def _tell(self, key: str, value: object) -> bool:
        """Say it, unless the service has not read for long: this process must not wait for one that stands still."""
        with suppress(OSError):
            return self._status.send(json.dumps({key: value}).encode() + b"\n", socket.MSG_DONTWAIT) > 0
        return False


def main(requests: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the signals of a terminal are meant for the service
    die_with_parent()  # a library that connects, or starts a cluster, may hold up this whole process for a minute
    _raise_limit()
    connection = socket.socket(fileno=requests)
    kind, descriptors, _, _ = socket.recv_fds(connection, 1, MOST_DESCRIPTORS)
    if kind:
        file, status = descriptors
        try:
            cluster = _make(read_request(file))
        except Exception as error:  # whatever the import of a library may raise
            problem = f"the library of the cluster cannot be imported: {shorten(describe_error(error))}"
            tell(status, "problem", problem)
            raise
        asyncio.run(_serve(Gateway(connection, socket.socket(fileno=status), cluster)))


def _raise_limit() -> None:
    """Have as many open files as this process may: by its default, some 200 works would fill it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_OPEN_FILES)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))


async def _serve(gateway: Gateway) -> None:
    await gateway.serve()
    # At once: a task of a work that is ended here would tell the service that nothing is left of the work. And the
    # cluster's library has threads, and takes seconds to end in order.
    os._exit(0)


def _describe(error: BaseException | None) -> str:
    """What an error says; its class, if it says nothing."""
    return shorten(str(error)) or type(error).__name__


def _make(settings: dict[str, Any]) -> Cluster:
    keep_loopback(settings["address"])
    from servicekit.runners.cluster.ray_cluster import RayDriver

    return RayDriver(**settings)


if __name__ == "__main__":
    main(int(sys.argv[1]))
