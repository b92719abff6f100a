"""The stream of all jobs of a real server."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.event_stream import EventSourceClient, ServerSentEvent
from tests.service import Service, run_service

APP = "tests.api.apps:app"
JOBS = "/api/v1/jobs"


@pytest.fixture(scope="module", params=["memory", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    file: Path = tmp_path_factory.mktemp("jobs") / "jobs.db"
    return "memory://" if request.param == "memory" else f"sqlite:///{file}"


@pytest.fixture(scope="module")
def service(url: str) -> Iterator[Service]:
    with run_service(APP, environment={"SERVICEKIT_JOBS_URL": url}) as service:
        yield service


def submit(service: Service, path: str) -> str:
    return str(httpx.post(f"{service.url}{path}").raise_for_status().json()["job_id"])


def post(service: Service, path: str) -> None:
    httpx.post(f"{service.url}{path}").raise_for_status()


def delete(service: Service, job_id: str) -> None:
    httpx.delete(f"{service.url}{JOBS}/{job_id}").raise_for_status()


def follow(service: Service, query: str = "", **options: str) -> EventSourceClient:
    return EventSourceClient(service.port, f"{JOBS}/$stream?poll_interval=0.05&{query}", **options)


def read_until(stream: EventSourceClient, job_id: str, status: str) -> list[ServerSentEvent]:
    """Everything up to the event that this job has this status."""
    events = [stream.next()]
    while (events[-1].record["id"], events[-1].record["status"]) != (job_id, status):
        events.append(stream.next())
    return events


def test_it_begins_with_what_is_there_and_follows_every_job(service: Service) -> None:
    old = submit(service, "/tagged/all-old")
    held = submit(service, "/tagged/all-held")
    with follow(service) as stream:
        assert stream.status == 200
        assert stream.headers["content-type"] == "text/event-stream"
        assert stream.headers["cache-control"] == "no-cache, no-transform"
        assert stream.headers["connection"] == "keep-alive"
        assert stream.headers["x-accel-buffering"] == "no"
        events = read_until(stream, held, "running")
        assert old in [event.record["id"] for event in events]
        new = submit(service, "/tagged/all-old")
        post(service, "/open/all-old")
        events += read_until(stream, new, "completed")
        post(service, "/open/all-held")
        events += read_until(stream, held, "completed")
        delete(service, held)
        events += read_until(stream, held, "deleted")
    assert stream.parser.retry == 1_000
    assert {event.type for event in events} == {"message"}
    positions = [int(event.last_event_id) for event in events]
    assert positions == sorted(positions)
    assert events[-1].data == f'{{"id": "{held}", "status": "deleted"}}'
    newest = {event.record["id"]: event.record for event in events}
    for job_id in (old, new):
        record = httpx.get(f"{service.url}{JOBS}/{job_id}").json()
        assert newest[job_id] | {"arguments": record["arguments"]} == record


def test_a_reader_that_comes_back_gets_what_has_changed_since(service: Service) -> None:
    held = submit(service, "/tagged/back-held")
    with follow(service) as stream:
        last = read_until(stream, held, "running")[-1]
    quick = submit(service, "/fail?text=x")
    post(service, "/open/back-held")
    with follow(service, last_event_id=last.last_event_id) as stream:
        events = read_until(stream, held, "completed")
        while quick not in [event.record["id"] for event in events]:
            events.append(stream.next())
    assert {event.record["id"] for event in events} == {held, quick}
    with follow(service, f"lastEventId={last.last_event_id}") as stream:
        assert {stream.next().record["id"], stream.next().record["id"]} == {held, quick}


@pytest.mark.parametrize("odd", ["", "x", "-1", "9" * 17, "9" * 30, "1.5"])
def test_a_position_that_never_was_is_as_good_as_none(service: Service, odd: str) -> None:
    held = submit(service, "/tagged/odd")
    with follow(service, last_event_id=odd) as stream:
        read_until(stream, held, "running")


@pytest.mark.parametrize("query", ["tag=", "metadata=tag:"])
def test_it_is_filtered_like_the_list_and_tells_every_deletion(service: Service, query: str) -> None:
    tag = f"wanted-{query[:3]}"
    wanted = submit(service, f"/tagged/{tag}")
    other = submit(service, "/tagged/other")
    with follow(service, f"{query}{tag}&status_filter=running&status_filter=completed") as stream:
        events = read_until(stream, wanted, "running")
        post(service, "/open/other")
        delete(service, other)
        events += read_until(stream, other, "deleted")
        post(service, f"/open/{tag}")
        events += read_until(stream, wanted, "completed")
    assert {event.record["id"] for event in events if event.record["status"] != "deleted"} == {wanted}
    assert {event.record["id"] for event in events} == {wanted, other}


def test_one_stream_is_enough_for_the_jobs_of_a_page(service: Service) -> None:
    job_ids = [submit(service, f"/tagged/page-{number}") for number in range(7)]
    other = submit(service, "/tagged/no-page")
    query = "&".join(f"id={job_id}" for job_id in job_ids)
    with follow(service, query) as stream:
        first = [stream.next() for _ in job_ids]
        assert [event.record["id"] for event in first] == job_ids
        post(service, "/open/no-page")
        delete(service, other)
        post(service, "/open/page-3")
        events = read_until(stream, job_ids[3], "completed")
    assert {event.record["id"] for event in events} <= set(job_ids)
    post(service, "/open/page-5")
    with follow(service, query, last_event_id=events[-1].last_event_id) as stream:
        assert {event.record["id"] for event in read_until(stream, job_ids[5], "completed")} == {job_ids[5]}


def test_ids_that_are_none_or_too_many_are_refused(service: Service) -> None:
    job_id = submit(service, "/fail?text=x")
    response = httpx.get(f"{service.url}{JOBS}/$stream?id={job_id}&id=nonsense")
    assert (response.status_code, response.json()) == (400, {"detail": "Invalid job ID format"})
    response = httpx.get(f"{service.url}{JOBS}/$stream?{'&'.join([f'id={job_id}'] * 101)}")
    assert response.status_code == 422
    assert response.json()["detail"][0]["loc"] == ["query", "id"]


def test_what_happens_within_the_interval_comes_together(url: str, tmp_path: Path) -> None:
    url = url if url == "memory://" else f"sqlite:///{tmp_path}/jobs.db"  # no other job may begin the interval
    with (
        run_service(APP, environment={"SERVICEKIT_JOBS_URL": url}) as service,
        follow(service, "poll_interval=60") as slow,
        follow(service) as fast,
    ):
        first = submit(service, "/tagged/slow")
        while slow.next().record["id"] != first:
            pass
        read_until(fast, first, "running")
        second = submit(service, "/tagged/slow")
        read_until(fast, second, "running")
        slow.socket.settimeout(0.3)
        with pytest.raises(TimeoutError):
            read_until(slow, second, "running")


@pytest.mark.parametrize("interval", ["nan", "0", "61", "x", ""])
def test_an_absurd_interval_is_refused_by_name(service: Service, interval: str) -> None:
    response = httpx.get(f"{service.url}{JOBS}/$stream?poll_interval={interval}")
    assert response.status_code == 422
    assert response.json()["detail"][0]["loc"] == ["query", "poll_interval"]


def test_head_is_answered_without_a_stream(service: Service) -> None:
    response = httpx.head(f"{service.url}{JOBS}/$stream")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/event-stream"
    assert response.content == b""


def test_odd_texts_stay_on_one_line(service: Service) -> None:
    job_id = submit(service, "/fail?text=%0A%0D%22%5C%E2%80%A8data:%20x%C2%85%0A%0A")
    with follow(service) as stream:
        event = read_until(stream, job_id, "failed")[-1]
    assert len(event.data.splitlines()) == 1
    record = httpx.get(f"{service.url}{JOBS}/{job_id}").json()
    assert json.loads(event.data) | {"arguments": record["arguments"]} == record
    assert event.record["error_traceback"].startswith("Traceback (most recent call last):\n")


def test_tracebacks_can_be_kept_inside() -> None:
    with run_service("tests.api.apps:discreet") as service:
        job_id = submit(service, "/fail?text=secret")
        with follow(service) as stream:
            event = read_until(stream, job_id, "failed")[-1]
        assert event.record["error"] == "ValueError: secret"
        assert event.record["error_traceback"] is None


def test_it_is_kept_alive_while_nothing_happens() -> None:
    with run_service("tests.api.apps:impatient") as service, follow(service) as stream:
        assert [stream.wait_comment() for _ in range(3)] == [" keep-alive"] * 3
        job_id = submit(service, "/fail?text=x")
        events: list[dict[str, Any]] = []
        while not events or events[-1]["status"] != "failed":
            events.append(stream.next().record)
        assert {event["id"] for event in events} == {job_id}


def test_it_ends_with_the_service_and_not_before() -> None:
    with run_service(APP) as service:
        job_id = submit(service, "/hold/all-end")
        post(service, "/open/all-end")
        streams = [follow(service) for _ in range(20)]
        for stream in streams:
            read_until(stream, job_id, "completed")
        service.stop()
        for stream in streams:
            with stream:
                stream.rest()
        assert "Traceback" not in service.log
