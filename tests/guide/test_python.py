"""The guide's Python: readers of a stream, the builder, the metrics."""

import re
import sys
from pathlib import Path

import httpx
import pytest
from httpx_sse import connect_sse

from tests.guide.jobs import TIMEOUT, finish, job_url, run_app, submit, submit_finished
from tests.guide.quoted import fill_in
from tests.service import Service, run_command


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
@pytest.mark.parametrize(("error", "last"), [(None, "completed"), ("Invalid input", "failed")])
def test_the_reader_prints_each_status_when_it_changes_and_ends(
    service: Service, tmp_path: Path, library: str, error: str | None, last: str
) -> None:
    job_id = submit(service, error=error)
    script = tmp_path / "read_stream.py"
    text = fill_in("read_stream.py.txt", url=service.url, job_id=job_id)
    script.write_text(text if library == "httpx" else text.replace("import httpx", f"import {library} as httpx"))
    with run_command([sys.executable, "-W", "error", script]) as reader:
        reader.wait_log("Status: running")
        finish(service, job_id)
        assert reader.wait(timeout=TIMEOUT) == 0, reader.log
    assert reader.log.splitlines() == ["Status: running", f"Status: {last}"]


def test_the_reader_outlasts_a_silence_longer_than_its_timeout(service: Service, tmp_path: Path) -> None:
    job_id = submit(service)
    script = tmp_path / "read_stream.py"
    script.write_text(fill_in("read_stream.py.txt", url=service.url, job_id=job_id))
    with run_command([sys.executable, "-W", "error", script]) as reader:
        reader.wait_log("Status: running")
        # The one test that lets real time pass: httpx gives up after five seconds, and has no other clock.
        finish(service, job_id, silent_seconds=6)
        assert reader.wait(timeout=TIMEOUT) == 0, reader.log
    assert reader.log.splitlines() == ["Status: running", "Status: completed"]


def test_a_reader_of_httpx_sse_gets_no_empty_events() -> None:
    with run_app("create_app_with_short_keep_alive") as service, httpx.Client() as client:
        job_id = submit(service)
        stream_url = f"{job_url(service, job_id)}/$stream"
        with connect_sse(client, "GET", stream_url) as source:
            events = source.iter_sse()
            told = [next(events)]
            with httpx.stream("GET", stream_url) as beside:  # opened later: its third comment comes after the other's
                comments = (line for line in beside.iter_lines() if line == ": keep-alive")
                for _ in range(3):
                    next(comments)
            finish(service, job_id)
            told += events
    assert [(event.id, event.json()["status"]) for event in told] == [("2", "running"), ("3", "completed")]


def test_the_builders_service_has_the_name_and_runs_five_jobs_at_once(service: Service) -> None:
    assert httpx.get(f"{service.url}/openapi.json").json()["info"]["title"] == "My Service"
    assert_runs_at_once(service, 5)


@pytest.mark.parametrize("snippet", ["with_jobs.py.txt", "limit_jobs.py.txt"])
def test_the_builders_limit_of_ten_is_ten(snippet: str) -> None:
    with run_app("create_app_with_limit", SNIPPET=snippet) as service:
        assert_runs_at_once(service, 10)


def assert_runs_at_once(service: Service, count: int) -> None:
    """So many jobs run at once, and no more."""
    job_ids = [submit(service, may_wait=True) for _ in range(count + 2)]
    running: list[object] = []
    while len(running) < count:
        running = httpx.get(f"{service.url}/api/v1/jobs", params={"status_filter": "running"}).json()
    for job_id in job_ids:
        finish(service, job_id)
    assert len(running) == count


def test_the_metrics_of_the_service_and_the_guides_own_do_not_meet() -> None:
    with run_app("create_app_with_metrics") as service:
        submit_finished(service)
        submit_finished(service, error="Invalid input")
        assert httpx.get(f"{service.url}/user-metrics").json() == 1
        text = httpx.get(f"{service.url}/metrics").text
    assert read_metric(text, "jobs_submitted_total") == 2
    assert read_metric(text, "job_duration_seconds_count") == 2
    assert read_metric(text, 'jobs_finished_total{status="failed"}') == 1
    assert "# HELP jobs_submitted_total Total jobs submitted\n" in text
    assert "# HELP job_duration_seconds Job execution time\n" in text


def read_metric(text: str, name: str) -> float:
    (value,) = re.findall(rf"^{re.escape(name)} (\S+)$", text, flags=re.MULTILINE)
    return float(value)
