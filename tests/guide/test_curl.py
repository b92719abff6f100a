"""The guide's command lines, run by bash with the real curl and jq."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from tests.guide.jobs import (
    TIMEOUT,
    finish,
    get_job,
    job_url,
    read_events,
    statuses,
    submit,
    submit_finished,
    wait_end,
    write_curl_settings,
)
from tests.guide.quoted import fill_in, read_snippet
from tests.needs import needs
from tests.service import Service, run_command, run_service

pytestmark = needs("curl", "jq")

UNKNOWN_ID = "01JQRS7XK5N8Z3VQ2M4T6W8Y0A"
SERVICE_IS_STARTED = "fastapi() { :; }\n"
"""What stands for the guide's first line, where a block starts the service and goes on in another terminal."""


@pytest.fixture(scope="module")
def example() -> Iterator[Service]:
    """The guide's example, whose thirty steps take a second and a half here."""
    with run_service("examples/job_scheduler_sse_api.py", environment={"STEP_SECONDS": "0.05"}) as running:
        yield running


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return write_curl_settings(tmp_path_factory.mktemp("curl"))


@contextmanager
def terminal(script: str, environment: dict[str, str]) -> Iterator[Service]:
    with run_command(["bash", "-euo", "pipefail", "-c", script], environment=environment) as running:
        yield running


def run(script: str, environment: dict[str, str]) -> str:
    """Run a script to its end; all that it has printed."""
    with terminal(script, environment) as running:
        assert running.wait(timeout=TIMEOUT) == 0, running.log
        return running.log


def find_printed_id(output: str) -> str:
    """The job id that the guide's `echo` has printed."""
    (job_id,) = re.findall(r"^Job ID: ([0-9A-HJKMNP-TV-Z]{26})$", output, flags=re.MULTILINE)
    return str(job_id)


# --- Submit ------------------------------------------------------------------------------------------------------


def test_jq_takes_the_id_from_the_answer_to_a_submission(example: Service, environment: dict[str, str]) -> None:
    output = run(SERVICE_IS_STARTED + fill_in("submit.sh", url=example.url), environment)
    assert wait_end(example, find_printed_id(output))["progress"]["total"] == 30


def test_the_answer_to_a_submission_is_the_guides(example: Service) -> None:
    answer = httpx.post(f"{example.url}/api/v1/slow-compute", json={"steps": 30})
    job_id = answer.json()["job_id"]
    assert answer.status_code == 202
    assert answer.json() == json.loads(fill_in("submitted.json", job_id=job_id))
    assert answer.headers["Location"] == f"/api/v1/jobs/{job_id}"


# --- Stream ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["submit_and_stream.sh", "workflow.sh"])
def test_a_job_is_submitted_and_watched_while_it_runs(example: Service, environment: dict[str, str], name: str) -> None:
    log, was_running = "", False
    while not was_running:  # a test that stands still may miss that; who is told everything at the end always does
        with terminal(fill_in(name, url=example.url), environment) as running:
            running.wait_log(r'data: .*"status":"running"')
            was_running = get_job(example, find_printed_id(running.log))["status"] == "running"
            assert running.wait() == 0
            log = running.log
    told = statuses(log)
    assert [status for status in told if status != "running"] in (["completed"], ["pending", "completed"])
    last = read_events(log)[-1]
    assert last["id"] == find_printed_id(log)
    assert last["progress"]["done"] == 30


@pytest.mark.parametrize(
    ("name", "transfers"),
    [
        ("stream.sh", 1),
        ("stream_pushed.sh", 1),
        ("stream_unbuffered.sh", 1),
        ("stream_less_often.sh", 1),
        ("stream_intervals.sh", 2),
        ("stream_default_and_custom.sh", 2),
    ],
)
def test_each_event_arrives_before_the_next_one_happens(
    service: Service, environment: dict[str, str], name: str, transfers: int
) -> None:
    job_id = submit(service)
    script = fill_in(name, url=service.url, job_id=job_id)
    with terminal(script, environment | {"JOB_ID": job_id}) as running:
        running.wait_log(r'data: .*"status":"running"')
        assert get_job(service, job_id)["status"] == "running"
        finish(service, job_id)
        assert running.wait() == 0
    # The second transfer finds the job finished.
    assert statuses(running.log) == ["running", "completed"] + ["completed"] * (transfers - 1)
    assert running.log.count("HTTP 200") == transfers


def test_all_of_a_jobs_life_is_told_as_the_guide_prints_it(service: Service, environment: dict[str, str]) -> None:
    others = [submit(service, may_wait=True) for _ in range(5)]  # as many as the service runs at once
    job_id = submit(service, may_wait=True)
    with terminal(fill_in("stream_pushed.sh", url=service.url, job_id=job_id), environment) as running:
        running.wait_log(r'data: .*"status":"pending"')
        for other in others:
            finish(service, other)
        running.wait_log(r'data: .*"status":"running"')
        finish(service, job_id)
        assert running.wait() == 0
    printed = re.sub(r'"2025-10-12T\.\.\."', "null", fill_in("events.txt", job_id=job_id))
    for event, expected in zip(read_events(running.log), read_events(printed), strict=True):
        assert expected.keys() <= event.keys()
        assert (event["id"], event["status"]) == (job_id, expected["status"])
        assert all(event[name] for name in expected if name.endswith("_at"))
    assert read_events(running.log)[-1]["artifact_id"] is None


