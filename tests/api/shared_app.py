"""A service whose jobs are steered from outside, whichever process runs them: by files in the folder `FOLDER`."""

import asyncio
import os
import time
from pathlib import Path

from fastapi import APIRouter, FastAPI

from servicekit import current_job, job_options
from servicekit.api import JobSubmitted, SchedulerDependency, ServiceBuilder, ServiceInfo, SubmitJob

FOLDER = Path(os.environ.get("FOLDER", "."))
router = APIRouter()


def note(text: str) -> None:
    """Add a line to the journal of all processes."""
    with open(FOLDER / "journal", "a") as journal:
        journal.write(f"{text}\n")


async def hold(name: str) -> str:
    """Run until there is a file of this name."""
    note(f"{name} begins as attempt {current_job().attempt} in {os.getpid()}")
    try:
        while not (FOLDER / name).exists():
            await asyncio.sleep(0.01)
    except asyncio.CancelledError:
        note(f"{name} was stopped")
        raise
    note(f"{name} ends")
    return name


@job_options(max_restarts=0, tags=["careful"])
async def hold_once(name: str) -> str:
    return await hold(name)


def crash() -> None:
    """Take the process down, as a segmentation fault would."""
    note(f"crash in {os.getpid()}")
    os._exit(11)


def block(seconds: float) -> str:
    """A thread that listens to nobody."""
    note("block begins")
    time.sleep(seconds)
    return "blocked"


@router.post("/hold/{name}", status_code=202)
async def submit_hold(name: str, submit: SubmitJob) -> JobSubmitted:
    return await submit(hold, name)


@router.post("/once/{name}", status_code=202)
async def submit_once(name: str, submit: SubmitJob) -> JobSubmitted:
    return await submit(hold_once, name)


@router.post("/closure/{name}", status_code=202)
async def submit_closure(name: str, submit: SubmitJob) -> JobSubmitted:
    return await submit(hold(name))


@router.post("/crash", status_code=202)
async def submit_crash(submit: SubmitJob) -> JobSubmitted:
    return await submit(crash)


@router.post("/block", status_code=202)
async def submit_block(seconds: float, submit: SubmitJob) -> JobSubmitted:
    return await submit(block, seconds)


@router.get("/process")
async def process() -> int:
    return os.getpid()


@router.get("/wait/{job_id}")
async def wait(job_id: str, scheduler: SchedulerDependency) -> str:
    """Answer when the job has ended, with its status."""
    return (await scheduler.wait(job_id)).status


def create_app() -> FastAPI:
    limit = os.environ.get("MAX_CONCURRENCY")
    return (
        ServiceBuilder(info=ServiceInfo(display_name="Shared"))
        .with_jobs(
            max_concurrency=int(limit) if limit else None,
            shutdown_grace=float(os.environ.get("GRACE", "0")),
            run_jobs="ACCEPT_ONLY" not in os.environ,
        )
        .with_health()
        .include_router(router)
        .build()
    )


app = create_app()
