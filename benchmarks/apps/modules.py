"""Our service with artifacts, tasks and a model. It keeps everything in the folder that it is told."""

import os
from pathlib import Path

from fastapi import APIRouter

from benchmarks import targets
from benchmarks.apps.common import routes_of
from benchmarks.models import model
from servicekit.api import JobSubmitted, ServiceBuilder, ServiceInfo, SubmitJob
from servicekit.artifacts import Artifacts
from servicekit.tasks import Tasks

folder = Path(os.environ["BENCHMARK_FOLDER"])
tasks = Tasks(folder / "tasks.db")
tasks.task(name="noop")(targets.noop)
router = APIRouter()


@router.post("/noop", status_code=202)
async def noop(submit: SubmitJob) -> JobSubmitted:
    return await submit(targets.noop)


app = (
    ServiceBuilder(info=ServiceInfo(display_name="Modules"))
    .with_jobs()
    .with_artifacts(Artifacts(folder / "artifacts"))
    .with_tasks(tasks)
    .with_ml(model)
    .include_router(router)
    .include_router(routes_of(targets.work))
    .build()
)
