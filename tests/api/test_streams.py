"""Streams of a real server, read by the letter of the specification."""

import resource
import signal
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from tests.api.event_stream import EventSourceClient
from tests.service import Service, run_command, run_service

APP = "tests.api.apps:app"


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with run_service(APP) as service:
        yield service


def submit(service: Service, path: str) -> str:
    return str(httpx.post(f"{service.url}{path}").raise_for_status().json()["job_id"])


def post(service: Service, path: str) -> None:
    httpx.post(f"{service.url}{path}").raise_for_status()


def stream_path(job_id: str, query: str = "") -> str:
    return f"/api/v1/jobs/{job_id}/$stream{query}"


def watch(service: Service, job_id: str, query: str = "", **options: str) -> EventSourceClient:
    return EventSourceClient(service.port, stream_path(job_id, query), **options)


def wait_running(service: Service, job_id: str) -> None:
    with watch(service, job_id) as stream:
        while stream.next().record["status"] == "pending":
            pass


def test_a_life_is_streamed_from_the_present_to_the_end(service: Service) -> None:
    job_id = submit(service, "/hold/life")
    wait_running(service, job_id)
    with watch(service, job_id) as stream:
        assert stream.status == 200
        assert stream.headers["content-type"] == "text/event-stream"
        assert stream.headers["cache-control"] == "no-cache, no-transform"
        assert stream.headers["connection"] == "keep-alive"
        assert stream.headers["x-accel-buffering"] == "no"
        first = stream.next()
        post(service, "/open/life")
        rest = stream.rest()
    assert [event.record["status"] for event in [first, *rest]] == ["running", "completed"]
    assert [event.last_event_id for event in [first, *rest]] == ["2", "3"]
    assert {event.type for event in [first, *rest]} == {"message"}
    assert stream.parser.retry == 1_000
    assert first.record == {
        **rest[-1].record,
        "status": "running",
        "version": 2,
        "finished_at": None,
        "ended_by": None,
        "elapsed_seconds": first.record["elapsed_seconds"],
    }
    record = httpx.get(f"{service.url}/api/v1/jobs/{job_id}").json()
    assert rest[-1].record | {"arguments": record["arguments"]} == record


def test_a_finished_job_is_told_once_and_the_stream_ends(service: Service) -> None:
    job_id = submit(service, "/fail?text=Invalid%20input")
    with watch(service, job_id) as stream:
        last = stream.rest()[-1]
    with watch(service, job_id) as stream:
        events = stream.rest()
    assert [event.record for event in events] == [last.record]
    assert last.record["error"] == "ValueError: Invalid input"
    assert last.record["error_traceback"].startswith("Traceback (most recent call last):\n")


def test_a_reader_that_has_had_the_end_is_told_not_to_come_again(service: Service) -> None:
    job_id = submit(service, "/fail?text=x")
    with watch(service, job_id) as stream:
        last = stream.rest()[-1]
    with watch(service, job_id, last_event_id=last.last_event_id) as stream:
        assert stream.status == 204
        assert stream.rest() == []


@pytest.mark.parametrize(("seen", "missed"), [("0", ["1", "2", "3"]), ("1", ["2", "3"]), ("2", ["3"])])
def test_a_reader_that_comes_back_gets_what_it_has_missed(service: Service, seen: str, missed: list[str]) -> None:
    job_id = submit(service, "/fail?text=x")
    with watch(service, job_id) as stream:
        stream.rest()
    with watch(service, job_id, last_event_id=seen) as stream:
        events = stream.rest()
    assert [event.last_event_id for event in events] == missed
    statuses = {"1": "pending", "2": "running", "3": "failed"}
    assert [event.record["status"] for event in events] == [statuses[number] for number in missed]


def test_a_reader_that_has_missed_nothing_is_told_nothing_twice(service: Service) -> None:
    job_id = submit(service, "/hold/nothing-missed")
    wait_running(service, job_id)
    with watch(service, job_id, last_event_id="2") as stream:
        post(service, "/open/nothing-missed")
        assert [event.last_event_id for event in stream.rest()] == ["3"]


ODD_IDS = ["", "x", "-1", "99", "1.", "1.5.2", "9" * 30, "٣", "3, 3"]


@pytest.mark.parametrize("odd", ODD_IDS)
def test_an_id_that_never_was_is_as_good_as_none(service: Service, odd: str) -> None:
    job_id = submit(service, "/fail?text=x")
    with watch(service, job_id) as stream:
        stream.rest()
    with watch(service, job_id, last_event_id=odd) as stream:
        assert [event.last_event_id for event in stream.rest()] == ["3"]
    with watch(service, job_id, f"?{urlencode({'lastEventId': odd})}") as stream:
        assert [event.last_event_id for event in stream.rest()] == ["3"]


