"""Submissions from endpoints, and their responses."""

import asyncio
import re
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from functools import partial
from operator import is_
from typing import Annotated, Any, Final, ParamSpec, Self, Unpack, overload

from fastapi import Depends, FastAPI, Request, Response
from pydantic import BaseModel, Field
from pydantic_core import from_json

from servicekit.api.access import EVERYTHING, Access
from servicekit.api.admission import admit, check_may_act, is_guarded
from servicekit.api.dependencies import find_scheduler, solve_scheduler
from servicekit.api.encoding import result_json
from servicekit.api.errors import mistake
from servicekit.api.job_responses import FULL, KEY_TAKEN, OTHER_SITE, UNAVAILABLE
from servicekit.api.openapi import Document, extend_document
from servicekit.api.origins import SITE_HEADERS, check_site
from servicekit.api.state import jobs_path
from servicekit.api.waits import MAX_WAIT_SECONDS, PreferredWait, wait_for_end
from servicekit.engine.bridge import start_on, wait_for
from servicekit.engine.scheduler import Scheduler
from servicekit.errors import (
    ConfigurationError,
    InvalidArguments,
    JobNotFound,
    RecordUnreadable,
    ResultUnavailable,
    StoreUnavailable,
)
from servicekit.jobs.command import Command
from servicekit.jobs.current import check_may_block
from servicekit.jobs.options import MAX_TEXT_CHARACTERS, UNKNOWN_OPTIONS, OptionChanges, check_text
from servicekit.jobs.status import JobStatus
from servicekit.jobs.submission import JobTarget

P = ParamSpec("P")

_KEY_HEADER: Final = "Idempotency-Key"
_HEADERS: Final = frozenset({b"idempotency-key", b"prefer", *SITE_HEADERS})
"""The headers that a submission reads."""
_ULID: Final = "01JQRS7XK5N8Z3VQ2M4T6W8Y0A"
_ABSENT: Final = ...


# pydantic calls these for every response. A `partial` of a function in C costs less than a function in Python.
_is_none: Final = partial(is_, None)
_is_absent: Final = partial(is_, _ABSENT)


class JobSubmitted(BaseModel):
    """The response to an accepted job: where to look for it. If the client waited for its end, also how it ended."""

    job_id: str = Field(description="The job's ULID.", examples=[_ULID])
    message: str = Field(description="For people.", examples=["Job submitted. Stream real-time status..."])
    stream_url: str = Field(description="The job's live stream.", examples=[f"/api/v1/jobs/{_ULID}/$stream"])
    status: JobStatus | None = Field(
        default=None,
        exclude_if=_is_none,
        description="How it has ended. Left out if it has not, or the client did not want to wait.",
    )
    result: Any = Field(
        default_factory=lambda: _ABSENT,
        exclude_if=_is_absent,
        repr=False,
        description="What its target has returned, if it is completed.",
    )
    error: str | None = Field(default=None, exclude_if=_is_none, description="Why it failed, if it did.")

    def with_message(self, message: str) -> Self:
        """The same response with another `message`."""
        return self.model_copy(update={"message": message})


