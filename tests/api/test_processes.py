"""Jobs that outlive their process, and processes that share them: real servers, real signals."""

import json
import re
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.event_stream import EventSourceClient
from tests.ports import find_free_port
from tests.service import Service, run_command, run_service

APP = "tests.api.shared_app:app"
Serve = Callable[..., AbstractContextManager[Service]]


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    """Serve the application, as often as one likes, on one file."""

    @contextmanager
    def run(*options: str, port: int = 0, **environment: str) -> Iterator[Service]:
        with run_service(APP, port=port, options=options, environment=variables(tmp_path) | environment) as service:
            yield service

    return run


@contextmanager
def run_worker(folder: Path, *options: str, **environment: str) -> Iterator[Service]:
    command = [str(Path(sys.executable).with_name("servicekit")), "worker", APP, *options]
    with run_command(command, environment=variables(folder) | environment) as worker:
        yield worker


def variables(folder: Path) -> dict[str, str]:
    return {"FOLDER": str(folder), "SERVICEKIT_JOBS_URL": f"sqlite:///{folder}/jobs.db"}


def submit(service: Service, path: str) -> str:
    return str(httpx.post(f"{service.url}{path}").raise_for_status().json()["job_id"])


def get(service: Service, job_id: str) -> dict[str, Any]:
    record: dict[str, Any] = httpx.get(f"{service.url}/api/v1/jobs/{job_id}").raise_for_status().json()
    return record


def wait_end(service: Service, job_id: str) -> dict[str, Any]:
    httpx.get(f"{service.url}/wait/{job_id}", timeout=30).raise_for_status()
    return get(service, job_id)


@contextmanager
def watch_from(service: Service, job_id: str, status: str) -> Iterator[EventSourceClient]:
    """A stream that has just told this status."""
    with watch(service, job_id) as stream:
        while stream.next().record["status"] != status:
            pass
        yield stream


def wait_status(service: Service, job_id: str, status: str) -> None:
    with watch_from(service, job_id, status):
        pass


def watch(service: Service, job_id: str, **options: str) -> EventSourceClient:
    return EventSourceClient(service.port, f"/api/v1/jobs/{job_id}/$stream", **options)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline


def is_stopping(folder: Path) -> bool:
    """Whether a process has written down that it was told to stop."""
    with closing(sqlite3.connect(folder / "jobs.db")) as file:
        return bool(file.execute("SELECT max(is_stopping) FROM processes").fetchone()[0])


def journal(folder: Path) -> list[str]:
    path = folder / "journal"
    return path.read_text().splitlines() if path.exists() else []


def wait_noted(folder: Path, text: str, times: int = 1) -> None:
    """Wait until targets have noted this so often: a job is running a moment before its target begins."""
    wait_until(lambda: sum(text in line for line in journal(folder)) >= times)


def read_life(service: Service, job_id: str) -> list[str]:
    with watch(service, job_id) as stream:
        return [event.record["status"] for event in stream.rest()]


def test_a_job_survives_the_death_of_its_service_and_so_does_its_stream(serve: Serve, tmp_path: Path) -> None:
    with serve(port=find_free_port()) as service:
        job_id = submit(service, "/hold/open")
        with watch_from(service, job_id, "running"):
            wait_noted(tmp_path, "open begins")
            service.kill()
    with serve(port=service.port) as service, watch(service, job_id, last_event_id="2") as stream:
        service.wait_log(r"INFO: +Process \d+ is gone: 1 of its jobs taken over, of which 0 failed\n")
        (tmp_path / "open").touch()
        told = [(event.record["version"], event.record["status"]) for event in stream.rest()]
        assert told == [(3, "pending"), (4, "running"), (5, "completed")]
        record = get(service, job_id)
        assert (record["attempt"], record["error"]) == (2, None)
    assert [line.split(" in ")[0] for line in journal(tmp_path)] == [
        "open begins as attempt 1",
        "open begins as attempt 2",
        "open ends",
    ]