def test_the_last_id_counts_in_the_query_too_and_less_than_in_the_header(service: Service) -> None:
    job_id = submit(service, "/fail?text=x")
    with watch(service, job_id) as stream:
        stream.rest()
    with watch(service, job_id, "?lastEventId=1") as stream:
        assert [event.last_event_id for event in stream.rest()] == ["2", "3"]
    with watch(service, job_id, "?lastEventId=3") as stream:
        assert stream.status == 204
    with watch(service, job_id, "?lastEventId=3", last_event_id="2") as stream:
        assert [event.last_event_id for event in stream.rest()] == ["3"]


def test_progress_comes_no_faster_than_asked_and_transitions_do_not_wait(service: Service) -> None:
    job_id = submit(service, "/report/paced?steps=50&after=listened")
    with watch(service, job_id, "?poll_interval=60") as slow, watch(service, job_id, "?poll_interval=0.05") as fast:
        progress: list[dict[str, Any]] = [fast.next().record["progress"] or {"done": 0}]
        post(service, "/open/listened")
        while progress[-1]["done"] < 50:
            progress.append(fast.next().record["progress"] or {"done": 0})
        post(service, "/open/paced")
        events = slow.rest()  # which would time out if the end waited for the minute
    with_progress = [event.record for event in events if event.record["status"] == "running"]
    assert len(with_progress) <= 3  # the present, the transition, and one progress event a minute
    assert len(progress) >= 4
    assert events[-1].record["status"] == "completed"
    assert events[-1].record["progress"]["done"] == 50


@pytest.mark.parametrize("interval", ["nan", "inf", "-inf", "0", "0.01", "61", "1e400", "-1", "x", ""])
def test_an_absurd_interval_is_refused_by_name(service: Service, interval: str) -> None:
    job_id = submit(service, "/fail?text=x")
    response = httpx.get(f"{service.url}{stream_path(job_id)}?poll_interval={interval}")
    assert response.status_code == 422
    assert response.json()["detail"][0]["loc"] == ["query", "poll_interval"]


def test_a_deleted_job_is_told_and_the_stream_ends(service: Service) -> None:
    job_id = submit(service, "/hold/deleted")
    with watch(service, job_id) as stream:
        stream.next()
        httpx.delete(f"{service.url}/api/v1/jobs/{job_id}").raise_for_status()
        last = stream.rest()[-1]
    assert last.data == '{"status": "deleted"}'
    with watch(service, job_id, last_event_id="2") as stream:
        assert stream.status == 404


def test_head_is_answered_without_a_stream(service: Service) -> None:
    job_id = submit(service, "/hold/head")
    response = httpx.head(f"{service.url}{stream_path(job_id)}")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/event-stream"
    assert response.content == b""


def open_streams(service: Service) -> int:
    metrics = httpx.get(f"{service.url}/metrics").text
    (line,) = [line for line in metrics.splitlines() if line.startswith("job_streams_open ")]
    return int(float(line.split()[1]))


def wait_open_streams(service: Service, count: int) -> None:
    while open_streams(service) != count:
        pass  # every turn is a whole request


def test_many_readers_of_one_job_all_see_it_end(service: Service) -> None:
    job_id = submit(service, "/hold/many")
    wait_running(service, job_id)
    streams = [watch(service, job_id) for _ in range(100)]
    for stream in streams:
        stream.next()
    post(service, "/open/many")
    for stream in streams:
        with stream:
            assert [event.record["status"] for event in stream.rest()] == ["completed"]
    wait_open_streams(service, 0)


@pytest.mark.parametrize("way", ["close", "reset", "half-close"])
def test_a_reader_that_vanishes_is_noticed_while_nothing_happens(service: Service, way: str) -> None:
    job_id = submit(service, f"/hold/vanish-{way}")
    with watch(service, job_id) as stream:
        stream.next()
        wait_open_streams(service, 1)
        if way == "half-close":
            stream.socket.shutdown(socket.SHUT_WR)
        else:
            linger = struct.pack("ii", 1 if way == "reset" else 0, 0)
            stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            stream.__exit__()
        wait_open_streams(service, 0)


def test_an_idle_stream_is_kept_alive_by_comments() -> None:
    with run_service("tests.api.apps:impatient") as service:
        job_id = submit(service, "/hold/idle")
        wait_running(service, job_id)
        with watch(service, job_id) as stream:
            stream.next()
            assert [stream.wait_comment() for _ in range(3)] == [" keep-alive"] * 3
            post(service, "/open/idle")
            assert [event.record["status"] for event in stream.rest()] == ["completed"]


