"""Request bodies, taken as they come: bounded, in constant memory, and away from the event loop."""

import re
from collections.abc import Callable
from typing import Final

from fastapi import HTTPException, Request

from servicekit.api import Service
from servicekit.artifacts.transfers import Transfer
from servicekit.errors import ContentTooLarge
from servicekit.jobs.threads import call_in_thread

# A thread for each megabyte costs nothing beside hashing it, and a server gives no more meanwhile than fits its buffer.
_PIECE_BYTES: Final = 1024 * 1024


async def take_body(request: Request, service: Service, take: Callable[[bytes], object], max_bytes: int | None) -> None:
    """Call `take` with one piece of the body after the other, each in a thread.

    `ContentTooLarge` as soon as it is known that the body has more than `max_bytes`, which is before the first piece if
    `Content-Length` says so. `ClientDisconnect` if the client goes in the middle, and `TransferEnded` if it sends
    nothing for too long, or the service stops. When this raises, the last call of `take` may still run.
    """
    _check_headers(request, max_bytes)
    held: list[bytes] = []
    held_bytes = total_bytes = 0
    async with Transfer(service) as transfer:
        async for chunk in request.stream():
            transfer.note_move()
            total_bytes += len(chunk)
            if max_bytes is not None and total_bytes > max_bytes:
                raise ContentTooLarge(max_bytes)
            held.append(chunk)
            held_bytes += len(chunk)
            if held_bytes >= _PIECE_BYTES:
                await call_in_thread(take, b"".join(held))
                held, held_bytes = [], 0
        if held_bytes:
            await call_in_thread(take, b"".join(held))


async def read_small_body(request: Request, service: Service, max_bytes: int) -> bytes:
    """All of a body of at most so many bytes, for which there is room in memory. Raises what `take_body` raises."""
    _check_headers(request, max_bytes)
    body = bytearray()
    async with Transfer(service) as transfer:
        async for chunk in request.stream():
            transfer.note_move()
            if len(body) + len(chunk) > max_bytes:
                raise ContentTooLarge(max_bytes)
            body += chunk
    return bytes(body)


def _check_headers(request: Request, max_bytes: int | None) -> None:
    length = request.headers.get("content-length", "")
    # No more digits than any file has: Python refuses to read thousands of them.
    if max_bytes is not None and re.fullmatch("[0-9]+", length) and (len(length) > 18 or int(length) > max_bytes):
        raise ContentTooLarge(max_bytes)
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise HTTPException(415, "A body with a Content-Encoding is not understood: send the bytes as they are.")
