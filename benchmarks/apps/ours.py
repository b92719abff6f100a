"""Our service, written as the README shows it."""

import os
from typing import Any

from benchmarks import targets
from benchmarks.apps.common import routes_of
from benchmarks.targets import work
from servicekit import Retention
from servicekit.api import JobSubmitted, SchedulerDependency, ServiceBuilder, ServiceInfo, SubmitJob


def retention() -> Retention:
    """The default, unless the case is about many records."""
    if os.environ.get("BENCHMARK_KEEPS_ALL"):
        return Retention(max_age=None, max_count=None)
    return Retention()


app = (
    ServiceBuilder(info=ServiceInfo(display_name="Ours"))
    .with_jobs(
        retention=retention(),
        run_jobs=not os.environ.get("BENCHMARK_ACCEPTS_ONLY"),
    )
    .build()
)


@app.post("/noop", status_code=202)
async def noop(submit: SubmitJob) -> JobSubmitted:
    return await submit(work.noop)


@app.post("/restartable", status_code=202)
async def restartable(submit: SubmitJob) -> JobSubmitted:
    return await submit(targets.noop)


@app.post("/stamped", status_code=202)
async def stamped(submit: SubmitJob, name: str, seconds: float) -> JobSubmitted:
    return await submit(targets.stamped, name, seconds)


@app.post("/burn", status_code=202)
async def burn(submit: SubmitJob, seconds: float) -> JobSubmitted:
    return await submit(targets.burn, seconds)


@app.post("/timed", status_code=202)
async def timed(submit: SubmitJob, name: str, seconds: float) -> JobSubmitted:
    return await submit(work.timed, name, seconds)


@app.post("/held", status_code=202)
async def held(submit: SubmitJob, name: str) -> JobSubmitted:
    return await submit(work.held, name)


@app.post("/noops")
async def noops(scheduler: SchedulerDependency, count: int) -> Any:
    return await work.run_noops(scheduler.add_job, count)


app.include_router(routes_of(work))
