"""Streams of readers whose access ends while they are open: over a real server."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.api.auth_apps import SECRETS, as_user, bearer
from tests.service import Service, run_service

JOBS = "/api/v1/jobs"


def write_keys(path: Path, **roles: str) -> None:
    path.write_text(json.dumps([{"name": name, "secret": SECRETS[name], "role": role} for name, role in roles.items()]))


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    write_keys(path, actor="act", spare="act")
    return path


@pytest.fixture(scope="module")
def service(keys: Path) -> Iterator[Service]:
    with run_service("tests.api.auth_apps:with_key_file", options=["--factory"], environment={"KEYS": str(keys)}) as it:
        yield it


@pytest.mark.parametrize("left", [{}, {"actor": "read"}], ids=["removed", "another role"])
@pytest.mark.parametrize("stream", ["one", "all"])
def test_a_stream_ends_when_its_reader_s_key_does(
    service: Service, keys: Path, left: dict[str, str], stream: str
) -> None:
    write_keys(keys, actor="act", spare="act")
    with httpx.Client(base_url=service.url, timeout=60) as client:
        job = _submit(client)
        address = f"{job}/$stream" if stream == "one" else f"{JOBS}/$stream"
        with (
            client.stream("GET", address, headers=bearer("spare")) as other,
            client.stream("GET", address, headers=bearer("actor")) as response,
        ):
            lines, others = response.iter_lines(), other.iter_lines()
            assert any(line.startswith("data:") for line in lines)
            write_keys(keys, spare="act", **left)
            for _ in lines:  # it ends in order, and not with an error
                pass
            assert client.delete(job, headers=bearer("spare")).status_code == 204
            assert any('"deleted"' in line for line in others)  # the one whose reader's key has stayed goes on


def _submit(client: httpx.Client) -> str:
    """The path of a new job. A key that was written a moment ago may be valid a second later."""
    while (response := client.post("/hold/ends", headers=bearer("actor"))).status_code != 202:
        assert response.status_code in (401, 403)
    return response.headers["location"]


@pytest.fixture(scope="module")
def users() -> Iterator[Service]:
    with run_service("tests.api.auth_apps:that_asks_often", options=["--factory"]) as service:
        yield service


def test_a_cookie_opens_a_stream_and_its_end_ends_it(users: Service) -> None:
    """`EventSource` sends cookies by itself, and no headers that a page could choose."""
    with httpx.Client(base_url=users.url, timeout=60, cookies={"login": "ana"}) as ana, httpx.Client() as other:
        job = ana.post("/hold/cookie").headers["location"]
        assert ana.head(f"{job}/$stream").status_code == 200
        assert other.head(f"{users.url}{job}/$stream").status_code == 401
        with ana.stream("GET", f"{job}/$stream") as one, ana.stream("GET", f"{JOBS}/$stream") as all_jobs:
            streams = [one.iter_lines(), all_jobs.iter_lines()]
            for lines in streams:
                assert any(line.startswith("data:") for line in lines)
            assert ana.get("/sessions").json() == 0  # none is held for as long as a stream is open
            ana.post("/remove/ana")
            for lines in streams:
                for _ in lines:
                    pass
        assert ana.get(f"{job}/$stream").status_code == 401


def test_the_stream_of_all_has_one_s_own_jobs_and_their_deletions(users: Service) -> None:
    ben, admin = as_user("ben"), as_user("admin")
    with httpx.Client(base_url=users.url, timeout=60) as client:
        others = [client.post(f"/for/{owner}", headers=admin).json()["job_id"] for owner in ("admin", "carl")]
        with client.stream("GET", f"{JOBS}/$stream?poll_interval=0.05", headers=ben) as response:
            own = client.post("/hold/own", headers=ben).json()["job_id"]
            for job_id in [*others, own]:
                client.delete(f"{JOBS}/{job_id}", headers=admin)
            told = set()
            for line in response.iter_lines():
                if line.startswith("data:"):
                    event = json.loads(line.removeprefix("data:"))
                    told.add(event["id"])
                    if event["status"] == "deleted":
                        break
    assert told == {own}


def test_of_the_jobs_that_a_stream_names_those_of_others_do_not_exist(users: Service) -> None:
    with httpx.Client(base_url=users.url, timeout=60) as client:
        job_id = client.post("/noop", headers=as_user("admin")).json()["job_id"]
        with client.stream("GET", f"{JOBS}/$stream?id={job_id}", headers=as_user("ben")) as response:
            events = (json.loads(line.removeprefix("data:")) for line in response.iter_lines() if "data:" in line)
            assert next(events) == {"id": job_id, "status": "deleted"}


def test_an_access_that_fails_ends_the_stream(users: Service) -> None:
    with httpx.Client(base_url=users.url, timeout=60) as client:
        job = client.post("/hold/broken", headers=as_user("actor")).headers["location"]
        with client.stream("GET", f"{job}/$stream", headers=as_user("actor")) as response:
            lines = response.iter_lines()
            assert any(line.startswith("data:") for line in lines)
            client.post("/break", headers=as_user("actor"))
            for _ in lines:
                pass
    users.wait_log("A stream is ended, since it is not known whether its reader may go on: RuntimeError: broken")


@pytest.mark.parametrize("stream", ["one", "all"])
def test_a_ticket_opens_a_stream_which_ends_with_the_key_that_signed_it(
    service: Service, keys: Path, stream: str
) -> None:
    write_keys(keys, actor="act", spare="act")
    with httpx.Client(base_url=service.url, timeout=60) as client:
        job = _submit(client)
        ticket = client.post(f"{JOBS}/$ticket", headers=bearer("actor")).json()["ticket"]
        address = f"{job}/$stream" if stream == "one" else f"{JOBS}/$stream"
        for _ in range(2):  # a client that comes again brings the same ticket
            with client.stream("GET", f"{address}?poll_interval=0.1&ticket={ticket}") as response:
                assert any(line.startswith("data:") for line in response.iter_lines())
        with client.stream("GET", f"{address}?ticket={ticket}") as response:
            lines = response.iter_lines()
            assert any(line.startswith("data:") for line in lines)
            write_keys(keys, spare="act")
            for _ in lines:
                pass
        assert client.get(f"{address}?ticket={ticket}").status_code == 401
    service.wait_log(r"GET \S+stream HTTP/1.1. 401")
    assert "poll_interval=0.1" in service.log
    assert ticket not in service.log


def test_a_ticket_that_ends_ends_the_stream(users: Service) -> None:
    with httpx.Client(base_url=users.url, timeout=60) as client:
        job = client.post("/hold/ends", headers=as_user("actor")).headers["location"]
        is_open, ticket = False, ""
        while not is_open:  # where all is slow, a ticket of a few seconds can end before it is used
            ticket = client.post(f"{JOBS}/$ticket", headers=as_user("actor")).json()["ticket"]
            with client.stream("GET", f"{job}/$stream?ticket={ticket}") as response:
                assert response.status_code in (200, 401)
                is_open = response.status_code == 200
                for _ in response.iter_lines():
                    pass
        assert client.get(f"{job}/$stream?ticket={ticket}").status_code == 401
