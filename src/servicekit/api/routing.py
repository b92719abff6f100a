"""The classes of servicekit's own routes."""

from collections.abc import Callable
from typing import Any, ClassVar, Final

from fastapi import FastAPI, HTTPException
from fastapi.routing import APIRoute
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

from servicekit.api.admission import admit, check_everything, is_guarded
from servicekit.api.openapi import GUARDED_IN_DOCUMENT, TAKES_NO_TICKETS, TAKES_TICKETS
from servicekit.api.origins import check_site
from servicekit.api.sse import STREAM_IN_SCOPE, EventStream
from servicekit.api.tickets import take_ticket


class CheapRoute(APIRoute):
    """A route that looks at the beginning of a path before it compares the whole with a regular expression.

    Starlette asks each route for every request of the service, and most requests are not for these routes.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        self._literal_start = path.partition("{")[0]

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        return super().matches(scope) if self._literal_start in scope["path"] else _NO_MATCH


# One for all requests, since to make it would cost as much as to look at the path. Nobody changes it.
_NO_MATCH: Final[tuple[Match, Scope]] = (Match.NONE, {})
_DONE_WITH: Final = ("fastapi_inner_astack", "fastapi_function_astack")
"""Objects that FastAPI leaves in the scope of a request that it has finished. Thousands of streams would keep them."""


class EventStreamRoute(CheapRoute):
    """Refuses requests of other sites' pages and of callers whose access does not suffice, and runs an `EventStream`
    after FastAPI has finished the request.
    """

    needs_everything: ClassVar[bool] = True
    """Whether only those who see everything may come in. A route that is added is closed unless it says otherwise."""
    document_mark: ClassVar[str] = TAKES_NO_TICKETS

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        options["openapi_extra"] = {**(options.get("openapi_extra") or {}), GUARDED_IN_DOCUMENT: self.document_mark}
        super().__init__(path, endpoint, **options)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in (self.methods or ()):
            raise HTTPException(405, headers={"Allow": ", ".join(sorted(self._list_methods(scope["app"])))})
        check_site(scope)
        if is_guarded(scope):
            access = await admit(scope)
            if self.needs_everything:
                check_everything(access, scope["method"])
        await super().handle(scope, receive, send)
        stream = scope.pop(STREAM_IN_SCOPE, None)
        if isinstance(stream, EventStream):
            for key in _DONE_WITH:
                scope.pop(key, None)
            await stream.run(scope, receive, send)

    def _list_methods(self, app: FastAPI) -> set[str]:
        """The methods that are allowed at this path. Each method has a route of its own."""
        same = [route for route in app.routes if isinstance(route, APIRoute) and route.path == self.path]
        return {method for route in same for method in route.methods or ()}


class JobRoute(EventStreamRoute):
    """A route whose endpoint looks by itself whose jobs it is about."""

    needs_everything = False


class StreamRoute(JobRoute):
    """A route that takes tickets."""

    document_mark = TAKES_TICKETS

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        take_ticket(scope)
        await super().handle(scope, receive, send)
