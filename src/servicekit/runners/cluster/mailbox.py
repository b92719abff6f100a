"""What the gateway and the hosts say to each other, and the mailbox that carries it, on a node of the cluster."""

import asyncio
import time
from collections.abc import Collection
from contextlib import suppress
from typing import Final, NamedTuple

from servicekit.jobs.cluster import GONE_SECONDS

# The gateway asks again at least so often, which is its sign of life, and so do the hosts.
POLL_SECONDS: Final = 1.0
BEAT_SECONDS: Final = GONE_SECONDS - 2.0
"""A host that has heard no sign of life of the gateway for so long kills its work.

Two seconds later, nothing is left of its works.
"""
RETRY_SECONDS: Final = 0.2
"""After a failed call, the next one waits, since the error may come at once.

A failed call may have been carried out. So what must not come twice has a number.
"""
# Tasks of ended works may still be in the cluster's queue, for minutes. This is a matter of some megabytes.
_MOST_ENDED: Final = 100_000

STOP: Final = "stop"
KILL: Final = "kill"
ANSWER: Final = "answer"
"""An order with bytes for the socket of the call's submissions."""
Order = tuple[str, bytes]


class News(NamedTuple):
    """What a host has to say of its work since the last time."""

    begun_on: str | None
    """The node, if the work has begun since."""
    reports: list[bytes]
    """Messages as of `runners.reports`."""
    calls: bytes
    """What came from the socket of the call's submissions."""


class HostEnd(NamedTuple):
    """How a work has ended on its node: see `WorkEnd`."""

    has_begun: bool
    status: int | None
    error: str | None
    start_problem: str | None
    lost: str | None
    excess: int | None
    outcome: bytes | None
    """What the outcome file has."""
    rest: News
    """What was not pushed."""
    pushed: int
    """How many news the mailbox took before."""


class Mailbox:
    """Keeps what one side has said until the other side asks for it. Every method is called on one event loop.

    It holds one piece of news for each work, and its host waits to push the next one. So it is bounded. The orders for
    a host are few, but for answers: a work gets as many as it asks for, and only after it has asked.
    """

    def __init__(self) -> None:
        self._boxes: dict[str, _Box] = {}
        self._ended: dict[str, None] = {}  # the newest ones, in order
        self._pushed = asyncio.Event()
        self._heard_at = time.monotonic()  # when the gateway asked last

    async def begin(self, key: str) -> float | None:
        """The age of the gateway's last sign of life in seconds; `None` if the work is to begin no more."""
        if key in self._ended:
            return None
        box = self._box(key)
        if any(kind != ANSWER for kind, _ in box.orders):
            return None
        box.was_let_begin = True
        return time.monotonic() - self._heard_at

    async def push(self, key: str, number: int, news: News) -> None:
        """Keep the news of a work, as soon as those before are collected. The first ones have the number 1.

        News that were kept before are dropped, and so are those of an ended work.
        """
        if key in self._ended:
            return
        box = self._box(key)
        while number > box.news_number and box.news is not None:
            box.collected.clear()
            await box.collected.wait()
        if number > box.news_number:
            box.news, box.news_number = news, number
            self._pushed.set()

    async def collect(self, busy: Collection[str], ended: Collection[str], seconds: float) -> dict[str, News]:
        """The news of all works that are not busy, for which it waits for so long at most. Forget the ended works."""
        self._heard_at = time.monotonic()
        for key in ended:
            self._forget(key)
        deadline = self._heard_at + seconds
        while not (found := self._take(busy)) and (left := deadline - time.monotonic()) > 0:
            self._pushed.clear()
            await wait_event(self._pushed, left)
        return found

    async def send(self, key: str, number: int, order: Order) -> bool:
        """Keep an order for the host of a work, if it was not kept before. The first one has the number 1.

        Whether the host was let begin before. If not, and this is to stop or to kill, it never will be.
        """
        box = self._box(key)
        if number > box.order_number:
            box.order_number = number
            box.orders.append(order)
            box.ordered.set()
        return box.was_let_begin

    async def take_orders(self, key: str) -> tuple[list[Order], float]:
        """The orders for a host, for which it waits for `POLL_SECONDS` at most, and the age of the gateway's last sign
        of life in seconds. The host of an ended work, which the gateway has given up, is to kill it.
        """
        if key in self._ended:
            await asyncio.sleep(RETRY_SECONDS)
            return [(KILL, b"")], time.monotonic() - self._heard_at
        box = self._box(key)
        if not box.orders:
            box.ordered.clear()
            await wait_event(box.ordered, POLL_SECONDS)
        orders, box.orders = box.orders, []
        return orders, time.monotonic() - self._heard_at

    def _box(self, key: str) -> "_Box":
        return self._boxes.setdefault(key, _Box())

    def _forget(self, key: str) -> None:
        self._ended[key] = None
        if len(self._ended) > _MOST_ENDED:
            del self._ended[next(iter(self._ended))]
        box = self._boxes.pop(key, None)
        if box is not None:  # its host may wait to push
            box.news = None
            box.collected.set()

    def _take(self, busy: Collection[str]) -> dict[str, News]:
        found = {}
        for key, box in self._boxes.items():
            if box.news is not None and key not in busy:
                found[key], box.news = box.news, None
                box.collected.set()
        return found


class _Box:
    """What waits of one work, in both directions."""

    def __init__(self) -> None:
        self.was_let_begin = False
        self.news: News | None = None
        self.news_number = 0
        self.collected = asyncio.Event()
        self.orders: list[Order] = []
        self.order_number = 0
        self.ordered = asyncio.Event()


async def wait_event(event: asyncio.Event, seconds: float | None) -> None:
    """Wait until the event is set, or for so long; `None` is no limit."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
