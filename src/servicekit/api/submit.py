"""Submitting a job from an endpoint, and the answer to it."""

from typing import Annotated, Any, Self, Unpack

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field

from servicekit.api.dependencies import SchedulerDependency
from servicekit.api.state import jobs_path
from servicekit.engine.scheduler import Scheduler
from servicekit.errors import ConfigurationError
from servicekit.jobs.options import MAX_TEXT_CHARACTERS, OptionChanges, check_text
from servicekit.jobs.submission import JobTarget

_KEY_HEADER = "Idempotency-Key"
_ULID = "01JQRS7XK5N8Z3VQ2M4T6W8Y0A"


class JobSubmitted(BaseModel):
    """The answer to an accepted job: where to look for it."""

    job_id: str = Field(description="The job's ULID.", examples=[_ULID])
    message: str = Field(description="For people.", examples=["Job submitted. Stream real-time status..."])
    stream_url: str = Field(description="The job's live stream.", examples=[f"/api/v1/jobs/{_ULID}/$stream"])

    def with_message(self, message: str) -> Self:
        """The same answer with another text for people."""
        return self.model_copy(update={"message": message})


class JobSubmitter:
    """Submits a job for an endpoint, and makes the response say so: 202, and `Location` of the job.

    @app.post("/train", status_code=202)
    async def train(model: Model, submit: SubmitJob) -> JobSubmitted:
        return await submit(train_model, model.name)
    """

    def __init__(
        self, scheduler: Scheduler, request: Request, response: Response, options: OptionChanges | None = None
    ) -> None:
        self._scheduler = scheduler
        self._request = request
        self._response = response
        self._options: OptionChanges = options or {}

    def with_options(self, **options: Unpack[OptionChanges]) -> "JobSubmitter":
        """A submitter of jobs with these options (see `JobOptions`), which go before the request's own.

        An option that makes no sense is taken for the client's mistake, and answered by 422.
        """
        try:
            self._scheduler.with_options(**options)
        except ConfigurationError as error:
            mistake = {"type": "value_error", "loc": ("options", error.option), "msg": str(error), "input": error.value}
            raise RequestValidationError([mistake]) from error
        return JobSubmitter(self._scheduler, self._request, self._response, {**self._options, **options})

    async def __call__(self, target: JobTarget, /, *args: object, **kwargs: object) -> JobSubmitted:
        """Submit like `Scheduler.add_job`, with its errors.

        With an idempotency key, of the request or of `with_options`, the job may be one that was submitted before.
        """
        scheduler = self._scheduler.with_options(**self._options) if self._options else self._scheduler
        job_id = await scheduler.add_job(target, *args, **kwargs)
        url = f"{jobs_path(self._request)}/{job_id}"
        self._response.status_code = 202
        self._response.headers["location"] = url
        return JobSubmitted(
            job_id=job_id, message="Job submitted. Stream real-time status...", stream_url=f"{url}/$stream"
        )


async def get_submitter(scheduler: SchedulerDependency, request: Request, response: Response) -> JobSubmitter:
    """The dependency behind `SubmitJob`."""
    key = _find_idempotency_key(request)
    return JobSubmitter(scheduler, request, response, {} if key is None else {"idempotency_key": key})


def _find_idempotency_key(request: Request) -> str | None:
    # As a parameter for FastAPI it would cost every submission as much as the job itself does.
    for name, value in request.scope["headers"]:
        if name == b"idempotency-key":
            key = str(value, "latin-1")
            try:
                check_text(_KEY_HEADER, key)
            except ConfigurationError as error:
                mistake = {"type": "value_error", "loc": ("header", _KEY_HEADER), "msg": str(error), "input": key}
                raise RequestValidationError([mistake]) from error
            return key
    return None


SubmitJob = Annotated[JobSubmitter, Depends(get_submitter)]


def document_submissions(app: FastAPI) -> None:
    """Let the application's OpenAPI document have the header that every answer with a `JobSubmitted` goes with."""
    describe = app.openapi

    def openapi() -> dict[str, Any]:
        document = describe()
        for path in document.get("paths", {}).values():
            for operation in path.values():
                if _submits(operation) and _KEY_PARAMETER not in operation.get("parameters", ()):
                    operation.setdefault("parameters", []).append(_KEY_PARAMETER)
        return document

    app.openapi = openapi  # type: ignore[method-assign] # FastAPI's own way to extend the document


def _submits(operation: dict[str, Any]) -> bool:
    return any("#/components/schemas/JobSubmitted" in str(response) for response in operation["responses"].values())


_KEY_PARAMETER = {
    "name": _KEY_HEADER,
    "in": "header",
    "required": False,
    "schema": {"type": "string", "maxLength": MAX_TEXT_CHARACTERS},
    "description": "A text of the client's own, such as a UUID. While the job that was submitted with it is kept, the "
    "same request with the same key submits nothing, and is answered with that job.",
    "example": "3f1c0a52-8f5e-4d3b-9a51-6a3c1f0e7d11",
}