def test_a_stop_in_order_gives_jobs_back_as_often_as_it_comes(serve: Serve, tmp_path: Path) -> None:
    job_id = None
    for attempt in range(1, 4):
        with serve() as service:
            job_id = job_id or submit(service, "/hold/open")
            wait_noted(tmp_path, "open begins", times=attempt)
            service.stop()
            assert journal(tmp_path)[-1] == "open was stopped"
        assert sum("begins" in line for line in journal(tmp_path)) == attempt
    assert job_id is not None
    (tmp_path / "open").touch()
    with serve() as service:
        assert wait_end(service, job_id)["status"] == "completed"


def test_running_jobs_have_their_grace(serve: Serve, tmp_path: Path) -> None:
    with serve(GRACE="30") as service:
        job_id = submit(service, "/hold/open")
        wait_status(service, job_id, "running")
        waiting = submit(service, "/hold/another")
        service.send_signal(signal.SIGTERM)
        service.wait_log("Shutting down")
        (tmp_path / "open").touch()
        (tmp_path / "another").touch()
        service.wait(timeout=30)
    with serve() as service:
        assert get(service, job_id)["attempt"] == 1
        assert wait_end(service, waiting)["status"] == "completed"


def test_the_same_signal_again_ends_the_service_at_once(serve: Serve, tmp_path: Path) -> None:
    with serve(GRACE="600") as service:
        job_id, once = submit(service, "/hold/open"), submit(service, "/once/never")
        wait_status(service, job_id, "running")
        wait_status(service, once, "running")
        service.send_signal(signal.SIGTERM)
        wait_until(lambda: is_stopping(tmp_path))
        service.send_signal(signal.SIGTERM)
        assert service.wait(timeout=30) == -signal.SIGTERM
    (tmp_path / "open").touch()
    with serve() as service:
        assert wait_end(service, job_id)["status"] == "completed"
        failed = wait_end(service, once)
        assert failed["status"] == "failed"
        assert failed["error"].startswith("ProcessStopped: ")


def test_a_thread_that_does_not_stop_is_run_again_when_its_process_is_gone(serve: Serve, tmp_path: Path) -> None:
    with serve() as service:
        job_id = submit(service, "/block?seconds=60")
        wait_noted(tmp_path, "block begins")
        service.stop()
    with serve() as service, watch_from(service, job_id, "running"):
        assert get(service, job_id)["attempt"] == 2
        wait_noted(tmp_path, "block begins", times=2)


def test_a_job_that_kills_its_process_is_not_tried_for_ever(serve: Serve, tmp_path: Path) -> None:
    with serve() as service:
        job_id = submit(service, "/crash")
        service.wait()
    with serve() as service:
        service.wait()
    with serve() as service:
        record = get(service, job_id)
        assert (record["status"], record["attempt"]) == ("failed", 2)
        assert record["error"] == (
            "ProcessDied: the process that ran the job ended before it did (2 times), and it is not run again."
        )


def test_every_worker_process_of_a_service_knows_every_job(serve: Serve, tmp_path: Path) -> None:
    with serve("--workers", "4") as service, ThreadPoolExecutor(16) as threads:
        service.wait_log(r"(?s)(Application startup complete.*){4}")
        service.wait_port()
        while len({httpx.get(f"{service.url}/process").json() for _ in range(20)}) < 2:
            pass  # until more than one process answers
        job_ids = [submit(service, f"/hold/{name}") for name in "abcdefgh"]
        lives = threads.map(partial(read_life, service), job_ids)
        for name in "abcdefgh":
            (tmp_path / name).touch()
        assert all(life[-1] == "completed" for life in lives)
        assert [get(service, job_id)["status"] for job_id in job_ids for _ in range(4)] == ["completed"] * 32
        for job_id in job_ids:
            assert httpx.delete(f"{service.url}/api/v1/jobs/{job_id}").status_code == 204
        assert httpx.get(f"{service.url}/api/v1/jobs").json() == []


