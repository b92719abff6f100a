"""A service with a believable load, for the pictures in the documentation and for pages that need much to show."""

import asyncio
import os
import tempfile
from pathlib import Path
from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import Field

from servicekit import Cron, Every, Retry, current_job, job_options
from servicekit.api import JobSubmitted, ServiceBuilder, ServiceInfo, SubmitJob
from servicekit.artifacts import Artifacts
from servicekit.tasks import Tasks

FOLDER = Path(tempfile.mkdtemp(prefix="servicekit-pictures-"))
FOLD_SECONDS = float(os.environ.get("FOLD_SECONDS", "0"))
tasks = Tasks(FOLDER / "tasks.db", page=None)


@job_options(queue="ml", tags=["nightly"])
async def train(model: str, region: str, folds: int = 10) -> dict[str, float]:
    """Stands still in the middle, so that a picture of it is always the same."""
    job = current_job()
    job.log(f"{folds} folds of {model} for {region}")
    for fold in range(1, 8):
        job.progress(fold - 1, folds, f"fold {fold} of {folds}")
        await asyncio.sleep(FOLD_SECONDS)
        job.log(f"fold {fold}: rmse={0.15 - fold / 200:.3f}")
    job.log("3 rows dropped: no harvest date", level="warning")
    job.progress(7, folds, f"fold 8 of {folds}")
    await asyncio.Event().wait()
    return {"rmse": 0.1}


@job_options(queue="ml")
async def predict(region: str) -> dict[str, float]:
    current_job().log(f"{region}: 1,204 fields")
    return {"rmse": 0.12}


@job_options(queue="io")
async def export(rows: int) -> None:
    current_job().progress(int(rows * 0.65), rows, "writing parts")
    await asyncio.Event().wait()


@job_options(queue="io", retry=Retry(attempts=3, delay=0.01, jitter=0))
async def sync(site: int) -> int:
    job = current_job()
    job.log(f"site {site}: reading the manifest")
    await asyncio.sleep(site % 4 / 8)
    if site % 17 == 0:
        check_manifest({"site": site, "rows": -1})
    return site


def check_manifest(manifest: dict[str, int]) -> None:
    if manifest["rows"] < 0:
        raise ValueError(f"site {manifest['site']}: the manifest has a negative number of rows")


@job_options(queue="reports")
async def report(month: str) -> str:
    return f"reports/{month}.pdf"


async def clean_up(days: int) -> int:
    return days


@tasks.task("harvest", tags=["demo"])
async def harvest(
    region: Annotated[str, Field(description="Where, as in the register of fields.")],
    crop: Literal["wheat", "barley", "oats"] = "wheat",
    last_days: Annotated[int, Field(ge=1, le=90, description="How far back.")] = 7,
    is_dry: bool = False,
) -> int:
    """Collect the harvest of a region."""
    return last_days


tasks.task("report")(report)
tasks.add_command("backup", ["echo", "{database}"], description="Save a database.")

router = APIRouter()


@router.post("/train", status_code=202, summary="Train a model")
async def start_training(model: str, region: str, submit: SubmitJob) -> JobSubmitted:
    return await submit(train, model=model, region=region)


@router.post("/predict", status_code=202, summary="Predict the harvest")
async def start_predicting(region: str, submit: SubmitJob) -> JobSubmitted:
    return await submit(predict, region=region)


@router.post("/export", status_code=202, summary="Export rows")
async def start_exporting(rows: int, submit: SubmitJob) -> JobSubmitted:
    return await submit(export, rows=rows)


@router.post("/sync", status_code=202, summary="Read the manifest of a site")
async def start_syncing(site: int, submit: SubmitJob) -> JobSubmitted:
    return await submit(sync, site=site)


@router.post("/reports", status_code=202, summary="Write a report")
async def start_reporting(month: str, submit: SubmitJob) -> JobSubmitted:
    return await submit(report, month=month)


app = (
    ServiceBuilder(info=ServiceInfo(display_name="Harvest", version="2.4.0"))
    .with_jobs(shutdown_grace=0, queues={"ml": 2, "io": 3, "reports": None})
    .with_artifacts(Artifacts(FOLDER / "artifacts"))
    .with_tasks(tasks)
    .with_schedule("clean up", Cron("0 3 * * *", "Europe/Berlin"), clean_up, days=7)
    .with_schedule("monthly report", Cron("30 6 1 * *", "Europe/Berlin"), report, month="last")
    .with_schedule("weather", Cron("*/15 6-20 * * MON-FRI", "Europe/Berlin"), predict, region="all")
    .with_schedule("sync 3", Every(900), sync, site=3)
    .include_router(router)
    .with_dashboard()
    .build()
)
