"""The peer's service."""

from typing import Annotated, Any

from fastapi import Depends, FastAPI

from benchmarks.apps.common import routes_of
from benchmarks.work import Work
from servicekit.api import BaseServiceBuilder, ServiceInfo, get_scheduler  # type: ignore[attr-defined] # the peer's

Scheduler = Annotated[Any, Depends(get_scheduler)]

work = Work()
# Its monitoring is on unless one asks otherwise; ours is off unless one asks for it.
app: FastAPI = (
    BaseServiceBuilder(info=ServiceInfo(id="peer", display_name="Peer"))
    .with_jobs()
    .with_monitoring(enabled=False)
    .build()
)


@app.post("/noop", status_code=202)
async def noop(scheduler: Scheduler) -> dict[str, str]:
    return submitted(await scheduler.add_job(work.noop))


@app.post("/timed", status_code=202)
async def timed(scheduler: Scheduler, name: str, seconds: float) -> dict[str, str]:
    return submitted(await scheduler.add_job(work.timed, name, seconds))


@app.post("/held", status_code=202)
async def held(scheduler: Scheduler, name: str) -> dict[str, str]:
    return submitted(await scheduler.add_job(work.held, name))


@app.post("/noops")
async def noops(scheduler: Scheduler, count: int) -> str:
    return str(await work.run_noops(scheduler.add_job, count))


app.include_router(routes_of(work))


def submitted(job_id: object) -> dict[str, str]:
    return {"job_id": str(job_id), "message": "Job submitted", "stream_url": f"/api/v1/jobs/{job_id}/$stream"}
