"""Two services on one file, by mistake or while a new version takes over: what one cannot run is left to the other."""

import asyncio
import json
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Final

import httpx
import pytest

from servicekit import JobStatus, Scheduler, create_scheduler
from tests.fakes import noop
from tests.service import Service, run_service

_SERVICE: Final = """
import asyncio

from servicekit.api import JobSubmitted, ServiceBuilder, ServiceInfo, SubmitJob


async def {target}(number: int) -> int:
    await asyncio.sleep(0.05)  # meanwhile the other service has a slot free, and this one has none
    return number


app = ServiceBuilder(info=ServiceInfo(display_name="{title}")).with_jobs(max_concurrency_per_process=1).build()


@app.post("/make")
async def make(number: int, submit: SubmitJob) -> JobSubmitted:
    return await submit({target}, number)
"""
_WARNING: Final = "is also that of"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


@contextmanager
def serve(path: Path, title: str, target: str) -> Iterator[Service]:
    """A service whose modules no other can import."""
    folder = path.parent / target
    folder.mkdir(exist_ok=True)
    file = folder / f"{target}_service.py"
    file.write_text(_SERVICE.format(title=title, target=target))
    with run_service(file, environment={"SERVICEKIT_JOBS_URL": f"sqlite:///{path}"}) as service:
        yield service


def forge(path: Path, job_id: str, **columns: str) -> None:
    """Have the job be one of another service."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for column, value in columns.items():
            connection.execute(f"UPDATE jobs SET {column} = ? WHERE id = ?", [value, job_id])


@pytest.mark.timeout(90)
def test_each_runs_its_own_jobs_and_both_are_told(path: Path) -> None:
    with ExitStack() as services, httpx.Client(timeout=30) as client:
        bakery = services.enter_context(serve(path, "Bakery", "bake"))
        brewery = services.enter_context(serve(path, "Brewery", "brew"))
        warning = brewery.wait_log(rf"The job store .*jobs.db {_WARNING} 'Bakery', and this service is 'Brewery': .*")
        assert "SERVICEKIT_JOBS_URL" in warning[0]
        job_ids = [client.post(f"{each.url}/make?number=1").json()["job_id"] for each in (bakery, brewery) * 10]
        records = [client.get(f"{bakery.url}/api/v1/jobs/{job_id}?wait=20").json() for job_id in job_ids]
        assert {(record["status"], record["error"]) for record in records} == {("completed", None)}


@pytest.mark.timeout(90)
def test_processes_of_one_service_are_no_strangers(path: Path) -> None:
    with serve(path, "Bakery", "bake") as first, serve(path, "Bakery", "bake") as second:
        with httpx.Client(timeout=30) as client:
            job_ids = [client.post(f"{each.url}/make?number=1").json()["job_id"] for each in (first, second) * 5]
            for job_id in job_ids:
                record = client.get(f"{first.url}/api/v1/jobs/{job_id}?wait=20").json()
                assert (record["status"], record["attempt"]) == ("completed", 1)
        assert _WARNING not in first.log + second.log


def open_scheduler(path: Path, **options: bool) -> Scheduler:
    return create_scheduler(f"sqlite:///{path}", shutdown_grace=0, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("columns", "error"),
    [
        ({"target": "nowhere:to_be_found"}, "TargetUnavailable: nowhere:to_be_found cannot be imported: "),
        ({"options": json.dumps({"mood": "good"})}, "TypeError: "),
        ({"arguments": "{"}, ""),
    ],
)
async def test_what_no_process_can_run_fails_with_the_reason(path: Path, columns: dict[str, str], error: str) -> None:
    async with open_scheduler(path, run_jobs=False) as accepting:
        job_id = await accepting.add_job(noop)
        forge(path, job_id, **columns)
        async with open_scheduler(path) as one, open_scheduler(path) as other:
            async with asyncio.timeout(20):
                record = await accepting.wait(job_id)
            assert (record.status, str(record.error).startswith(error)) == (JobStatus.FAILED, True)
            for each in (one, other):  # both have their hands free
                assert (await each.wait(await each.add_job(noop))).status is JobStatus.COMPLETED


async def test_what_was_left_to_a_process_that_stops_goes_back_to_all(path: Path) -> None:
    async with open_scheduler(path) as one:
        async with open_scheduler(path) as other:
            for each in (one, other):  # each has claimed, so that jobs are left to it
                await each.wait(await each.add_job(noop))
            await one.queues.pause("default")
            job_id = await one.add_job(noop)
            with closing(sqlite3.connect(path, isolation_level=None)) as connection:
                (first, second) = [row[0] for row in connection.execute("SELECT id FROM processes ORDER BY id")]
                connection.execute(
                    "UPDATE jobs SET owner = ?, declined_by = ? WHERE id = ?", [second, f"[{first}]", job_id]
                )
        assert (await one.get_record(job_id)).status is JobStatus.PENDING
        await one.queues.resume("default")
        async with asyncio.timeout(20):
            assert (await one.wait(job_id)).status is JobStatus.COMPLETED


async def test_a_file_that_was_another_services_says_so_until_it_is_the_new_ones(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"sqlite:///{path}"
    for service, is_told in (
        ("Bakery", False),
        ("Bakery", False),
        ("Brewery", True),
        ("Brewery", False),
        (None, False),
    ):
        caplog.clear()
        async with create_scheduler(url, service=service):
            assert any(_WARNING in record.getMessage() for record in caplog.records) is is_told
