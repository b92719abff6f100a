"""Our service, written as the README shows it."""

import os
from typing import Any

from fastapi import APIRouter

from benchmarks import targets
from benchmarks.apps.common import routes_of
from benchmarks.commits import Commits
from benchmarks.targets import work
from servicekit import Retention
from servicekit.api import JobSubmitted, SchedulerDependency, ServiceBuilder, ServiceInfo, SubmitJob, install
from servicekit.web import Dashboard


def retention() -> Retention:
    """The default, unless the case is about many records."""
    if os.environ.get("BENCHMARK_KEEPS_ALL"):
        return Retention(max_age=None, max_count=None)
    return Retention()


def number_from(variable: str) -> int | None:
    return int(os.environ.get(variable) or 0) or None


router = APIRouter()
counted = Commits.watched() if os.environ.get("BENCHMARK_COUNTS_COMMITS") else Commits()


@router.post("/noop", status_code=202)
async def noop(submit: SubmitJob) -> JobSubmitted:
    return await submit(work.noop)


@router.post("/restartable", status_code=202)
async def restartable(submit: SubmitJob) -> JobSubmitted:
    return await submit(targets.noop)


@router.post("/stamped", status_code=202)
async def stamped(submit: SubmitJob, name: str, seconds: float) -> JobSubmitted:
    return await submit(targets.stamped, name, seconds)


@router.post("/burn", status_code=202)
async def burn(submit: SubmitJob, seconds: float) -> JobSubmitted:
    return await submit(targets.burn, seconds)


@router.post("/timed", status_code=202)
async def timed(submit: SubmitJob, name: str, seconds: float) -> JobSubmitted:
    return await submit(work.timed, name, seconds)


@router.post("/held", status_code=202)
async def held(submit: SubmitJob, name: str) -> JobSubmitted:
    return await submit(work.held, name)


@router.post("/noops")
async def noops(scheduler: SchedulerDependency, count: int) -> Any:
    return await work.run_noops(scheduler.add_job, count)


@router.get("/commits")
async def commits() -> int:
    return counted.count


app = (
    ServiceBuilder(info=ServiceInfo(display_name="Ours"))
    .with_jobs(
        max_concurrency=number_from("BENCHMARK_MAX_CONCURRENCY"),
        queues={"default": number_from("BENCHMARK_QUEUE_LIMIT")},
        retention=retention(),
        log_jobs=not os.environ.get("BENCHMARK_IS_QUIET"),
        run_jobs=not os.environ.get("BENCHMARK_ACCEPTS_ONLY"),
    )
    .include_router(router)
    .include_router(routes_of(work))
    .build()
)
if os.environ.get("BENCHMARK_HAS_DASHBOARD"):
    install(app, Dashboard())
