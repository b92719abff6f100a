"""Our service, written as the README shows it."""

import os
from typing import Any

from benchmarks.apps.common import routes_of
from benchmarks.work import Work
from servicekit import Retention
from servicekit.api import JobSubmitted, SchedulerDependency, ServiceBuilder, ServiceInfo, SubmitJob


def retention() -> Retention:
    """The default, unless the case is about many records."""
    if os.environ.get("BENCHMARK_KEEPS_ALL"):
        return Retention(max_age=None, max_count=None)
    return Retention()


work = Work()
app = ServiceBuilder(info=ServiceInfo(display_name="Ours")).with_jobs(retention=retention()).build()


@app.post("/noop", status_code=202)
async def noop(submit: SubmitJob) -> JobSubmitted:
    return await submit(work.noop)


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
