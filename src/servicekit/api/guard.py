"""The guard in front of an application: who sends no valid API key gets 401, except at the paths that are open."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from servicekit.api.api_keys import ApiKey
from servicekit.api.key_sources import KeySource
from servicekit.api.tickets import find_ticket
from servicekit.errors import ConfigurationError

GUARD_IN_SCOPE: Final = "servicekit.guard"
CHALLENGE: Final = {"WWW-Authenticate": "Bearer"}
NO_KEY: Final = "Send an API key, as Authorization: Bearer ... or as X-API-Key."
BAD_TICKET: Final = "This ticket is not valid here, or not any more: ask for another one."
WRONG_KEY: Final = "This API key is not valid."
_BEARER: Final = b"bearer "
_POLICY_VIOLATION: Final = 1008  # of RFC 6455
OpenPages = Callable[[str, str], bool]
"""Whether a request with this method, for this path of the application, gets a page without data."""


class Guard:
    """Finds the key of a request. One for an application."""

    def __init__(self, source: KeySource, open_paths: Sequence[str], *, open_pages: Sequence[OpenPages] = ()) -> None:
        self.source: Final = source
        self._open_pages = open_pages
        self._open = frozenset(path for path in open_paths if not path.endswith("/*"))
        self._open_below = tuple(path[:-1] for path in open_paths if path.endswith("/*"))

    def is_open(self, path: str, method: str = "GET") -> bool:
        """Whether a path of the application, without what is in front of it, needs no key."""
        is_named = path in self._open or path.startswith(self._open_below)
        return is_named or any(is_open(method, path) for is_open in self._open_pages)

    def find_key(self, scope: Scope) -> ApiKey | None:
        """The valid key that the request has, in one header or the other."""
        ring = self.source.ring()
        found = [ring.find(secret) for secret in list_secrets(scope)]
        return next(filter(None, found), None)


class KeyGuard:
    """Middleware that lets in requests and WebSockets with a valid key, and tells what follows who has let them in.

    `has_ticket` tells whether a request without a key has a valid ticket for the stream that it asks for.

    It is not made of Starlette's `BaseHTTPMiddleware`, which would hide the disconnect of a stream's reader.
    """

    def __init__(self, app: ASGIApp, *, guard: Guard, has_ticket: Callable[[Scope], bool]) -> None:
        self._app = app
        self._guard = guard
        self._has_ticket = has_ticket

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "lifespan" or self._guard.is_open(path_of(scope), scope.get("method", "")):
            return self._app(scope, receive, send)
        if self._guard.find_key(scope) is None and not self._has_ticket(scope):
            return _refuse(scope, receive, send)
        scope[GUARD_IN_SCOPE] = self._guard
        return self._app(scope, receive, send)


def list_secrets(scope: Scope) -> list[bytes]:
    """What a request sends as its key. `Authorization` can also be for a proxy, or have the token of a user."""
    headers = scope["headers"]
    tokens = [value for name, value in headers if name == b"authorization" and value[: len(_BEARER)].lower() == _BEARER]
    keys = [value for name, value in headers if name == b"x-api-key"]
    return [secret.strip() for secret in [*(token[len(_BEARER) :] for token in tokens[:1]), *keys[:1]]]


def path_of(scope: Scope) -> str:
    """The path of a request in the application, as its router sees it: without that of a proxy or a mount."""
    path, root_path = str(scope["path"]), str(scope.get("root_path", ""))
    return path[len(root_path) :] if root_path and path.startswith(f"{root_path}/") else path


def check_open_paths(paths: Sequence[str]) -> tuple[str, ...]:
    """`ConfigurationError` for what is no list of paths, such as `/health` and `/static/*`."""
    is_list = not isinstance(paths, str) and all(isinstance(path, str) and path.startswith("/") for path in paths)
    if not is_list or any("*" in path.removesuffix("/*") or path == "/*" for path in paths):
        expected = "a list of paths such as ['/health', '/static/*'], where * stands only for all that is below a path"
        raise ConfigurationError("open_paths", paths, expected)
    return tuple(paths)


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket" and "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": _POLICY_VIOLATION})  # which the server answers by 403
        return
    detail = WRONG_KEY if list_secrets(scope) else NO_KEY if find_ticket(scope) is None else BAD_TICKET
    await JSONResponse({"detail": detail}, status_code=401, headers=CHALLENGE)(scope, receive, send)
