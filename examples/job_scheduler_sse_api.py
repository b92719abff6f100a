"""Submit a slow job and watch it live, in the terminal or at http://localhost:8000/.

    fastapi dev examples/job_scheduler_sse_api.py

    JOB_ID=$(curl -s -X POST http://localhost:8000/api/v1/slow-compute \\
      -H "Content-Type: application/json" \\
      -d '{"steps": 30}' | jq -r '.job_id')
    curl -N http://localhost:8000/api/v1/jobs/$JOB_ID/\\$stream

Stop it meanwhile and start it again: the job runs again, and the page goes on showing it. All jobs are at
http://localhost:8000/jobs.
"""

import asyncio
import os
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, status
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field

from servicekit import current_job
from servicekit.api import JobSubmitted, ServiceBuilder, ServiceInfo, SubmitJob

STEP_SECONDS = float(os.environ.get("STEP_SECONDS", "1"))
PAGE = Path(__file__).with_suffix(".html")


class SlowCompute(BaseModel):
    """How long to compute."""

    steps: Annotated[int, Field(ge=1, le=3600, description="One step takes a second.", examples=[30])]


async def slow_compute(steps: int) -> int:
    """Do one step a second, and say so."""
    job = current_job()
    for step in range(1, steps + 1):
        await asyncio.sleep(STEP_SECONDS)
        job.progress(step, total=steps, message=f"step {step} of {steps}")
    return steps


router = APIRouter()


@router.post("/api/v1/slow-compute", status_code=status.HTTP_202_ACCEPTED, tags=["Compute"])
async def submit_slow_compute(body: SlowCompute, submit: SubmitJob) -> JobSubmitted:
    """Start a slow computation and answer at once, with the address of its stream."""
    submitted = await submit(slow_compute, body.steps)
    return submitted.with_message(f"Job submitted with {body.steps} steps. Stream real-time status...")


@router.get("/", include_in_schema=False)
async def page() -> FileResponse:
    """A page that submits a job and shows it live."""
    return FileResponse(PAGE)


app = (
    ServiceBuilder(info=ServiceInfo(display_name="Job Scheduler with live streams"))
    .with_jobs(max_concurrency=5, shutdown_grace=1.0)
    .with_dashboard()
    .with_health()
    .include_router(router)
    .build()
)