def test_gunicorn_serves_it_too(tmp_path: Path) -> None:
    (tmp_path / "open").touch()
    command = [sys.executable, "-m", "gunicorn", APP, "--bind", "127.0.0.1:0", "--workers", "2"]
    worker_class = ["--worker-class", "uvicorn_worker.UvicornWorker"]
    with run_command([*command, *worker_class], environment=variables(tmp_path)) as service:
        service.port = int(service.wait_log(r"Listening at: http://127\.0\.0\.1:(\d+)\D")[1])
        service.wait_log(r"(?s)(Application startup complete.*){2}")
        service.wait_port()
        job_id = submit(service, "/hold/open")
        assert {wait_end(service, job_id)["status"] for _ in range(8)} == {"completed"}
        service.stop()


def test_jobs_of_a_killed_process_go_on_in_another(serve: Serve, tmp_path: Path) -> None:
    with serve() as first, serve(ACCEPT_ONLY="1") as second:
        job_id, closure, once = (submit(first, f"/{kind}/{kind}") for kind in ("hold", "closure", "once"))
        wait_status(second, job_id, "running")
        with watch_from(second, closure, "running") as stream, watch_from(second, once, "running") as another:
            first.kill()
            (lost,), (failed,) = stream.rest(), another.rest()
        assert lost.record["error"].startswith("NotRestartable: ")
        assert failed.record["error"].startswith("ProcessDied: ")
        assert get(second, job_id)["status"] == "pending"
        with run_worker(tmp_path) as worker:
            wait_status(second, job_id, "running")
            wait_noted(tmp_path, f"hold begins as attempt 2 in {worker.process.pid}")


def test_a_process_that_only_stands_still_keeps_its_jobs(serve: Serve, tmp_path: Path) -> None:
    with serve() as first, serve() as second:
        job_id = submit(first, "/hold/open")
        wait_status(second, job_id, "running")
        first.send_signal(signal.SIGSTOP)
        (tmp_path / "open").touch()
        (tmp_path / "dead").touch()
        with serve() as third:  # a death that is noticed shows that the others have looked at who is alive
            dead = submit(third, "/hold/never")
            wait_status(second, dead, "running")
            third.kill()
        wait_status(second, dead, "pending")
        assert (get(second, job_id)["status"], get(second, job_id)["attempt"]) == ("running", 1)
        first.send_signal(signal.SIGCONT)
        assert wait_end(second, job_id)["status"] == "completed"
    assert sum("open begins" in line for line in journal(tmp_path)) == 1


def test_the_limit_is_that_of_the_machine(serve: Serve, tmp_path: Path) -> None:
    with serve(MAX_CONCURRENCY="1") as first, serve(MAX_CONCURRENCY="1") as second:
        running = submit(first, "/hold/one")
        wait_status(second, running, "running")
        waiting = submit(second, "/hold/two")
        with watch(second, waiting) as stream:
            assert stream.next().record["status"] == "pending"
            (tmp_path / "one").touch()
            (tmp_path / "two").touch()
            assert [event.record["status"] for event in stream.rest()] == ["running", "completed"]
    begins = [line for line in journal(tmp_path) if not line.startswith("two begins")]
    assert begins[1] == "one ends"


def test_a_job_is_stopped_from_another_process(serve: Serve, tmp_path: Path) -> None:
    with serve() as first, serve(ACCEPT_ONLY="1") as second:
        job_id = submit(first, "/hold/never")
        with watch_from(first, job_id, "running") as stream:
            wait_noted(tmp_path, "never begins")
            assert httpx.delete(f"{second.url}/api/v1/jobs/{job_id}").status_code == 204
            assert [event.data for event in stream.rest()] == ['{"status": "deleted"}']
        wait_noted(tmp_path, "never was stopped")
        again = submit(first, "/hold/open")
        wait_status(second, again, "running")
        (tmp_path / "open").touch()
        wait_end(second, again)


def test_a_worker_runs_what_a_service_only_accepts(serve: Serve, tmp_path: Path) -> None:
    with serve(ACCEPT_ONLY="1") as service:
        job_id = submit(service, "/hold/open")
        refused = httpx.post(f"{service.url}/closure/open")
        assert refused.status_code == 500  # it is the service's author who must know
        service.wait_log("it has to be run by another process, and the target is a coroutine object")
        assert get(service, job_id)["status"] == "pending"
        with run_worker(tmp_path, "--max-concurrency", "1") as worker:
            file = re.escape(str(tmp_path.resolve() / "jobs.db"))
            worker.wait_log(
                rf"Running the jobs of tests\.api\.shared_app:app, which are kept in {file}\. Ctrl-C stops it\."
            )
            with watch_from(service, job_id, "running") as stream:
                worker.send_signal(signal.SIGINT)
                assert worker.wait() == 0
                assert stream.next().record["status"] == "pending"
        (tmp_path / "open").touch()
        with run_worker(tmp_path):
            assert wait_end(service, job_id)["status"] == "completed"


