"""Submit a job, poll it, fetch its result.

    fastapi dev examples/job_scheduler_api.py

    JOB_ID=$(curl -s -X POST http://localhost:8000/api/v1/pi \\
      -H "Content-Type: application/json" \\
      -d '{"darts": 5000000}' | jq -r '.job_id')
    curl http://localhost:8000/api/v1/jobs/$JOB_ID
    curl http://localhost:8000/api/v1/pi/$JOB_ID

All jobs, as they change: http://localhost:8000/jobs

Jobs are kept in jobs.db in the working directory: after a restart, job and result are still there.
"""

import random
from typing import Annotated

from fastapi import APIRouter, status
from pydantic import BaseModel, Field

from servicekit import current_job
from servicekit.api import JobSubmitted, SchedulerDependency, ServiceBuilder, ServiceInfo, SubmitJob


class PiRequest(BaseModel):
    """How well to estimate pi."""

    darts: Annotated[int, Field(ge=1, le=100_000_000, examples=[5_000_000])]
    seed: int | None = None


class PiEstimate(BaseModel):
    """What came out."""

    darts: int
    pi: float


def estimate_pi(darts: int, seed: int | None = None) -> PiEstimate:
    """Throw darts at a square and count those inside the circle. A plain function: it runs in a thread."""
    job = current_job()
    dice = random.Random(seed)
    hits = 0
    for thrown in range(1, darts + 1):
        hits += dice.random() ** 2 + dice.random() ** 2 < 1
        if thrown % 50_000 == 0:
            job.raise_if_canceled()  # a thread stops only where it agrees to
            job.progress(thrown, total=darts)
    return PiEstimate(darts=darts, pi=4 * hits / darts)


router = APIRouter(prefix="/api/v1/pi", tags=["Pi"])


@router.post("", status_code=status.HTTP_202_ACCEPTED)
async def submit_pi(body: PiRequest, submit: SubmitJob) -> JobSubmitted:
    """Accept the work and answer at once; `Location` says where to ask how it goes."""
    submitted = await submit(estimate_pi, body.darts, seed=body.seed)
    return submitted.with_message(f"Throwing {body.darts} darts.")


@router.get("/{job_id}")
async def get_pi(job_id: str, scheduler: SchedulerDependency) -> PiEstimate:
    """The result once the job has completed. Until then, and if it failed, the answer is 409 with the reason."""
    return PiEstimate.model_validate(await scheduler.get_result(job_id))


app = (
    ServiceBuilder(info=ServiceInfo(display_name="Job Scheduler"))
    .with_jobs(max_concurrency=2)
    .with_dashboard()
    .with_health()
    .include_router(router)
    .build()
)
