"""Artifacts, tasks and models of processes that share a database and a place for contents, and nothing else."""

import signal
import socket
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from psycopg import sql

from servicekit.artifacts import Artifacts
from tests.service import ROOT, Service, run_command, run_service

APP = "tests.many_machines.modules_app:app"
TABLE = {"columns": ["month", "cases"], "data": [["January", 4], ["February", 8]]}
PASSWORD = "wind-mill-7"
FUTURE = {"columns": ["month"], "data": [["March"]]}


class Machines:
    """Services and workers, each in a folder of its own."""

    def __init__(self, folder: Path, environment: dict[str, str], stack: ExitStack) -> None:
        self._folder = folder
        self._environment = environment
        self._stack = stack
        self.services: list[Service] = []

    def start(self, *names: str) -> list[Service]:
        """Services, which accept jobs and run none, and workers, all at once. The names of workers begin so."""
        with ThreadPoolExecutor(len(names)) as threads:
            started = list(threads.map(self._start, names))
        self.services += started
        return started

    def _start(self, name: str) -> Service:
        folder = self._folder / name
        folder.mkdir(exist_ok=True, parents=True)
        if not name.startswith("worker"):
            return self._stack.enter_context(run_service(APP, cwd=folder, environment=self._environment))
        command = [sys.executable, "-m", "servicekit", "worker", APP, "--app-dir", str(ROOT)]
        worker = self._stack.enter_context(run_command(command, cwd=folder, environment=self._environment))
        worker.wait_log("Running the jobs")
        return worker

    def list_left(self) -> list[str]:
        """The files that processes have left in their own folders."""
        return [str(path) for path in self._folder.rglob("*") if path.is_file()]


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    folder = tmp_path / "gate"
    folder.mkdir()
    return folder