def test_the_headers_of_a_stream_are_the_guides(service: Service) -> None:
    job_id = submit_finished(service)
    answer = httpx.get(f"{job_url(service, job_id)}/$stream")
    head = read_snippet("stream_response.txt").split("\n\n")[0]
    for line in head.splitlines():
        name, value = line.split(": ")
        assert set(value.split(", ")) <= set(answer.headers[name].split(", "))  # more directives contradict nothing
    assert "content-encoding" not in answer.headers


def test_a_finished_jobs_stream_closes_after_one_event(service: Service, environment: dict[str, str]) -> None:
    job_id = submit_finished(service)
    checked = run(fill_in("check_status_first.sh", url=service.url, job_id=job_id), environment)
    assert '"status":"completed"' in checked
    streamed = run(fill_in("stream_pushed.sh", url=service.url, job_id=job_id), environment)
    assert statuses(streamed) == ["completed"]


def test_a_job_deleted_while_it_is_streamed_ends_the_stream(service: Service, environment: dict[str, str]) -> None:
    job_id = submit(service)
    with terminal(fill_in("stream_pushed.sh", url=service.url, job_id=job_id), environment) as running:
        running.wait_log(r'data: .*"status":"running"')
        assert "HTTP 204" in run(fill_in("delete.sh", url=service.url, job_id=job_id), environment)
        assert running.wait() == 0
    assert read_snippet("deleted.txt") in running.log
    assert statuses(running.log) == ["running", "deleted"]


# --- Poll, list, get, delete -------------------------------------------------------------------------------------


def test_the_polling_loop_sees_the_job_run_and_complete(service: Service, environment: dict[str, str]) -> None:
    job_id = submit(service)
    with terminal(fill_in("poll.sh", url=service.url, job_id=job_id), environment) as running:
        running.wait_log('"status":"running"')
        finish(service, job_id)
        running.wait_log('"status":"completed"')


def test_jobs_are_listed_and_filtered_by_status(service: Service, environment: dict[str, str]) -> None:
    completed, failed = submit_finished(service), submit_finished(service, error="Invalid input")
    output = run(fill_in("list.sh", url=service.url), environment)
    everything, only_completed = (json.loads(line) for line in re.findall(r"^\[.*\]$", output, flags=re.MULTILINE))
    assert [job["id"] for job in everything[:2]] == [failed, completed]
    assert only_completed[0]["id"] == completed
    assert {job["status"] for job in only_completed} == {"completed"}
    assert output.count("HTTP 200") == 2


def test_a_job_is_shown_with_the_guides_fields(service: Service, environment: dict[str, str]) -> None:
    job_id = submit(service)
    output = run(fill_in("get.sh", url=service.url, job_id=job_id), environment)
    finish(service, job_id)
    record = json.loads(re.findall(r"^\{.*\}$", output, flags=re.MULTILINE)[0])
    for name, expected in json.loads(fill_in("running_job.json", job_id=job_id)).items():
        if expected is not None and name.endswith("_at"):
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", record[name])
        else:
            assert record[name] == expected


def test_a_deleted_job_is_gone(service: Service, environment: dict[str, str]) -> None:
    job_id = submit(service)
    delete = fill_in("delete.sh", url=service.url, job_id=job_id)
    assert run(delete, environment).split() == ["HTTP", "204"]
    assert httpx.get(job_url(service, job_id)).status_code == 404
    again = run(delete, environment)
    assert "HTTP 404" in again


# --- Errors ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("GET", "/$stream"), ("DELETE", "")])
@pytest.mark.parametrize(
    ("job_id", "status", "name"),
    [
        ("nonsense", 400, "invalid_id.json"),
        ("01JQRS7X...", 400, "invalid_id.json"),
        (UNKNOWN_ID, 404, "not_found.json"),
    ],
)
def test_an_id_that_leads_nowhere_is_told_as_in_the_guide(
    service: Service, method: str, path: str, job_id: str, status: int, name: str
) -> None:
    answer = httpx.request(method, f"{job_url(service, job_id)}{path}")
    assert (answer.status_code, answer.json()) == (status, json.loads(read_snippet(name)))


def test_a_failed_job_says_why(service: Service) -> None:
    job_id = submit_finished(service, error="Invalid input")
    expected = json.loads(fill_in("failed_job.json", job_id=job_id))
    traceback = expected.pop("error_traceback").removesuffix("...")
    for record in (get_job(service, job_id), wait_end(service, job_id)):
        assert expected.items() <= record.items()
        assert record["error_traceback"].startswith(traceback)
        assert record["error_traceback"].rstrip().endswith(expected["error"])
