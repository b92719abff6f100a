"""Bytes that come and go for longer than a moment, and what ends them before their time."""

import asyncio
from collections.abc import Awaitable
from types import TracebackType
from typing import Final, Self, TypeVar

from fastapi import HTTPException
from starlette.requests import ClientDisconnect

from servicekit.api import Service

T = TypeVar("T")

IDLE_SECONDS: Final = 60.0  # what works moves 256 KiB in this time, also on a slow line; the others hold files open
_STOP_SECONDS: Final = 2.0  # the stop of a service waits for transfers, and most need no longer


class TransferEnded(Exception):
    """The transfer has ended before its time. `is_stop`: since the service stops, and not because nothing moves."""

    def __init__(self, *, is_stop: bool) -> None:
        super().__init__("the service stops" if is_stop else f"nothing has moved for {IDLE_SECONDS:g} seconds")
        self.is_stop = is_stop


class Transfer:
    """A block in which bytes come or go: it raises `TransferEnded` when nothing moves, and soon after a stop.

    async with Transfer(service) as transfer:
        async for piece in pieces:
            transfer.note_move()

    A server waits for open requests before it stops, and a transfer may take hours.
    """

    def __init__(self, service: Service) -> None:
        self._closing = service.close_at_stop(self)
        self._limit = asyncio.timeout(IDLE_SECONDS)
        self._is_stopping = False

    async def __aenter__(self) -> Self:
        await self._limit.__aenter__()
        self._closing.__enter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.__exit__(None, None, None)
        try:
            await self._limit.__aexit__(kind, error, trace)
        except TimeoutError:
            raise TransferEnded(is_stop=self._is_stopping) from None

    def note_move(self) -> None:
        """Something has come or gone: the client works."""
        if not self._is_stopping:
            self._end_in(IDLE_SECONDS)

    def close(self) -> None:
        """The service stops: what does not end by itself in a moment is cut off."""
        if not self._is_stopping:
            self._is_stopping = True
            self._end_in(_STOP_SECONDS)

    def _end_in(self, seconds: float) -> None:
        if not self._limit.expired():  # then it is too late: the block is told already
            self._limit.reschedule(asyncio.get_running_loop().time() + seconds)


async def answer_transfer(transfer: Awaitable[T]) -> T:
    """What the transfer of a body gives. What ends it before its time is answered."""
    try:
        return await transfer
    except TransferEnded as error:
        if error.is_stop:
            raise HTTPException(503, "The service is stopping.", headers={"Retry-After": "5"}) from error
        raise HTTPException(408, f"Nothing came for {IDLE_SECONDS:g} seconds.") from error
    except ClientDisconnect as error:
        raise HTTPException(400, "The body has no end.") from error  # nobody reads it, but no error is logged either
