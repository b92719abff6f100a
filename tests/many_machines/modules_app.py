"""A service with artifacts, tasks and a model. Contents are where `CONTENTS` says, and the rest where its jobs are."""

import os
import time
from pathlib import Path

from servicekit import current_job
from servicekit.api import Service, ServiceBuilder
from servicekit.artifacts import Artifacts
from servicekit.jobs.options import job_options
from servicekit.ml import BaseConfig, Json, MLServiceInfo, Model, Table
from servicekit.tasks import Tasks

artifacts = Artifacts(os.environ["CONTENTS"])
tasks = Tasks()
# Where a training shows the test that it has begun, and waits until it may go on.
_GATE = Path(os.environ["GATE"])


@job_options(runner="process")
def summarize(upload: str) -> str:
    """Save something beside an upload, by the object of the module."""
    content = artifacts.load(upload)
    assert isinstance(content, bytes)
    return artifacts.save({"bytes": len(content)}, parent=upload, keep="job").id


tasks.task(summarize)
tasks.add_command("count", ["wc", "-c", "{file}"])

model = Model(serializer=Json())


@model.train
def train(config: BaseConfig, data: Table) -> dict[str, float]:
    """The mean of a column, as soon as the gate is open."""
    cases = data.column("cases")
    if config.prediction_periods == 9:
        (_GATE / f"{os.getpid()}-{current_job().attempt}").touch()
        while not (_GATE / "open").exists():
            time.sleep(0.01)
    return {"mean": sum(map(float, cases)) / len(cases)}  # type: ignore[arg-type]


@model.predict
def predict(model: dict[str, float], future: Table) -> Table:
    """The mean, for each row."""
    return Table(["month", "sample_0"], [[month, model["mean"]] for month in future.column("month")])


app = (
    ServiceBuilder(info=MLServiceInfo(display_name="Modules"))
    .with_health()
    .with_jobs(run_jobs=os.environ.get("RUN_JOBS") == "yes")
    .with_artifacts(artifacts)
    .with_tasks(tasks)
    .with_ml(model)
    .build()
)


@app.post("/summaries")
async def summaries(upload: str) -> str:
    """Submit a job of the service's own."""
    return await Service.of(app).scheduler.add_job(summarize, upload)