class JobSubmitter:
    """Submits a job for an endpoint, and sets the response: status 202, and the job's `Location`.

    The job belongs to the owner that the caller's `Access` names. Who may only look is refused before.

    @app.post("/train", status_code=202)
    async def train(model: Model, submit: SubmitJob) -> JobSubmitted:
        return await submit(train_model, model.name)

    A client that sends `Prefer: wait=5` gets the response when the job has ended, with status 200, or after 5 seconds.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        request: Request,
        response: Response,
        options: OptionChanges | None = None,
        wait: PreferredWait | None = None,
        access: Access = EVERYTHING,
    ) -> None:
        self._scheduler = scheduler
        self._request = request
        self._response = response
        self._options: OptionChanges = options or {}
        self._wait = wait
        self._access = access

    def with_options(self, **options: Unpack[OptionChanges]) -> "JobSubmitter":
        """A submitter that gives jobs these options (see `JobOptions`). They replace those of the request.

        A value that makes no sense counts as the client's mistake, and is answered by 422. An option that does not
        exist is the endpoint's own mistake: `ConfigurationError`. An `owner` counts only if the caller sees everything.
        """
        try:
            self._scheduler.with_options(**options)
        except ConfigurationError as error:
            if error.option == UNKNOWN_OPTIONS:
                raise
            raise mistake(("options", error.option), str(error)) from error
        changed: OptionChanges = {**self._options, **options}
        return JobSubmitter(self._scheduler, self._request, self._response, changed, self._wait, self._access)

    @overload
    async def __call__(self, target: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> JobSubmitted: ...

    @overload
    async def __call__(self, target: Coroutine[Any, Any, object] | Command, /) -> JobSubmitted: ...

    async def __call__(self, target: JobTarget, /, *args: Any, **kwargs: Any) -> JobSubmitted:
        """Submit like `Scheduler.add_job`, with its errors. Arguments that do not fit are answered by 422.

        With an idempotency key, of the request or of `with_options`, the job can be one that was submitted before.
        """
        options = self._with_owner()
        scheduler = self._scheduler.with_options(**options) if options else self._scheduler
        try:
            job_id = await scheduler.add_job(target, *args, **kwargs)
        except InvalidArguments as error:
            location = ("arguments",) if error.argument is None else ("arguments", error.argument)
            raise mistake(location, str(error)) from error
        return await self._answer(job_id)

    async def earlier(self) -> JobSubmitted | None:
        """The response to this request if an earlier one with the same idempotency key has submitted a job already.

        For endpoints that do something of their own before they submit, such as to insert a row: ask first, and if
        there is a response, return it and do nothing else. `None` if there is no such job, or no key. The contents of
        the two requests are not compared.

        Two requests at the same time can both get `None`, and both insert their row. Then the second one that submits
        gets the first one's job if the arguments are the same, else `IdempotencyConflict`: remove its row, and ask
        again.
        """
        options = self._with_owner()
        key, owner = options.get("idempotency_key"), options.get("owner")
        job_id = None if key is None else await self._scheduler.find_by_key(key, owner)
        return None if job_id is None else await self._answer(job_id)

    def _with_owner(self) -> OptionChanges:
        """The options of the job. It belongs to the caller, unless somebody who sees everything gives it to another."""
        owner = self._access.owner
        if owner is None or (self._access.everything and "owner" in self._options):
            return self._options
        return {**self._options, "owner": owner}

    async def _answer(self, job_id: str) -> JobSubmitted:
        submitted = answer_submission(self._request, self._response, job_id)
        return submitted if self._wait is None else await self._wait_for_end(submitted, self._wait)

    async def _wait_for_end(self, submitted: JobSubmitted, wait: PreferredWait) -> JobSubmitted:
        job_id = submitted.job_id
        self._response.headers["preference-applied"] = f"wait={wait.seconds}"
        # The job was accepted, so the client gets this response even if the job cannot be read or was deleted.
        with suppress(JobNotFound, RecordUnreadable, StoreUnavailable):
            await wait_for_end(self._request, self._scheduler, job_id, wait.seconds_left)
            record = await self._scheduler.get_record(job_id)
            if record.status.is_terminal:
                result = await self._find_result(job_id)
                self._response.status_code = 200
                return submitted.model_copy(update={"status": record.status, "error": record.error, "result": result})
        return submitted

    async def _find_result(self, job_id: str) -> object:
        try:
            return from_json(result_json(job_id, await self._scheduler.get_result(job_id)))
        except (ResultUnavailable, ValueError):  # `ValueError`: a number of thousands of digits, or nested too deeply
            return _ABSENT


class JobSubmitterSync:
    """`JobSubmitter` for `def` endpoints, which run in threads. It has the same calls, and each blocks its thread.

    @app.post("/train", status_code=202)
    def train(model: Model, submit: SubmitJobSync) -> JobSubmitted:
        return submit(train_model, model.name)

    In an `async def` endpoint, the calls raise `WouldBlock`.
    """

    def __init__(self, submitter: JobSubmitter, loop: asyncio.AbstractEventLoop) -> None:
        self._submitter = submitter
        self._loop = loop

    def with_options(self, **options: Unpack[OptionChanges]) -> "JobSubmitterSync":
        """See `JobSubmitter.with_options`."""
        return JobSubmitterSync(self._submitter.with_options(**options), self._loop)

    @overload
    def __call__(self, target: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> JobSubmitted: ...

    @overload
    def __call__(self, target: Coroutine[Any, Any, object] | Command, /) -> JobSubmitted: ...

    def __call__(self, target: JobTarget, /, *args: Any, **kwargs: Any) -> JobSubmitted:
        """Submit like `JobSubmitter`. If the client wants to wait (`Prefer`), the thread is blocked meanwhile."""
        check_may_block("SubmitJobSync", "`SubmitJob`")
        submit: Callable[..., Coroutine[Any, Any, JobSubmitted]] = self._submitter.__call__
        return wait_for(start_on(self._loop, submit(target, *args, **kwargs)))

    def earlier(self) -> JobSubmitted | None:
        """See `JobSubmitter.earlier`."""
        check_may_block("SubmitJobSync", "`SubmitJob`")
        return wait_for(start_on(self._loop, self._submitter.earlier()))


def answer_submission(request: Request, response: Response, job_id: str) -> JobSubmitted:
    """Set the response for an accepted job, and return its body."""
    url = f"{jobs_path(request)}/{job_id}"
    response.status_code = 202
    if response.raw_headers:  # there can be a `Location` already, of another job or of the endpoint
        response.headers["location"] = url
    else:
        response.raw_headers.append((b"location", url.encode("latin-1")))
    message = "Job submitted. Stream real-time status..."
    return JobSubmitted(job_id=job_id, message=message, stream_url=f"{url}/$stream")


async def get_submitter(request: Request, response: Response) -> JobSubmitter:
    """The dependency behind `SubmitJob`."""
    # The headers are read here: as parameters of FastAPI they would cost each submission as much as the job itself.
    headers = [header for header in request.scope["headers"] if header[0] in _HEADERS]
    if headers:  # requests of programs that are no browsers often have none of these
        check_site(request.scope)  # before the user's code is called, which could change something
    access = await admit(request.scope) if is_guarded(request.scope) else EVERYTHING
    check_may_act(access)
    scheduler = find_scheduler(request) or await solve_scheduler(request)
    if not headers:
        return JobSubmitter(scheduler, request, response, access=access)
    key = _find_idempotency_key(headers)
    options: OptionChanges = {} if key is None else {"idempotency_key": key}
    return JobSubmitter(scheduler, request, response, options, PreferredWait.of(headers), access)


SubmitJob = Annotated[JobSubmitter, Depends(get_submitter)]


async def get_sync_submitter(submitter: SubmitJob) -> JobSubmitterSync:
    """The dependency behind `SubmitJobSync`."""
    return JobSubmitterSync(submitter, asyncio.get_running_loop())


def _find_idempotency_key(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    for name, value in headers:
        if name == b"idempotency-key":
            key = _decode(value)
            try:
                check_text(_KEY_HEADER, key)
            except ConfigurationError as error:
                raise mistake(("header", _KEY_HEADER), str(error), input=key) from error
            return key
    return None


def _decode(value: bytes) -> str:
    """The text of a header. Most programs send UTF-8, and browsers send Latin-1."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