@pytest.mark.parametrize(
    ("arguments", "environment", "error"),
    [
        (["no_such_module:app"], {}, "the application must be in a module that exists"),
        (["tests.api.shared_app:router"], {}, "the application must be the name of a FastAPI application"),
        (["tests.api.shared_app:ap"], {}, "(tests.api.shared_app has no 'ap')"),
        (["tests.api.shared_app"], {}, "given as MODULE:APP"),
        ([APP], {"SERVICEKIT_JOBS_URL": "memory://"}, "a file or a database, so that a worker can share its jobs"),
        ([APP], {"SERVICEKIT_JOBS_URL": "sqlite:////no/such/folder/jobs.db"}, "its folder cannot be written"),
        ([APP, "--max-concurrency", "0"], {}, "--max-concurrency must be a whole number of at least 1, not 0."),
    ],
)
def test_a_worker_that_cannot_work_says_why(
    tmp_path: Path, arguments: list[str], environment: dict[str, str], error: str
) -> None:
    command = [str(Path(sys.executable).with_name("servicekit")), "worker", *arguments]
    with run_command(command, environment=variables(tmp_path) | environment) as worker:
        assert worker.wait() == 2
        assert worker.log.startswith("servicekit: ")
        assert error in worker.log
        assert "Traceback" not in worker.log


def test_a_service_that_cannot_keep_jobs_does_not_start(tmp_path: Path) -> None:
    (tmp_path / "jobs.db").write_text("not a database, but a text that is long enough to be looked at as if it were")
    command = [sys.executable, "-m", "uvicorn", APP, "--port", "0"]
    with run_command(command, environment=variables(tmp_path)) as service:
        assert service.wait() == 3
        assert "jobs.db cannot be used: the file is not an SQLite database" in service.log


def test_health_tells_of_a_file_that_cannot_be_written_and_of_its_recovery(serve: Serve, tmp_path: Path) -> None:
    with serve() as service:
        foreign = sqlite3.connect(tmp_path / "jobs.db", isolation_level=None)
        foreign.execute("BEGIN IMMEDIATE")
        degraded = httpx.get(f"{service.url}/health", timeout=30)
        assert (degraded.status_code, degraded.json()["status"]) == (503, "degraded")
        assert "does not answer" in degraded.json()["checks"]["jobs"]["message"]
        refused = httpx.post(f"{service.url}/hold/open", timeout=30)
        assert refused.status_code == 503
        assert refused.json()["detail"] == "Jobs cannot be read or written at the moment"
        assert refused.headers["retry-after"] == "5"
        foreign.execute("ROLLBACK")
        foreign.close()
        assert httpx.get(f"{service.url}/health", timeout=30).json()["status"] == "healthy"
        (tmp_path / "open").touch()
        assert wait_end(service, submit(service, "/hold/open"))["status"] == "completed"


def test_a_client_that_follows_all_jobs_goes_on_after_a_restart(serve: Serve, tmp_path: Path) -> None:
    with serve(port=find_free_port()) as service:
        first = submit(service, "/hold/first")
        wait_status(service, first, "running")
        with EventSourceClient(service.port, "/api/v1/jobs/$stream") as stream:
            seen = stream.next()
            assert json.loads(seen.data)["id"] == first
            service.kill()
    (tmp_path / "first").touch()
    with serve(port=service.port) as service:
        wait_end(service, first)
        resumed = EventSourceClient(service.port, "/api/v1/jobs/$stream", last_event_id=seen.last_event_id)
        with resumed as stream:
            assert (stream.next().record["id"], int(seen.last_event_id) > 0) == (first, True)
