"""What all routes of ours have in common."""

from collections.abc import Callable
from typing import Any, Final

from fastapi import FastAPI, HTTPException
from fastapi.routing import APIRoute
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

from servicekit.api.origins import check_site
from servicekit.api.sse import STREAM_IN_SCOPE, EventStream


class CheapRoute(APIRoute):
    """Looks whether a request's path can be its own before it compares the two.

    Every request of the service is asked this by each of our routes: most are not for them.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        self._literal_start = path.partition("{")[0]

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        return super().matches(scope) if self._literal_start in scope["path"] else _NO_MATCH


# One for all: to make it costs a request as much as to look at the path, and it is only read.
_NO_MATCH: Final[tuple[Match, Scope]] = (Match.NONE, {})
_DONE_WITH: Final = ("fastapi_inner_astack", "fastapi_function_astack")
"""What FastAPI leaves in a request when it is done with it, which thousands of streams need not keep."""


class EventStreamRoute(CheapRoute):
    """Refuses what pages of other sites ask for, and runs an `EventStream` after FastAPI is done with the request."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in (self.methods or ()):
            raise HTTPException(405, headers={"Allow": ", ".join(sorted(self._list_methods(scope["app"])))})
        check_site(scope)
        await super().handle(scope, receive, send)
        stream = scope.pop(STREAM_IN_SCOPE, None)
        if isinstance(stream, EventStream):
            for key in _DONE_WITH:
                scope.pop(key, None)
            await stream.run(scope, receive, send)

    def _list_methods(self, app: FastAPI) -> set[str]:
        """What is allowed at this path: each method is a route of its own."""
        same = [route for route in app.routes if isinstance(route, APIRoute) and route.path == self.path]
        return {method for route in same for method in route.methods or ()}
