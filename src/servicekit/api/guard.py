"""The guard in front of an application: who sends no valid API key gets 401, except at the paths that are open."""

from collections.abc import Awaitable, Sequence
from typing import Final

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from servicekit.api.api_keys import ApiKey
from servicekit.api.key_sources import KeySource
from servicekit.errors import ConfigurationError

GUARD_IN_SCOPE: Final = "servicekit.guard"
CHALLENGE: Final = {"WWW-Authenticate": "Bearer"}
NO_KEY: Final = "Send an API key, as Authorization: Bearer ... or as X-API-Key."
WRONG_KEY: Final = "This API key is not valid."
_BEARER: Final = b"bearer "
_POLICY_VIOLATION: Final = 1008  # of RFC 6455


class Guard:
    """Finds the key of a request. One for an application."""

    def __init__(self, source: KeySource, open_paths: Sequence[str]) -> None:
        self.source: Final = source
        self._open = frozenset(path for path in open_paths if not path.endswith("/*"))
        self._open_below = tuple(path[:-1] for path in open_paths if path.endswith("/*"))

    def is_open(self, path: str) -> bool:
        """Whether a path of the application, without what is in front of it, needs no key."""
        return path in self._open or path.startswith(self._open_below)

    def find_key(self, scope: Scope) -> ApiKey | None:
        """The valid key that the request has."""
        secret = find_secret(scope)
        return None if secret is None else self.source.ring().find(secret)


class KeyGuard:
    """Middleware that lets in requests and WebSockets with a valid key, and tells what follows who has let them in.

    It is not made of Starlette's `BaseHTTPMiddleware`, which would hide the disconnect of a stream's reader.
    """

    def __init__(self, app: ASGIApp, *, guard: Guard) -> None:
        self._app = app
        self._guard = guard

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "lifespan" or self._guard.is_open(path_of(scope)):
            return self._app(scope, receive, send)
        if self._guard.find_key(scope) is None:
            return _refuse(scope, receive, send)
        scope[GUARD_IN_SCOPE] = self._guard
        return self._app(scope, receive, send)


def find_secret(scope: Scope) -> bytes | None:
    """What a request sends as its key. `Authorization: Bearer` counts before `X-API-Key`."""
    found = None
    for name, value in scope["headers"]:
        if name == b"authorization" and value[: len(_BEARER)].lower() == _BEARER:
            return bytes(value[len(_BEARER) :]).strip()
        if name == b"x-api-key":
            found = bytes(value).strip()
    return found


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
    detail = NO_KEY if find_secret(scope) is None else WRONG_KEY
    await JSONResponse({"detail": detail}, status_code=401, headers=CHALLENGE)(scope, receive, send)
