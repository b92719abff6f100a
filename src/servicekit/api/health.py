"""The health feature: `/health` says whether the service can work."""

from collections.abc import Mapping
from enum import StrEnum
from inspect import isawaitable, iscoroutinefunction
from typing import Annotated

from fastapi import FastAPI, Request, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from servicekit.api.features import Passive
from servicekit.api.routing import CheapRoute
from servicekit.api.state import HealthCheck, check_free, check_path, service_state
from servicekit.errors import ConfigurationError
from servicekit.jobs.outcome import MAX_ERROR_CHARACTERS, clip, describe_error
from servicekit.ports import Notice


class HealthStatus(StrEnum):
    """`degraded`: the service answers, but something in it does not work."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"


class CheckResult(BaseModel):
    """The result of one check."""

    state: HealthStatus
    message: Annotated[str | None, Field(description="What is wrong.", examples=[None])] = None


class HealthReport(BaseModel):
    """The health of the service and of its parts."""

    status: Annotated[HealthStatus, Field(examples=[HealthStatus.HEALTHY])]
    checks: dict[str, CheckResult]


class Health(Passive):
    """`GET /health`: 503 if a check finds that the service cannot work, else 200.

    A check is a function that returns what is wrong, or `None`. If it raises, the error is what is wrong. A plain
    function runs in a thread, an `async` one on the event loop. If it returns a `Notice`, the service can work without
    what is wrong: the status is `degraded`, with 200. `ConfigurationError` for a check that cannot be called.
    """

    def __init__(self, *, path: str = "/health", checks: Mapping[str, HealthCheck] | None = None) -> None:
        check_path("path", path)
        self._path = path
        self._checks = dict(checks or {})
        for name, check in self._checks.items():
            if not callable(check):
                raise ConfigurationError("checks", {name: check}, "functions that say what is wrong, or return None")

    def install(self, app: FastAPI) -> None:
        check_free("path", self._path, app)
        service_state(app).health_checks.update(self._checks)
        app.router.add_api_route(
            self._path,
            get_health,
            route_class_override=CheapRoute,
            tags=["service"],
            summary="Health of the service",
            operation_id=None if self._path != "/health" else "getHealth",
            responses={503: {"model": HealthReport, "description": "Something does not work."}},
        )


async def get_health(request: Request, response: Response) -> HealthReport:
    """Whether the service can work, and what is wrong."""
    found = {name: await _run_check(check) for name, check in service_state(request.app).health_checks.items()}
    response.status_code = 200 if all(is_fit for _, is_fit in found.values()) else 503
    checks = {name: check for name, (check, _) in found.items()}
    is_healthy = all(check.state is HealthStatus.HEALTHY for check in checks.values())
    return HealthReport(status=HealthStatus.HEALTHY if is_healthy else HealthStatus.DEGRADED, checks=checks)


async def _call(check: HealthCheck) -> object:
    if iscoroutinefunction(check):
        return await check()
    found = await run_in_threadpool(check)  # a plain function may block
    return await found if isawaitable(found) else found


async def _run_check(check: HealthCheck) -> tuple[CheckResult, bool]:
    """The result of the check, and whether the service can work."""
    found: object = None
    try:
        found = await _call(check)
        problem = None if found is None else clip(str.__str__(str(found)), MAX_ERROR_CHARACTERS)
    except Exception as error:  # a check is the user's code, and its error means that something is wrong
        problem = describe_error(error)
    result = CheckResult(state=HealthStatus.DEGRADED if problem else HealthStatus.HEALTHY, message=problem)
    return result, not problem or isinstance(found, Notice)
