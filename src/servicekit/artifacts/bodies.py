"""Request bodies, taken as they come: bounded, in constant memory, and away from the event loop."""

from collections.abc import Callable, Coroutine, Generator
from types import coroutine
from typing import Any, Final, TypeVar

from fastapi import HTTPException, Request

from servicekit.api import Service
from servicekit.artifacts.transfers import Transfer
from servicekit.errors import ContentTooLarge
from servicekit.jobs.threads import call_in_thread

T = TypeVar("T")

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
    # Not `receive`, which would wait for ever if a dependency of the application has read the body before.
    stream = request.stream()
    body, waiting = bytearray(), None
    while waiting is None:
        step = stream.__anext__()
        try:
            waiting = _go_on(step, step.send(None))
        except StopIteration as end:
            if not end.value:  # as every stream ends
                await stream.aclose()  # else the event loop would make a task that does
                return bytes(body)  # it has come with the headers, as most: to guard a wait would cost as much again
            _add(body, end.value, max_bytes)
    async with Transfer(service) as transfer:
        piece = await waiting
        while piece:
            transfer.note_move()
            _add(body, piece, max_bytes)
            piece = await anext(stream)
    return bytes(body)


def _add(body: bytearray, piece: bytes, max_bytes: int) -> None:
    if len(body) + len(piece) > max_bytes:
        raise ContentTooLarge(max_bytes)
    body += piece


@coroutine
def _go_on(begun: Coroutine[Any, Any, T], waits_for: Any) -> Generator[Any, Any, T]:
    """Await a coroutine that has begun, and waits for this future."""
    while True:
        try:
            try:
                sent = yield waits_for
            except BaseException as error:  # a cancellation, for example, which is for the coroutine
                waits_for = begun.throw(error)
            else:
                waits_for = begun.send(sent)
        except StopIteration as end:
            returned: T = end.value
            return returned


def _check_headers(request: Request, max_bytes: int | None) -> None:
    headers = dict(request.scope["headers"])  # and not as an object of Starlette, since each execution pays for it
    length = headers.get(b"content-length", b"")
    # No more digits than any file has: Python refuses to read thousands of them.
    if max_bytes is not None and length.isdigit() and (len(length) > 18 or int(length) > max_bytes):
        raise ContentTooLarge(max_bytes)
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise HTTPException(415, "A body with a Content-Encoding is not understood: send the bytes as they are.")
