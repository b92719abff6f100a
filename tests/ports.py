"""Ports for servers that cannot choose one by themselves, or that come again at the one they had."""

import random
import socket
from contextlib import suppress
from typing import Final

_PORTS: Final = range(20_000, 32_768)
"""The system gives none of them to those who do not name a port: it would give one away while its server restarts."""
_CHANCE: Final = random.SystemRandom()  # `random` itself is seeded alike in all processes that run tests


def find_free_port() -> int:
    """A port that nobody has at the moment, and hardly anybody will take."""
    while True:
        port = _CHANCE.choice(_PORTS)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