def test_an_empty_line_follows_only_after_data() -> None:
    with run_service("tests.api.apps:impatient") as service:
        job_id = submit(service, "/hold/lines")
        with (
            httpx.stream("GET", f"{service.url}{stream_path(job_id)}", headers={"User-Agent": "no httpx"}) as response,
            watch(service, job_id) as beside,
        ):
            lines = response.iter_lines()
            read = [next(lines)]
            while read.count(": keep-alive") < 3:
                read.append(next(lines))
            post(service, "/open/lines")
            read += lines
            beside.rest()
    assert read[0] == "retry: 1000"
    before_empty = {read[number - 1].partition(":")[0] for number, line in enumerate(read) if line == ""}
    assert before_empty == {"data"}


def test_an_idle_stream_holds_nothing_of_its_request() -> None:
    with run_service("tests.api.apps:with_sessions") as service:
        job_id = submit(service, "/hold/session")
        with watch(service, job_id) as stream:
            stream.next()
            assert httpx.get(f"{service.url}/sessions").json() == 1  # that of this request itself
            post(service, "/open/session")
            stream.rest()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=str)
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("http", ["h11", "httptools"])
def test_a_stop_signal_ends_open_streams_and_the_service(number: signal.Signals, loop: str, http: str) -> None:
    with run_service(APP, options=["--loop", loop, "--http", http]) as service:
        job_id = submit(service, "/hold/never")
        wait_running(service, job_id)
        streams = [watch(service, job_id) for _ in range(20)]
        for stream in streams:
            stream.next()
        service.stop(number)
        for stream in streams:
            with stream:
                assert stream.rest() == []
        assert "Traceback" not in service.log


def test_a_stop_signal_ends_the_streams_of_a_mounted_application_too() -> None:
    with run_service("tests.api.apps:outer") as service:
        job_id = submit(service, "/inner/hold/mounted")
        with EventSourceClient(service.port, f"/inner/api/v1/jobs/{job_id}/$stream") as stream:
            stream.next()
            service.stop()
            stream.rest()


def test_a_thread_that_listens_to_nobody_does_not_keep_the_service() -> None:
    with run_service(APP) as service:
        submit(service, "/block")
        service.stop()


def stall(service: Service, job_id: str) -> socket.socket:
    """Open a stream, and never read from it."""
    stalled = socket.socket()
    stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1_024)
    stalled.connect(("127.0.0.1", service.port))
    path = stream_path(job_id, "?poll_interval=0.05")
    stalled.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    return stalled


def test_a_reader_that_reads_nothing_holds_up_nobody(service: Service) -> None:
    job_id = submit(service, "/report/stalled?steps=100000")
    with stall(service, job_id), watch(service, job_id, "?poll_interval=0.05") as stream:
        for _ in range(20):
            stream.next()
        httpx.delete(f"{service.url}/api/v1/jobs/{job_id}").raise_for_status()
        assert stream.rest()[-1].data == '{"status": "deleted"}'
    wait_open_streams(service, 0)


@contextmanager
def run_with_small_buffers(app: str, loop: str = "asyncio") -> Iterator[Service]:
    with run_command([sys.executable, "-m", "tests.api.small_buffers", app, loop]) as service:
        service.port = int(service.wait_log(r"running on http://127.0.0.1:(\d+)\D")[1])
        service.wait_port()
        yield service


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_reader_that_reads_nothing_does_not_keep_the_service(loop: str) -> None:
    with run_with_small_buffers("tests.api.apps:app", loop) as service, stall(service, submit(service, "/flood")):
        httpx.get(f"{service.url}/stalled", timeout=30).raise_for_status()
        service.stop()


def test_a_reader_that_reads_nothing_is_dropped_after_a_while() -> None:
    with run_with_small_buffers("tests.api.apps:impatient") as service, stall(service, submit(service, "/flood")):
        httpx.get(f"{service.url}/stalled", timeout=30).raise_for_status()
        wait_open_streams(service, 0)


def test_more_connections_than_files_hurt_no_stream_that_is_open() -> None:
    with run_service(APP, options=["--loop", "uvloop"]) as service:
        job_id = submit(service, "/report/full?steps=1000000")
        with watch(service, job_id, "?poll_interval=0.05") as stream, ExitStack() as stack:
            stream.next()
            refuse_more(service, stack)
            for _ in range(5):
                assert stream.next().record["status"] == "running"
            stack.close()
            submit_again(service, "/hold/full")
            assert stream.next().record["status"] == "running"


def refuse_more(service: Service, stack: ExitStack) -> None:
    """Have the service hold as many connections as it may, and find that the next one is closed."""
    most = len(list(Path(f"/proc/{service.process.pid}/fd").iterdir())) + 20
    resource.prlimit(service.process.pid, resource.RLIMIT_NOFILE, (most, most))
    address = ("127.0.0.1", service.port)
    crowd = [stack.enter_context(socket.create_connection(address, timeout=45)) for _ in range(40)]
    assert crowd[-1].recv(1) == b""


def submit_again(service: Service, path: str) -> None:
    """Submit as soon as the service has seen that others have left."""
    while True:
        try:
            submit(service, path)
        except httpx.TransportError:
            continue
        else:
            return
