"""Files as responses: read in threads, in pieces, and sent as fast as the client takes them.

A server that speaks ASGI is given bytes, and uvicorn has no way to be given a file (`sendfile`). So each piece is read
in a thread, since a disk can be slow, and the next one is read when the client has taken most of the last one. A
quarter of a megabyte costs little in threads, and little memory for each of many clients on slow lines.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from typing import BinaryIO, Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from servicekit.api import Service
from servicekit.artifacts.ranges import Part
from servicekit.artifacts.transfers import Transfer, TransferEnded
from servicekit.jobs.threads import call_in_thread

_PIECE_BYTES: Final = 256 * 1024


class FileResponse(Response):
    """Sends a part of a file, with other bytes before and after it.

    `open_file` is called in a thread when the response begins, and what it raises is still answered as an error. If
    the service stops, the client takes nothing for too long, or the file turns out to be shorter, the response is cut
    off: the client sees that by `Content-Length`, and can ask for the rest.
    """

    def __init__(
        self,
        service: Service,
        open_file: Callable[[], BinaryIO],
        part: Part,
        headers: Mapping[str, str],
        *,
        before: bytes = b"",
        after: bytes = b"",
        status_code: int = 200,
    ) -> None:
        length = len(before) + part.stop - part.start + len(after)
        super().__init__(status_code=status_code, headers={**headers, "content-length": str(length)})
        self._service = service
        self._open_file = open_file
        self._part = part
        self._before = before
        self._after = after

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        if scope["method"] == "HEAD":
            await send(start)
            await send({"type": "http.response.body", "body": b""})
            return
        with closing(await call_in_thread(self._open)) as file:
            await send(start)
            leaving = asyncio.get_running_loop().create_task(_wait_disconnect(receive), name="disconnect")
            try:
                with suppress(TransferEnded):
                    await self._send_file(file, send, leaving)
            finally:
                leaving.cancel()

    def _open(self) -> BinaryIO:
        file = self._open_file()
        file.seek(self._part.start)
        return file

    async def _send_file(self, file: BinaryIO, send: Send, leaving: asyncio.Task[None]) -> None:
        left = self._part.stop - self._part.start
        async with Transfer(self._service) as transfer:
            if self._before:
                await _send_piece(send, self._before)
            while left and not leaving.done():
                piece = await call_in_thread(file.read, min(_PIECE_BYTES, left))
                if not piece:
                    return
                left -= len(piece)
                await _send_piece(send, piece)
                transfer.note_move()
            if not left:
                await send({"type": "http.response.body", "body": self._after})


async def _send_piece(send: Send, piece: bytes) -> None:
    await send({"type": "http.response.body", "body": piece, "more_body": True})


async def _wait_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
