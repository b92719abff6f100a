"""Where the jobs are, for features that keep something beside them: running jobs of every kind know it."""

from collections.abc import Callable
from dataclasses import replace
from threading import Thread

import pytest

from servicekit.engine.factory import make_parts
from servicekit.engine.options import SchedulerOptions
from servicekit.engine.parts import SchedulerParts
from servicekit.engine.scheduler import Scheduler
from servicekit.jobs.database_url import database_url_of, find_database_url
from servicekit.jobs.options import job_options

URL = "postgresql://ada:secret@db/jobs"


async def find_in_coroutine() -> str | None:
    return find_database_url()


def find_in_thread() -> str | None:
    return find_database_url()


@job_options(runner="process")
def find_in_process() -> str | None:
    return find_database_url()


@job_options(runner="process")
def find_in_thread_of_process() -> list[str | None]:
    found: list[str | None] = []
    thread = Thread(target=lambda: found.append(find_database_url()))
    thread.start()
    thread.join()
    return found


def scheduler_at(url: str | None) -> Scheduler:
    """A scheduler in memory that says that its jobs are in a database."""
    return Scheduler(parts_at(url))


def parts_at(url: str | None) -> SchedulerParts:
    return replace(make_parts("memory://", SchedulerOptions()), database_url=url)


@pytest.mark.parametrize("target", [find_in_coroutine, find_in_thread, find_in_process, find_in_thread_of_process])
@pytest.mark.parametrize("url", [URL, None])
async def test_a_running_job_knows_the_database_of_its_jobs_and_no_other(
    target: Callable[[], object], url: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVICEKIT_JOBS_URL", "postgresql://db/another")
    async with scheduler_at(url) as scheduler:
        job_id = await scheduler.add_job(target)
        await scheduler.wait(job_id)
        found = await scheduler.get_result(job_id)
    assert found in (url, [url])


def test_outside_of_jobs_it_is_that_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for url, found in [(URL, URL), ("sqlite:///jobs.db", None), ("memory://", None)]:
        monkeypatch.setenv("SERVICEKIT_JOBS_URL", url)
        assert find_database_url() == database_url_of(url) == found
    monkeypatch.delenv("SERVICEKIT_JOBS_URL")
    assert find_database_url() is None


def test_its_password_is_not_shown() -> None:
    assert "secret" not in repr(parts_at(URL))