@pytest.fixture(params=["a directory"])
def contents(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where the contents are that all machines share."""
    return f"s3://{request.getfixturevalue('s3_bucket')}/x" if request.param == "S3" else str(tmp_path / "shared")


@pytest.fixture
def machines(tmp_path: Path, gate: Path, contents: str, postgres_url: str) -> Iterator[Machines]:
    url = postgres_url.replace("postgres@", f"postgres:{PASSWORD}@")  # the server lets everybody in
    environment = {"SERVICEKIT_JOBS_URL": url, "CONTENTS": contents, "GATE": str(gate)}
    with ExitStack() as stack:
        yield Machines(tmp_path / "machines", environment, stack)


def test_what_one_machine_is_given_others_work_on(
    machines: Machines, contents: str, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two, _ = machines.start("one", "two", "worker")
    upload = post(one, "artifacts/$upload?name=file", content=b"x" * 300_000)
    assert httpx.get(f"{two.url}/api/v1/artifacts/{upload['id']}/$download").content == b"x" * 300_000
    data = post(two, "artifacts", json={"data": TABLE, "kind": "data"})
    config = post(one, "configs", json={"name": "plain", "data": {}})
    body = {"config_id": config["id"], "data": {"artifact_id": data["id"]}}
    trained = run(two, one, post(two, "ml/$train", json=body))
    predicted = run(one, two, post(one, "ml/$predict", json={"artifact_id": trained, "future": FUTURE}))
    found = httpx.get(f"{two.url}/api/v1/artifacts/{predicted}").json()
    assert found["data"]["content"] == {"columns": ["month", "sample_0"], "data": [["March", 6.0]]}
    lineage = httpx.get(f"{one.url}/api/v1/artifacts/{predicted}/$ancestors").json()
    assert [each["id"] for each in lineage] == [data["id"], trained, predicted]

    post(one, "tasks/count/$disable")
    refused = httpx.post(f"{two.url}/api/v1/tasks/count/$execute", json={"parameters": {"file": "/dev/null"}})
    assert refused.status_code == 409
    post(two, "tasks/count/$enable")
    counted = run(one, two, post(one, "tasks/count/$execute", json={"parameters": {"file": "/dev/null"}}))
    assert httpx.get(f"{two.url}/api/v1/artifacts/{counted}").json()["data"]["stdout"] == "0 /dev/null\n"
    job_id = httpx.post(f"{one.url}/summaries", params={"upload": upload["id"]}).json()
    summary = run(one, two, {"job_id": job_id})
    assert httpx.get(f"{one.url}/api/v1/artifacts/{summary}").json()["data"] == {"bytes": 300_000}
    assert httpx.get(f"{one.url}/health").json()["status"] == "healthy"
    assert machines.list_left() == []
    assert PASSWORD not in "".join(service.log for service in machines.services) + read_all_rows(postgres_url)
    check_contents(contents, postgres_url, monkeypatch)


def test_a_kill_in_the_middle_of_an_upload_and_of_a_training_loses_and_leaves_nothing(
    machines: Machines, gate: Path, contents: str, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, worker = machines.start("one", "worker")
    config = post(service, "configs", json={"name": "slow", "data": {"prediction_periods": 9}})
    submitted = post(service, "ml/$train", json={"config_id": config["id"], "data": TABLE})
    wait_for(gate, 1)
    with begin_upload(service, b"x" * 2_000_000):
        wait_for(Path(contents) / "staging", 1)
        service.send_signal(signal.SIGKILL)
        worker.kill()
        service.wait()
    service, _ = machines.start("one", "worker again")
    wait_for(gate, 2)
    (gate / "open").touch()
    trained = run(service, service, submitted)
    predicted = run(service, service, post(service, "ml/$predict", json={"artifact_id": trained, "future": FUTURE}))
    record = httpx.get(f"{service.url}/api/v1/artifacts/{trained}").json()
    assert (record["attempt"], predicted != trained) == (2, True)
    check_contents(contents, postgres_url, monkeypatch)


@pytest.mark.parametrize("contents", ["S3"], indirect=True)
def test_contents_can_be_in_an_object_store(
    machines: Machines, contents: str, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, _ = machines.start("one", "worker")
    upload = post(service, "artifacts/$upload?name=file", content=b"0123456789" * 300_000)
    url = f"{service.url}/api/v1/artifacts/{upload['id']}"
    assert httpx.get(f"{url}/$download", headers={"Range": "bytes=2999995-"}).content == b"56789"
    job_id = httpx.post(f"{service.url}/summaries", params={"upload": upload["id"]}).json()
    summary = run(service, service, {"job_id": job_id})
    assert httpx.get(f"{service.url}/api/v1/artifacts/{summary}").json()["data"] == {"bytes": 3_000_000}
    check_contents(contents, postgres_url, monkeypatch)
    assert httpx.delete(url, params={"recursive": True}).status_code == 204
    check_contents(contents, postgres_url, monkeypatch)


def post(service: Service, path: str, **options: Any) -> dict[str, Any]:
    answer = httpx.post(f"{service.url}/api/v1/{path}", **options)
    assert answer.is_success, answer.text
    told: dict[str, Any] = answer.json() if answer.content else {}
    return told


def run(at: Service, other: Service, submitted: dict[str, Any]) -> str:
    """Wait for the job at another service than that which has accepted it. The id of its artifact, seen by both."""
    path = f"/api/v1/jobs/{submitted['job_id']}"
    record = httpx.get(f"{other.url}{path}", params={"wait": 60}, timeout=70).json()
    assert record["status"] == "completed", record
    assert httpx.get(f"{at.url}{path}").json()["artifact_id"] == record["artifact_id"]
    artifact_id: str = record["artifact_id"]
    return artifact_id


def read_all_rows(url: str) -> str:
    """All that is in the database, as one text."""
    with psycopg.connect(url) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'servicekit'").fetchall()
        selections = [
            sql.SQL("SELECT t::text FROM {} AS t").format(sql.Identifier("servicekit", *row)) for row in tables
        ]
        texts = [text for selection in selections for (text,) in connection.execute(selection)]
    assert any("database:/" in text for text in texts)  # the addresses of artifacts
    return "\n".join(texts)


def begin_upload(service: Service, piece: bytes) -> socket.socket:
    """A connection on which half of a body was sent."""
    client = socket.create_connection(("127.0.0.1", service.port))
    head = f"POST /api/v1/artifacts/$upload HTTP/1.1\r\nHost: x\r\nContent-Length: {2 * len(piece)}\r\n\r\n"
    client.sendall(head.encode() + piece)
    return client


def wait_for(folder: Path, count: int) -> None:
    """Wait until so many files are there. The test's own time limit ends it."""
    while not folder.exists() or len(list(folder.iterdir())) < count:
        time.sleep(0.02)


def check_contents(contents: str, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every artifact has its content, and there is nothing besides."""
    monkeypatch.setenv("SERVICEKIT_JOBS_URL", postgres_url)
    artifacts = Artifacts(contents)
    all_artifacts = artifacts.list(limit=1_000).artifacts
    for each in all_artifacts:
        artifacts.load(each.id)
    swept = artifacts.sweep()
    assert (swept.temporary_files, swept.blobs) == (0, 0)
    small = {each.sha256 for each in all_artifacts if artifacts.get(each.id).data is not None}
    large = {each.sha256 for each in all_artifacts} - small
    assert len(set(artifacts.storage.blobs.list()) - large) == 1  # the mark
    artifacts.close()
