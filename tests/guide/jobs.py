"""The test's side of the services in apps.py: submit a job, let it end, wait for what it becomes."""

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.service import Service, run_service

TIMEOUT = 60.0


@contextmanager
def run_app(factory: str, *, port: int = 0, **environment: str) -> Iterator[Service]:
    """Serve one of the applications of apps.py."""
    with run_service(f"tests.guide.apps:{factory}", port=port, options=["--factory"], environment=environment) as it:
        yield it


def submit(service: Service, *, error: str | None = None, may_wait: bool = False) -> str:
    """Submit a job that runs until `finish`, and then completes, or fails with this error.

    Returns its id, and unless it `may_wait` for others, when it runs: a stream begins with that then.
    """
    parameters = {} if error is None else {"error": error}
    job_id = str(_request("POST", f"{service.url}/jobs", params=parameters).json()["job_id"])
    while not may_wait and get_job(service, job_id)["status"] == "pending":
        pass
    return job_id


def finish(service: Service, job_id: str, *, silent_seconds: float = 0) -> None:
    """Let a job come to its end, now or after so much more silence."""
    _request("POST", f"{service.url}/jobs/{job_id}/finish", params={"silent_seconds": str(silent_seconds)})


def drop_streams(service: Service) -> None:
    """Let the service end all its streams in the middle, as it does when it restarts."""
    _request("POST", f"{service.url}/streams/drop")


def wait_streams(service: Service, count: int) -> None:
    """Wait until the service has so many streams open."""
    deadline = time.monotonic() + TIMEOUT
    while (is_open := _request("GET", f"{service.url}/streams").json()) != count:
        assert time.monotonic() < deadline, f"{is_open} streams are open, not {count}"


def job_url(service: Service, job_id: str) -> str:
    return f"{service.url}/api/v1/jobs/{job_id}"


def get_job(service: Service, job_id: str) -> dict[str, Any]:
    """The record, as the API has it."""
    record: dict[str, Any] = _request("GET", job_url(service, job_id)).json()
    return record


def wait_end(service: Service, job_id: str) -> dict[str, Any]:
    """Wait until a job has ended; its last record."""
    return read_events(_request("GET", f"{job_url(service, job_id)}/$stream").text)[-1]


def submit_finished(service: Service, *, error: str | None = None) -> str:
    """Submit a job and wait until it has ended. Returns its id."""
    job_id = submit(service, error=error)
    finish(service, job_id)
    wait_end(service, job_id)
    return job_id


def read_events(text: str) -> list[dict[str, Any]]:
    """What the `data:` lines of a stream say."""
    return [json.loads(line) for line in re.findall(r"^data: (.*)$", text, flags=re.MULTILINE)]


def statuses(text: str) -> list[str]:
    """The statuses that a stream tells, in order."""
    return [event["status"] for event in read_events(text)]


def wait_stream_answers(service: Service, job_id: str, *expected: int) -> None:
    """Wait until the service has logged so many answers to requests for the job's stream; their codes are these."""
    pattern = rf'"GET /api/v1/jobs/{job_id}/(?:\$|%24)stream\S* HTTP/1\.1" (\d+)'
    # A client has its answer before the log has reached the reader of it.
    service.wait_log(rf"(?s)(?:{pattern}.*?){{{len(expected)}}}", timeout=TIMEOUT)
    assert [int(code) for code in re.findall(pattern, service.log)] == list(expected)


def write_curl_settings(folder: Path) -> dict[str, str]:
    """Let curl tell the status of each answer, and draw no progress meter. Returns the environment that says so."""
    (folder / ".curlrc").write_text('silent\nshow-error\nwrite-out = "%{stderr}\\nHTTP %{http_code}\\n"\n')
    return {"CURL_HOME": str(folder)}


def _request(method: str, url: str, params: dict[str, str] | None = None) -> httpx.Response:
    # Without `verify=False` httpx reads all certificates of the world for each request.
    return httpx.request(method, url, params=params, timeout=TIMEOUT, verify=False).raise_for_status()
