"""Reading a job's log by HTTP, and following it live in the job's stream."""

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from servicekit import create_scheduler, current_job
from servicekit.api import JobSubmitted, ServiceBuilder, ServiceInfo, SubmitJob
from tests.api.event_stream import EventSourceClient, ServerSentEvent
from tests.needs import FRONTEND, needs, program
from tests.service import ROOT, Service, run_command, run_service

APP = "tests.api.log_apps:app"
FOLLOW = ROOT / "tests/frontend/follow.js"
NOBODY = "01JQRS7XK5N8Z3VQ2M4T6W8Y0A"


@pytest.fixture(scope="module", params=["memory", "sqlite"])
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    environment = {"SERVICEKIT_JOBS_URL": "memory://"} if request.param == "memory" else {}
    with run_service(APP, environment=environment) as service:
        yield service


def submit(service: Service, path: str) -> str:
    return str(httpx.post(f"{service.url}{path}").raise_for_status().json()["job_id"])


def open_gate(service: Service, name: str) -> None:
    httpx.post(f"{service.url}/open/{name}").raise_for_status()


def follow(service: Service, job_id: str, query: str = "?logs=true", **options: str) -> EventSourceClient:
    return EventSourceClient(service.port, f"/api/v1/jobs/{job_id}/$stream{query}", **options)


def finish(service: Service, path: str) -> str:
    """Submit a job, and wait for its end."""
    job_id = submit(service, path)
    with follow(service, job_id, "") as stream:
        stream.rest()
    return job_id


def say_all(service: Service, name: str, **counts: int) -> str:
    open_gate(service, name)
    return finish(service, f"/say/{name}?{httpx.QueryParams(counts)}")


def read(service: Service, job_id: str, **query: Any) -> httpx.Response:
    return httpx.get(f"{service.url}/api/v1/jobs/{job_id}/$logs", params=query)


def numbers(response: httpx.Response) -> list[int]:
    return [line["number"] for line in response.raise_for_status().json()["lines"]]


def lines_of(events: list[ServerSentEvent]) -> list[str]:
    return [event.record["text"] for event in events if event.type == "log"]


def statuses_of(events: list[ServerSentEvent]) -> list[str]:
    return [event.record["status"] for event in events if event.type == "message"]


def test_a_log_is_read_as_json(service: Service) -> None:
    job_id = say_all(service, "json", before=1, after=1)
    log = read(service, job_id).raise_for_status().json()
    assert {key: value for key, value in log.items() if key != "lines"} == {
        "next_after": 2,
        "has_more": False,
        "dropped": 0,
    }
    first, second = log["lines"]
    assert first.keys() == {"number", "at", "attempt", "level", "source", "text"}
    assert (first["number"], first["attempt"], first["level"], first["source"]) == (1, 1, "info", "stdout")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", first["at"])
    assert [first["text"], second["text"]] == ["before 1", "after 1"]


def test_a_log_is_read_as_text(service: Service) -> None:
    job_id = say_all(service, "text", before=1, after=1)
    response = read(service, job_id, format="text")
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.text == "before 1\nafter 1\n"
    assert read(service, job_id, format="text", after=2).text == ""


def test_a_log_is_read_in_pages(service: Service) -> None:
    job_id = say_all(service, "pages", before=2, after=3)
    first = read(service, job_id, limit=2)
    assert numbers(first) == [1, 2]
    assert (first.json()["next_after"], first.json()["has_more"]) == (2, True)
    second = httpx.get(f"{service.url}{first.links['next']['url']}")
    assert numbers(second) == [3, 4]
    last = read(service, job_id, limit=2, after=second.json()["next_after"])
    assert numbers(last) == [5]
    assert "link" not in last.headers
    beyond = read(service, job_id, after=5).json()
    assert (beyond["lines"], beyond["next_after"], beyond["has_more"]) == ([], 5, False)
    text = read(service, job_id, limit=2, format="text")
    assert httpx.get(f"{service.url}{text.links['next']['url']}").text == "after 1\nafter 2\n"


def test_a_log_is_read_from_its_end(service: Service) -> None:
    job_id = say_all(service, "tail", before=2, after=3)
    assert numbers(read(service, job_id, tail=2)) == [4, 5]
    assert numbers(read(service, job_id, tail=10_000)) == [1, 2, 3, 4, 5]
    assert read(service, job_id, tail=1, format="text").text == "after 3\n"


def test_a_log_of_which_the_oldest_lines_are_dropped_says_so(service: Service) -> None:
    job_id = finish(service, "/flood?lines=20000")
    log = read(service, job_id, limit=10_000).json()
    assert log["dropped"] > 0
    assert log["lines"][0]["number"] == log["dropped"] + 1
    assert log["lines"][-1]["text"].startswith("line 20000 ")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"after": -1}, "after"),
        ({"after": "x"}, "after"),
        ({"after": 10**30}, "after"),
        ({"limit": 0}, "limit"),
        ({"limit": 10_001}, "limit"),
        ({"tail": 0}, "tail"),
        ({"tail": 10_001}, "tail"),
        ({"tail": 5, "after": 5}, "tail"),
        ({"format": "xml"}, "format"),
    ],
)
def test_absurd_parameters_are_refused_by_name(service: Service, query: dict[str, Any], field: str) -> None:
    response = read(service, NOBODY, **query)
    assert response.status_code == 422
    assert response.json()["detail"][0]["loc"] == ["query", field]


