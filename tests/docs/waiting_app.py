"""A service whose job waits for a file, in whichever process it runs: it goes on after a restart."""

import asyncio
from pathlib import Path

from fastapi import APIRouter

from servicekit.api import JobSubmitted, ServiceBuilder, ServiceInfo, SubmitJob

router = APIRouter()


async def wait_for_file(path: str) -> None:
    while not Path(path).exists():
        await asyncio.sleep(0.02)


@router.post("/wait", status_code=202)
async def submit_wait(path: str, submit: SubmitJob) -> JobSubmitted:
    return await submit(wait_for_file, path)


app = (
    ServiceBuilder(info=ServiceInfo(display_name="Waiting")).with_jobs(shutdown_grace=0).include_router(router).build()
)
