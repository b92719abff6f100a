"""Submitting a job from an endpoint, and the answer to it."""

from typing import Annotated, Self

from fastapi import Depends, Request, Response
from pydantic import BaseModel, Field

from servicekit.api.dependencies import SchedulerDependency
from servicekit.api.state import jobs_path
from servicekit.engine.scheduler import Scheduler
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

    def __init__(self, scheduler: Scheduler, request: Request, response: Response) -> None:
        self._scheduler = scheduler
        self._request = request
        self._response = response

    async def __call__(self, target: JobTarget, /, *args: object, **kwargs: object) -> JobSubmitted:
        """Submit like `Scheduler.add_job`, with its errors."""
        job_id = await self._scheduler.add_job(target, *args, **kwargs)
        url = f"{jobs_path(self._request)}/{job_id}"
        self._response.status_code = 202
        self._response.headers["location"] = url
        return JobSubmitted(
            job_id=job_id, message="Job submitted. Stream real-time status...", stream_url=f"{url}/$stream"
        )


async def get_submitter(scheduler: SchedulerDependency, request: Request, response: Response) -> JobSubmitter:
    """The dependency behind `SubmitJob`."""
    return JobSubmitter(scheduler, request, response)


SubmitJob = Annotated[JobSubmitter, Depends(get_submitter)]
