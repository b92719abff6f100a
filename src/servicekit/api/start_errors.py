"""How a start that fails ends: with the sentence of its error, where that says what is wrong."""

import sys
from typing import Final

from starlette.types import Message, Send

from servicekit.errors import ArtifactsUnavailable, StoreUnavailable, TasksUnavailable

_PLAIN: Final = (StoreUnavailable, ArtifactsUnavailable, TasksUnavailable)


def in_one_sentence(send: Send) -> Send:
    """Send what the server is told of the start. Starlette tells it the traceback, which the server writes down.

    What is wrong with a file or a database is not in the program, and the traceback of these errors fills a screen.
    """

    async def tell(message: Message) -> None:
        error = sys.exception()  # Starlette sends while it handles that
        if message["type"] == "lifespan.startup.failed" and isinstance(error, _PLAIN):
            message = {**message, "message": str(error)}
        await send(message)

    return tell