SubmitJobSync = Annotated[JobSubmitterSync, Depends(get_sync_submitter)]


def document_submissions(app: FastAPI) -> None:
    """Add the headers and responses of submissions to every operation of the document that returns `JobSubmitted`."""
    extend_document(app, _document_all)


def _document_all(document: Document) -> None:
    for path, operations in document.get("paths", {}).items():
        for operation in operations.values():
            schema = find_schema(operation)
            if schema is not None and not path.endswith("/$retry"):
                _document(operation, schema)


def find_schema(operation: dict[str, Any]) -> str | None:
    """The schema of the response to a submission: `JobSubmitted`, or one of the user's whose name ends so."""
    found = _SUBMITTED.search(str(operation["responses"]))
    return None if found is None else found[0]


def _document(operation: dict[str, Any], schema: str) -> None:
    parameters = operation.setdefault("parameters", [])
    parameters += [each for each in (_KEY_PARAMETER, _PREFER_PARAMETER) if each not in parameters]
    ended = {**_ENDED, "content": {"application/json": {"schema": {"$ref": schema}}}}
    for status, response in {"200": ended, **_RESPONSES}.items():
        operation["responses"].setdefault(status, response)


_KEY_PARAMETER: Final = {
    "name": _KEY_HEADER,
    "in": "header",
    "required": False,
    "schema": {"type": "string", "maxLength": MAX_TEXT_CHARACTERS},
    "description": "A text of the client's own, such as a UUID. While the job that was submitted with it is kept, the "
    "same request with the same key submits nothing, and is answered with that job.",
}
_PREFER_PARAMETER: Final = {
    "name": "Prefer",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "`wait=5`: answer when the job has ended, with 200 and what came of it, or after so many seconds "
    f"(at most {MAX_WAIT_SECONDS}), with 202.",
    "example": "wait=5",
}
_SUBMITTED: Final = re.compile(r"#/components/schemas/\w*JobSubmitted\b")
_ENDED: Final = {
    "description": "The job has ended within the time that the client wanted to wait (`Prefer`).",
    "headers": {"Preference-Applied": {"description": "`wait=5`", "schema": {"type": "string"}}},
}
_RESPONSES: Final = {
    str(status): {
        "description": response["description"],
        "content": {
            "application/json": {
                "schema": {"$ref": "#/components/schemas/ErrorBody"},
                **response["content"]["application/json"],
            },
        },
    }
    for status, response in {**OTHER_SITE, **KEY_TAKEN, **FULL, **UNAVAILABLE}.items()
}
