"""What runs on a cluster, in the code of a service that has none: it is told at the start, and not by the first job."""

from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi import FastAPI

from servicekit import Every, job_options
from servicekit.api import ServiceBuilder, ServiceInfo
from servicekit.api.state import service_state
from servicekit.artifacts import Artifacts
from servicekit.errors import ConfigurationError
from servicekit.jobs.status import JobStatus
from servicekit.tasks import Tasks
from servicekit.testing import running
from tests.api.conftest import Connect
from tests.ml.samples import elsewhere, elsewhere_later

Add = Callable[[ServiceBuilder, Path], ServiceBuilder]

SENTENCE = (
    r"^runner='ray' needs a cluster, and this scheduler runs jobs without one\. Name the cluster by cluster=\.\.\., "
    r"or by SERVICEKIT_CLUSTER in the environment; or leave jobs to other processes by run_jobs=False\.$"
)

LEFT = "Jobs with runner='ray' are left to other processes, since this one has no cluster."


@job_options(runner="ray")
def far() -> None:
    """It is not called."""


def near() -> None:
    """It is not called either."""


def add_function(builder: ServiceBuilder, folder: Path) -> ServiceBuilder:
    tasks = Tasks(folder / "tasks.db")
    tasks.task(far)
    return builder.with_tasks(tasks)


def add_command(builder: ServiceBuilder, folder: Path) -> ServiceBuilder:
    tasks = Tasks(folder / "tasks.db")
    tasks.add_command("far", ["true"], runner="ray")
    return builder.with_artifacts(Artifacts(folder / "artifacts")).with_tasks(tasks)


def add_training(builder: ServiceBuilder, folder: Path) -> ServiceBuilder:
    return builder.with_artifacts(Artifacts(folder / "artifacts")).with_ml(elsewhere)


def add_prediction(builder: ServiceBuilder, folder: Path) -> ServiceBuilder:
    return builder.with_artifacts(Artifacts(folder / "artifacts")).with_ml(elsewhere_later)


def add_schedule(builder: ServiceBuilder, folder: Path) -> ServiceBuilder:
    return builder.with_schedule("nightly", Every(3_600), far)


def add_recurring_task(builder: ServiceBuilder, folder: Path) -> ServiceBuilder:
    tasks = Tasks(folder / "tasks.db")
    tasks.task(near)
    return builder.with_tasks(tasks).with_feature(
        tasks.recurring("nightly", Every(3_600), "near").with_options(runner="ray")
    )


ADDERS = [add_function, add_command, add_training, add_prediction, add_schedule, add_recurring_task]


def build(add: Add, folder: Path, *, run_jobs: bool = True) -> FastAPI:
    builder = ServiceBuilder(info=ServiceInfo(display_name="Test"))
    return add(builder.with_jobs(url=f"sqlite:///{folder}/jobs.db", run_jobs=run_jobs), folder).build()


@pytest.mark.parametrize("add", ADDERS)
async def test_a_service_without_the_cluster_that_its_code_needs_does_not_start(
    add: Add, connect: Connect, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match=SENTENCE):
        async with connect(build(add, tmp_path)):
            """It is not reached."""


@pytest.mark.parametrize("add", ADDERS)
async def test_a_service_that_only_accepts_jobs_starts_without_a_cluster(
    add: Add, connect: Connect, tmp_path: Path
) -> None:
    async with connect(build(add, tmp_path, run_jobs=False)) as client:
        assert (await client.get("/api/v1/jobs")).status_code == 200


@pytest.mark.parametrize("add", ADDERS)
async def test_a_worker_without_the_cluster_leaves_such_jobs_to_others(
    add: Add, connect: Connect, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    app = build(add, tmp_path, run_jobs=False)
    scheduler = service_state(app).require_scheduler()
    scheduler.run_jobs()  # as `servicekit worker` does
    async with connect(app):
        job_id = await scheduler.add_job(far)  # as a job that runs there may do
        assert (await scheduler.get_record(job_id)).status is JobStatus.PENDING
    lines = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    is_told = add not in (add_schedule, add_recurring_task)
    assert lines == [LEFT] * is_told


async def test_a_test_of_a_service_needs_no_cluster_for_what_it_does_not_submit(tmp_path: Path) -> None:
    async with running(build(add_function, tmp_path, run_jobs=False)) as jobs:
        await jobs.add_job(near)
        await jobs.drain()
        with pytest.raises(ConfigurationError, match=SENTENCE):
            await jobs.add_job(far)
