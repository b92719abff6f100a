"""What a work in the gateway passes on: news of its host to the service, and orders of the service to its host."""

import asyncio
import os
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress

from servicekit.jobs.cluster import GONE_SECONDS
from servicekit.runners.cluster.mailbox import RETRY_SECONDS, News, Order


class NewsRelay:
    """Writes news into the sockets of a work, as fast as the service reads."""

    def __init__(self, report: int, calls: int, note_begun: Callable[[str], None]) -> None:
        self._report = report
        self._calls = calls
        self._note_begun = note_begun
        self._loop = asyncio.get_running_loop()
        self._news: deque[News] = deque()
        self._count = 0
        self._has_relayed = asyncio.Event()
        self._relaying: asyncio.Task[None] | None = None

    @property
    def is_busy(self) -> bool:
        """Whether something is not passed on yet."""
        return bool(self._news)

    def take(self, news: News) -> None:
        self._news.append(news)
        if self._relaying is None:
            self._relaying = self._loop.create_task(self._relay())

    async def take_rest(self, rest: News, number: int) -> None:
        """Pass on the last news after so many others, which may still be in the mailbox.

        Those that do not come for `GONE_SECONDS`, although the service reads, are lost.
        """
        while self._count < number:
            self._has_relayed.clear()
            try:
                async with asyncio.timeout(GONE_SECONDS):
                    await self._has_relayed.wait()
            except TimeoutError:
                if not self.is_busy:
                    break
        self.take(rest)
        if self._relaying is not None:
            await self._relaying

    async def stop(self) -> None:
        """Pass on nothing more. The descriptors may be closed after that, and their numbers be another work's."""
        if self._relaying is not None:
            self._relaying.cancel()
            await asyncio.wait({self._relaying})

    async def _relay(self) -> None:
        while self._news:
            await self._pass_on(self._news[0])
            self._news.popleft()
            self._count += 1
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


class OrderSender:
    """Sends the orders for a host one by one, each until the mailbox has taken it."""

    may_have_begun = True
    """What the mailbox said last (see `Mailbox.send`), or may say yet."""

    def __init__(self, send: Callable[[int, Order], Awaitable[bool]]) -> None:
        """`send`: as of `Mailbox.send`."""
        self._send = send
        self._orders: deque[Order] = deque()
        self._count = 0
        self._sending: asyncio.Task[None] | None = None

    def give(self, order: Order) -> None:
        self._orders.append(order)
        if self._sending is None:
            self._sending = asyncio.get_running_loop().create_task(self._send_all())

    async def flush(self) -> None:
        """Wait until the mailbox has taken all, for `GONE_SECONDS` at most."""
        if self._sending is not None:
            await asyncio.wait({self._sending}, timeout=GONE_SECONDS)

    async def stop(self) -> None:
        """Send nothing more."""
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.wait({self._sending})

    async def _send_all(self) -> None:
        while self._orders:
            try:
                self.may_have_begun = await self._send(self._count + 1, self._orders[0])
            except Exception:  # the cluster's own errors are of many kinds
                await asyncio.sleep(RETRY_SECONDS)
            else:
                self._count += 1
                self._orders.popleft()
        self._sending = None
