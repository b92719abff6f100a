"""The application's own answer to who may see what: a dependency of FastAPI that returns an `Access`."""

import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Annotated, Any, Final

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.dependencies.utils import get_dependant, solve_dependencies
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from starlette.types import Scope

from servicekit.api.access import Access
from servicekit.api.openapi import Document
from servicekit.errors import ConfigurationError
from servicekit.jobs.backoff import FailureLog

NO_ACCESS: Final = "The service could not find out what you may do. Its log says why."

_log = logging.getLogger("servicekit.api")

AccessFunction = Callable[..., Any]
"""Returns an `Access`, at once, by a coroutine or by a generator; or raises the application's own 401 or 403."""


class Gate:
    """Asks the dependency of one application.

    It is asked by hand, and not as a dependency of the routes: open streams ask it again, tickets take its place, and
    routes can be added before it is known. It may have dependencies of its own, and be replaced in the application's
    `dependency_overrides`. A generator goes on as soon as it has given its access, so that a session is not held while
    the request is served.
    """

    def __init__(self, access: AccessFunction, app: FastAPI) -> None:
        self.access: Final = access
        self._app = app
        self._failures = FailureLog(_log)
        self._dependant = get_dependant(path="/", call=_taking(access))

    def describe(self) -> Document:
        """The OpenAPI document of one operation that has nothing but the dependency."""
        route = APIRoute("/", _nothing, dependencies=[Depends(self.access)])
        return get_openapi(title="", version="", routes=[route])

    async def ask(self, scope: Scope) -> Access:
        """The access of the caller of this request. Whatever the dependency raises is raised.

        An access that cannot be, say of an owner with a line break, lets nobody in: 403, and the log says what it is.
        """
        try:
            return await self._solve(scope)
        except ConfigurationError as error:  # it can be the name of one user among many: no reason for an alarm to all
            self._failures.exception("Nobody is let in by an access that cannot be", error)
            raise HTTPException(403, NO_ACCESS) from error

    async def _solve(self, scope: Scope) -> Access:
        scope.setdefault("state", {})  # what the dependency keeps in `request.state` is for the endpoint too
        async with AsyncExitStack() as stack:
            asked = {**scope, "fastapi_inner_astack": stack, "fastapi_function_astack": stack}
            solved = await solve_dependencies(
                request=Request(asked),  # without a body, which is the endpoint's
                dependant=self._dependant,
                dependency_overrides_provider=self._app,
                async_exit_stack=stack,
                embed_body_fields=False,
            )
            if solved.errors:
                raise RequestValidationError(solved.errors)
            return _check(solved.values["access"])


def check_access_function(access: object) -> None:
    """`ConfigurationError` for what cannot be asked."""
    if access is not None and not callable(access):
        raise ConfigurationError("access", access, "a function that returns an Access, without Depends around it")


async def _nothing() -> None:
    """Stands in for an endpoint."""


def _taking(access: AccessFunction) -> Callable[..., None]:
    def take(access: Annotated[Any, Depends(access)]) -> None:
        """FastAPI looks at its parameter."""

    return take


def _check(found: object) -> Access:
    if not isinstance(found, Access):
        raise ConfigurationError("access", found, "a dependency that returns an Access, or raises an HTTPException")
    return found
