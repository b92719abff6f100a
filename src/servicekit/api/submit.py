"""Submitting a job from an endpoint, and the answer to it."""

from typing import Annotated, Self, Unpack

from fastapi import Depends, Header, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import AfterValidator, BaseModel, Field

from servicekit.api.dependencies import SchedulerDependency
from servicekit.api.state import jobs_path
from servicekit.engine.scheduler import Scheduler
from servicekit.errors import ConfigurationError
from servicekit.jobs.options import MAX_TEXT_CHARACTERS, OptionChanges, check_text
from servicekit.jobs.submission import JobTarget

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


def _check_key(key: str) -> str:
    check_text("Idempotency-Key", key)
    return key


async def get_submitter(
    scheduler: SchedulerDependency,
    request: Request,
    response: Response,
    idempotency_key: Annotated[
        Annotated[str, AfterValidator(_check_key)] | None,
        Header(
            alias="Idempotency-Key",
            description="A text of the client's own, such as a UUID. While the job that was submitted with it is kept, "
            "the same request with the same key submits nothing, and is answered with that job. At most "
            f"{MAX_TEXT_CHARACTERS} characters.",
            examples=["3f1c0a52-8f5e-4d3b-9a51-6a3c1f0e7d11"],
        ),
    ] = None,
) -> JobSubmitter:
    """The dependency behind `SubmitJob`."""
    return JobSubmitter(scheduler, request, response, {"idempotency_key": idempotency_key} if idempotency_key else {})


SubmitJob = Annotated[JobSubmitter, Depends(get_submitter)]