def test_a_job_that_is_not_there_has_no_log(service: Service) -> None:
    response = read(service, NOBODY)
    assert (response.status_code, response.json()) == (404, {"detail": "Job not found"})
    response = read(service, "x")
    assert (response.status_code, response.json()) == (400, {"detail": "Invalid job ID format"})


def test_lines_are_streamed_as_they_come_and_before_the_end(service: Service) -> None:
    job_id = submit(service, "/say/live")
    with follow(service, job_id) as stream:
        events = [stream.next()]
        while lines_of(events) != ["before 1", "before 2"]:
            events.append(stream.next())
        open_gate(service, "live")
        events += stream.rest()
    assert lines_of(events) == ["before 1", "before 2", "after 1", "after 2", "after 3"]
    assert events[0].type == "message"
    assert events[-1].record["status"] == "completed"
    ids = [tuple(map(int, event.last_event_id.split("."))) for event in events]
    assert all(sum(before) < sum(after) for before, after in pairwise(ids))
    assert ids[-1] == (events[-1].record["version"], 5)
    for event, (_, number) in zip(events, ids, strict=True):
        if event.type == "log":
            assert event.record["number"] == number


def test_who_does_not_ask_for_the_log_gets_records_only(service: Service) -> None:
    job_id = submit(service, "/say/quiet")
    with follow(service, job_id, "") as quiet, follow(service, job_id, "?logs=false") as refusing:
        open_gate(service, "quiet")
        for stream in (quiet, refusing):
            events = stream.rest()
            assert {event.type for event in events} == {"message"}
            assert all(event.last_event_id == str(event.record["version"]) for event in events)
            assert events[-1].record["status"] == "completed"


def test_of_a_finished_job_the_log_comes_first(service: Service) -> None:
    job_id = say_all(service, "finished")
    with follow(service, job_id) as stream:
        events = stream.rest()
    assert [event.type for event in events] == ["log"] * 5 + ["message"]
    record = httpx.get(f"{service.url}/api/v1/jobs/{job_id}").json()
    assert events[-1].record | {"arguments": record["arguments"]} == record


def test_a_reader_that_comes_back_misses_nothing_and_sees_nothing_twice(service: Service) -> None:
    job_id = say_all(service, "back")
    with follow(service, job_id) as stream:
        events = stream.rest()
    for index, event in enumerate(events[:-1]):
        with follow(service, job_id, last_event_id=event.last_event_id) as stream:
            assert stream.rest() == events[index + 1 :]
    with follow(service, job_id, last_event_id=events[-1].last_event_id) as stream:
        assert stream.status == 204


def test_a_reader_whose_streams_break_off_gets_each_event_once(service: Service) -> None:
    job_id = submit(service, "/say/broken?before=300&after=300")
    events: list[ServerSentEvent] = []
    while not events or events[-1].type == "log" or events[-1].record["status"] != "completed":
        last_id = {"last_event_id": events[-1].last_event_id} if events else {}
        with follow(service, job_id, **last_id) as stream:
            for _ in range(100):
                events.append(stream.next())
                if lines_of(events)[-1:] == ["before 300"]:
                    open_gate(service, "broken")
                if events[-1].type == "message" and events[-1].record["status"] == "completed":
                    break
    said = [f"{part} {number}" for part in ("before", "after") for number in range(1, 301)]
    assert lines_of(events) == said
    versions = [event.record["version"] for event in events if event.type == "message"]
    assert versions == sorted(set(versions))


def test_an_id_of_a_stream_without_the_log_is_understood(service: Service) -> None:
    job_id = say_all(service, "plain-id")
    version = httpx.get(f"{service.url}/api/v1/jobs/{job_id}").json()["version"]
    with follow(service, job_id, last_event_id=str(version - 1)) as stream:
        assert len(lines_of(stream.rest())) == 5
    with follow(service, job_id, "", last_event_id=f"{version - 1}.3") as stream:
        assert [event.last_event_id for event in stream.rest()] == [str(version)]
    with follow(service, job_id, last_event_id=str(version)) as stream:
        assert stream.status == 204


def test_of_a_flood_a_reader_gets_what_is_kept_in_order(service: Service) -> None:
    job_id = submit(service, "/flood?lines=50000")
    with follow(service, job_id) as stream:
        events = stream.rest()
    received = [event.record["number"] for event in events if event.type == "log"]
    assert received == sorted(set(received))
    assert lines_of(events)[-1].startswith("line 50000 ")
    assert statuses_of(events)[-1] == "completed"


