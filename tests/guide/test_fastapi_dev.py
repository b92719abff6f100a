"""`fastapi dev`, as the guide starts its example, in a copy of the examples that may be edited."""

import os
import shlex
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest

from tests.guide.jobs import TIMEOUT, statuses
from tests.guide.quoted import read_snippet
from tests.ports import find_free_port
from tests.service import ROOT, Service, run_command


@pytest.fixture
def dev(tmp_path: Path) -> Iterator[Service]:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    port = find_free_port()
    environment = {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "STEP_SECONDS": "0.05",
    }
    command = [*shlex.split(read_snippet("start.sh")), "--port", str(port)]
    with run_command(command, cwd=tmp_path, environment=environment) as service:
        service.wait_log("Application startup complete")
        service.port = port
        service.wait_port()
        yield service


def test_it_serves_the_example(dev: Service) -> None:
    stream_url = httpx.post(f"{dev.url}/api/v1/slow-compute", json={"steps": 3}).json()["stream_url"]
    assert statuses(httpx.get(dev.url + stream_url, timeout=TIMEOUT).text)[-1] == "completed"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_although_a_stream_is_open(dev: Service, number: signal.Signals) -> None:
    with open_stream(dev) as response:
        lines = response.iter_lines()
        next(lines)
        dev.stop(number)
        assert "completed" not in statuses("\n".join(lines))


def test_it_reloads_although_a_stream_is_open(dev: Service, tmp_path: Path) -> None:
    example = tmp_path / "examples/job_scheduler_sse_api.py"
    so_far = len(dev.log)
    with open_stream(dev) as response:
        lines = response.iter_lines()
        next(lines)
        example.write_text(example.read_text().replace("Job submitted with", "Reloaded with"))
        assert "completed" not in statuses("\n".join(lines))
    dev.wait_log("Application startup complete", after=so_far, timeout=TIMEOUT)
    answer = httpx.post(f"{dev.url}/api/v1/slow-compute", json={"steps": 1})
    assert answer.json()["message"].startswith("Reloaded with 1 steps")


def open_stream(service: Service) -> AbstractContextManager[httpx.Response]:
    """Open the stream of a job that runs for an hour."""
    stream_url = httpx.post(f"{service.url}/api/v1/slow-compute", json={"steps": 3600}).json()["stream_url"]
    return httpx.stream("GET", service.url + stream_url, timeout=TIMEOUT)
