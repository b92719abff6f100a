"""Errors as HTTP responses: the only module that knows both."""

import os
from http import HTTPStatus
from inspect import iscoroutine
from pathlib import Path
from typing import Final, NoReturn

from fastapi import Request
from fastapi.exceptions import RequestValidationError, ResponseValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.applications import Starlette

from servicekit.api.state import find_service
from servicekit.errors import (
    ArtifactConflict,
    ArtifactNotFound,
    ArtifactsUnavailable,
    ConfigNotFound,
    ContentTooLarge,
    IdempotencyConflict,
    InvalidArguments,
    InvalidArtifactId,
    InvalidContent,
    InvalidJobId,
    JobNotFound,
    ModelNotTrusted,
    ModelUnusable,
    NotAwaited,
    QueueFull,
    RecordUnreadable,
    ResultUnavailable,
    RetryUnavailable,
    ScheduleNotFound,
    SchedulerClosed,
    ServicekitError,
    StoreUnavailable,
    TaskConflict,
    TaskDisabled,
    TaskForbidden,
    TaskNotFound,
    TasksUnavailable,
)

_COME_BACK = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)

_FOLDER: Final = str(Path(__file__).parent.parent) + os.sep  # by it, code of servicekit is told from the user's


class ErrorBody(BaseModel):
    """The body of every error response of the job and schedule routes."""

    detail: str = Field(description="What is wrong.", examples=["Job not found"])


_RESPONSES: dict[type[ServicekitError], tuple[HTTPStatus, str | None]] = {
    InvalidJobId: (HTTPStatus.BAD_REQUEST, "Invalid job ID format"),
    JobNotFound: (HTTPStatus.NOT_FOUND, "Job not found"),
    ScheduleNotFound: (HTTPStatus.NOT_FOUND, "Schedule not found"),
    ConfigNotFound: (HTTPStatus.NOT_FOUND, "Config not found"),
    ResultUnavailable: (HTTPStatus.CONFLICT, None),
    RetryUnavailable: (HTTPStatus.CONFLICT, None),
    IdempotencyConflict: (HTTPStatus.CONFLICT, None),
    ModelUnusable: (HTTPStatus.CONFLICT, None),
    ModelNotTrusted: (HTTPStatus.CONFLICT, None),
    InvalidArguments: (HTTPStatus.UNPROCESSABLE_ENTITY, None),
    TaskNotFound: (HTTPStatus.NOT_FOUND, "Task not found"),
    TaskDisabled: (HTTPStatus.CONFLICT, None),
    TaskConflict: (HTTPStatus.CONFLICT, None),
    TaskForbidden: (HTTPStatus.FORBIDDEN, None),
    TasksUnavailable: (HTTPStatus.SERVICE_UNAVAILABLE, None),
    QueueFull: (HTTPStatus.TOO_MANY_REQUESTS, None),
    RecordUnreadable: (HTTPStatus.SERVICE_UNAVAILABLE, None),
    SchedulerClosed: (HTTPStatus.SERVICE_UNAVAILABLE, "The service is stopping and takes no more jobs"),
    StoreUnavailable: (HTTPStatus.SERVICE_UNAVAILABLE, "Jobs cannot be read or written at the moment"),
    InvalidArtifactId: (HTTPStatus.BAD_REQUEST, "Invalid artifact ID format"),
    ArtifactNotFound: (HTTPStatus.NOT_FOUND, "Artifact not found"),
    ArtifactConflict: (HTTPStatus.CONFLICT, None),
    ContentTooLarge: (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, None),
    InvalidContent: (HTTPStatus.UNPROCESSABLE_ENTITY, None),
    ArtifactsUnavailable: (HTTPStatus.SERVICE_UNAVAILABLE, "Artifacts cannot be read or written at the moment"),
}


def add_error_handlers(app: Starlette) -> None:
    """Add handlers for servicekit's errors in all endpoints. Handlers that the application has already are kept."""
    for error_type in _RESPONSES:
        app.exception_handlers.setdefault(error_type, _respond)
    app.exception_handlers.setdefault(ResponseValidationError, _explain_coroutine)


def mistake(location: tuple[str | int, ...], text: str, **more: object) -> RequestValidationError:
    """FastAPI's own error (422) for a client's mistake at this place of the request."""
    return RequestValidationError([{"type": "value_error", "loc": location, "msg": text, **more}])


async def _respond(request: Request, error: Exception) -> JSONResponse:
    status, detail = next(response for kind, response in _RESPONSES.items() if isinstance(error, kind))
    if isinstance(error, StoreUnavailable | ArtifactsUnavailable | TasksUnavailable):
        # Clients must not see the path of the file, or the host of the database.
        find_service(request).failures.error(error)
    # Five seconds, the longest pause between two tries of a store (`servicekit.jobs.backoff`): it may work by then.
    headers = {"Retry-After": "5"} if status in _COME_BACK else None
    return JSONResponse({"detail": detail or str(error)}, status_code=status, headers=headers)


async def _explain_coroutine(request: Request, error: Exception) -> NoReturn:
    """Raise `NotAwaited` if the invalid response is a coroutine of servicekit: the endpoint has forgotten `await`."""
    found = [each.get("input") for each in error.errors()] if isinstance(error, ResponseValidationError) else []
    for value in filter(iscoroutine, found):
        if value.cr_code.co_filename.startswith(_FOLDER):
            value.close()  # Python would else warn too, later and without the endpoint's name
            raise NotAwaited(f"{request.method} {request.url.path}", value.__qualname__) from error
    raise error