def test_a_deleted_job_is_told_and_the_stream_ends(service: Service) -> None:
    job_id = submit(service, "/say/deleted")
    with follow(service, job_id) as stream:
        stream.next()
        httpx.delete(f"{service.url}/api/v1/jobs/{job_id}").raise_for_status()
        last = stream.rest()[-1]
    assert (last.type, last.data) == ("message", '{"status": "deleted"}')
    assert read(service, job_id).status_code == 404


def test_an_idle_stream_with_the_log_is_kept_alive(service: Service) -> None:
    job_id = submit(service, "/say/idle")
    with follow(service, job_id) as stream:
        told: set[str] = set()
        while not {"progress", "before 2"} <= told:  # in either order
            record = stream.next().record
            told.add(record.get("text") or ("progress" if record["progress"] else record["status"]))
        stream.wait_comment()
        open_gate(service, "idle")
        assert lines_of(stream.rest()) == ["after 1", "after 2", "after 3"]


def test_lines_and_records_hold_no_character_that_splits_them(service: Service) -> None:
    job_id = finish(service, "/fail")
    response = httpx.get(f"{service.url}/api/v1/jobs/{job_id}/$stream", params={"logs": "true"})
    data = [line for line in response.text.splitlines() if line.startswith("data: ")]
    assert len(data) == 2
    assert '"grüße\\u2028aus dem Laden"' in data[0]


def test_a_stop_signal_ends_streams_with_the_log() -> None:
    with run_service(APP) as service:
        job_id = submit(service, "/say/stopped")
        with follow(service, job_id) as stream:
            stream.next()
            service.stop()
            stream.rest()
        assert "Traceback" not in service.log


async def test_a_log_is_followed_from_another_process(tmp_path: Any) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    with run_service(APP, environment={"SERVICEKIT_JOBS_URL": url}) as service:
        job_id = submit(service, "/say/elsewhere")
        async with create_scheduler(url, run_jobs=False) as scheduler:
            seen = []
            async for line in scheduler.stream_log(job_id):
                seen.append(line.text)
                if line.text == "before 2":
                    open_gate(service, "elsewhere")
        assert seen == ["before 1", "before 2", "after 1", "after 2", "after 3"]


@needs("node", FRONTEND)
@pytest.mark.parametrize("client", ["package", "own"])
def test_an_event_source_hears_the_log_by_its_name_and_resumes_it(service: Service, client: str) -> None:
    job_id = submit(service, f"/say/node-{client}")
    flags = ["--no-warnings", "--experimental-eventsource"] if client == "own" else []
    url = f"{service.url}/api/v1/jobs/{job_id}/$stream?logs=true&poll_interval=60"
    with run_command([program("node"), *flags, str(FOLLOW), client, url]) as node:
        node.wait_log("log before 2")
        httpx.post(f"{service.url}/drop").raise_for_status()
        node.wait_log("reconnecting")
        open_gate(service, f"node-{client}")
        assert node.wait(timeout=30) == 0
    assert re.findall("log (.*)", node.log) == ["before 1", "before 2", "after 1", "after 2", "after 3"]
    assert re.findall(r"message [\d.]+ (\w+)", node.log)[-1] == "completed"
    assert node.log.splitlines()[-1] == "closed"


def test_logs_that_are_not_for_clients_are_neither_read_nor_streamed() -> None:
    app = ServiceBuilder(info=ServiceInfo(display_name="Any")).with_jobs(url="memory://", expose_logs=False).build()

    @app.post("/say", status_code=202)
    async def say(submit: SubmitJob) -> JobSubmitted:
        return await submit(print, "a secret")

    with TestClient(app) as client:
        job_id = client.post("/say", headers={"Prefer": "wait=30"}).json()["job_id"]
        assert client.get(f"/api/v1/jobs/{job_id}/$logs").status_code == 404
        assert "secret" not in client.get(f"/api/v1/jobs/{job_id}/$stream?logs=true").text


def test_a_log_as_text_says_nothing_that_a_terminal_would_obey() -> None:
    line = "\x1b[31mred\x1b[0m, \x1b]0;a title\x07\x1bc\x9b2Jplain\ttoo"

    async def log_it() -> None:
        current_job().log(line)

    app = ServiceBuilder(info=ServiceInfo(display_name="Test")).with_jobs(url="memory://").build()

    @app.post("/log")
    async def submit_it(submit: SubmitJob) -> JobSubmitted:
        return await submit(log_it)

    with TestClient(app) as client:
        job_id = client.post("/log").json()["job_id"]
        client.get(f"/api/v1/jobs/{job_id}?wait=30")
        assert client.get(f"/api/v1/jobs/{job_id}/$logs?format=text").text == "red, plain\ttoo\n"
        assert client.get(f"/api/v1/jobs/{job_id}/$logs").json()["lines"][0]["text"] == line
