"""Tickets for streams: what they show, and what they do not."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from secrets import token_urlsafe
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from servicekit import ConfigurationError
from servicekit.api import Access, ApiKey, Auth, Jobs, Role, ServiceBuilder, ServiceInfo, install
from servicekit.api.state import service_state
from servicekit.api.tickets import Tickets
from tests.api.auth_apps import KEYS, SECRETS, as_user, bearer, builder, router, with_access, with_keys
from tests.api.conftest import Connect
from tests.api.test_access import submit

JOBS = "/api/v1/jobs"
SECRET = "a-secret-of-all-processes"
BAD = {"detail": "This ticket is not valid here, or not any more: ask for another one."}
GUARDS = {
    "keys": (lambda **_: with_keys(), bearer),
    "access": (lambda **options: with_access(ticket_secret=SECRET, **options), as_user),
}
EACH_GUARD = pytest.mark.parametrize(("build", "headers"), GUARDS.values(), ids=GUARDS)


class Clock:
    """Shows the time that it is told."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


async def ticket(client: httpx.AsyncClient, headers: dict[str, str], *job_ids: str) -> str:
    response = await client.post(f"{JOBS}/$ticket", headers=headers, json={"job_ids": job_ids} if job_ids else None)
    assert response.status_code == 200, response.text
    assert response.headers["cache-control"] == "no-store"
    return str(response.json()["ticket"])


async def statuses(client: httpx.AsyncClient, *paths: str) -> list[int]:
    return [(await client.head(path)).status_code for path in paths]


@EACH_GUARD
async def test_a_ticket_shows_the_streams_of_what_its_holder_sees(connect: Connect, build: Any, headers: Any) -> None:
    async with connect(build()) as client:
        of_ana, of_ben = [await submit(client, "/noop", headers(name)) for name in ("ana", "ben")]
        by_ana, by_reader = [await ticket(client, headers(name)) for name in ("ana", "reader")]
        one, other, every = f"{JOBS}/{of_ana}/$stream", f"{JOBS}/{of_ben}/$stream", f"{JOBS}/$stream"
        assert await statuses(client, one, every) == [401, 401]
        assert await statuses(client, f"{one}?ticket={by_ana}", f"{every}?ticket={by_ana}&limit=1") == [200, 200]
        assert await statuses(client, f"{one}?logs=true&ticket={by_reader}", f"{other}?ticket={by_reader}") == [
            200,
            200,
        ]
        assert await statuses(client, f"{other}?ticket={by_ana}") == [404]
        events = (await client.get(f"{one}?ticket={by_ana}")).text
        assert json.loads(events.partition("data: ")[2])["id"] == of_ana


@EACH_GUARD
async def test_a_ticket_for_named_jobs_shows_these_alone(connect: Connect, build: Any, headers: Any) -> None:
    async with connect(build()) as client:
        first, second = [await submit(client, "/noop", headers("ana")) for _ in range(2)]
        given = f"?ticket={await ticket(client, headers('ana'), first)}"
        assert await statuses(client, f"{JOBS}/{first}/$stream{given}", f"{JOBS}/$stream{given}") == [200, 200]
        assert await statuses(client, f"{JOBS}/$stream{given}&id={first}") == [200]
        for path in (f"{JOBS}/{second}/$stream{given}", f"{JOBS}/$stream{given}&id={first}&id={second}"):
            response = await client.get(path)
            assert (response.status_code, response.json()) == (404, {"detail": "Job not found"})


@EACH_GUARD
async def test_nobody_gets_a_ticket_for_what_it_does_not_see(connect: Connect, build: Any, headers: Any) -> None:
    async with connect(build()) as client:
        of_ben = await submit(client, "/noop", headers("ben"))
        for job_id in (of_ben, "01JQRS7XK5N8Z3VQ2M4T6W8Y0A"):
            response = await client.post(f"{JOBS}/$ticket", headers=headers("ana"), json={"job_ids": [job_id]})
            assert (response.status_code, response.json()) == (404, {"detail": "Job not found"})
        for body, status in [({"job_ids": ["x"]}, 400), ({"jobs": []}, 422), ({"job_ids": [of_ben] * 101}, 422)]:
            assert (await client.post(f"{JOBS}/$ticket", headers=headers("ben"), json=body)).status_code == status
        assert (await client.post(f"{JOBS}/$ticket")).status_code == 401
        hostile = {**headers("ben"), "Sec-Fetch-Site": "cross-site"}
        assert (await client.post(f"{JOBS}/$ticket", headers=hostile)).status_code == 403


@EACH_GUARD
async def test_a_ticket_is_good_for_streams_alone(connect: Connect, build: Any, headers: Any) -> None:
    async with connect(build()) as client:
        job_id = await submit(client, "/noop", headers("ana"))
        given = f"?ticket={await ticket(client, headers('ana'))}"
        for path in ("", f"/{job_id}", f"/{job_id}/$result", f"/{job_id}/$logs", "/$stats", "/$calls"):
            assert (await client.get(f"{JOBS}{path}{given}")).status_code == 401
        for method, path in [("DELETE", f"/{job_id}"), ("POST", f"/{job_id}/$cancel"), ("POST", "/$ticket")]:
            assert (await client.request(method, f"{JOBS}{path}{given}")).status_code == 401
        assert (await client.get(f"/me{given}")).status_code == 401
        assert (await client.post(f"/noop{given}")).status_code == 401


@EACH_GUARD
async def test_a_ticket_that_is_no_good_is_refused(connect: Connect, build: Any, headers: Any) -> None:
    async with connect(build()) as client:
        stream = f"{JOBS}/{await submit(client, '/noop', headers('ana'))}/$stream"
        good = await ticket(client, headers("ana"))
        payload, _, signature = good.partition(".")
        for bad in ("", "x", ".", "%FF%00", "x" * 5_000, good[:-1], f"{payload}x.{signature}", good.swapcase()):
            response = await client.get(f"{stream}?ticket={bad}")
            assert (response.status_code, response.json()) == (401, BAD)
            assert response.headers["www-authenticate"] == "Bearer"
            response = await client.get(f"{stream}?ticket={bad}", headers=headers("ana"))
            assert response.status_code == 401  # it is not ignored because there is something better
        assert (await client.get(f"{stream}?ticket={good}&ticket=x")).status_code == 200


@EACH_GUARD
async def test_a_ticket_ends_and_holds_until_then(connect: Connect, build: Any, headers: Any) -> None:
    app, clock = build(), Clock()
    service_state(app).tickets = Tickets("any", 300, clock=clock)
    async with connect(app) as client:
        stream = f"{JOBS}/{await submit(client, '/noop', headers('ana'))}/$stream"
        given = f"{stream}?ticket={await ticket(client, headers('ana'))}"
        for _ in range(3):
            assert await statuses(client, given) == [200]
            clock.now += 99
        clock.now += 3
        assert await statuses(client, given) == [401]


async def test_a_ticket_of_another_service_or_signed_by_another_secret_is_refused(connect: Connect) -> None:
    first, second = [with_access(ticket_secret=secret) for secret in (SECRET, f"{SECRET}-of-another")]
    third = ServiceBuilder(info=ServiceInfo(display_name="Another")).with_jobs(
        url="memory://", access=lambda: Access(everything=True), ticket_secret=SECRET
    )
    async with connect(first) as client:
        given = f"{JOBS}/$stream?ticket={await ticket(client, as_user('reader'))}"
        assert await statuses(client, given) == [200]
    for app, status in ((with_access(ticket_secret=SECRET), 200), (second, 401), (third.build(), 401)):
        async with connect(app) as client:  # the first of these is another process of the same service
            assert await statuses(client, given) == [status]


async def test_a_ticket_ends_with_the_key_that_signed_it(connect: Connect) -> None:
    async with connect(with_keys()) as client:
        given = f"{JOBS}/$stream?ticket={await ticket(client, bearer('ana'))}"
    changed = [key for key in KEYS if key.name != "ana"]
    for keys, status in [
        (KEYS, 200),
        (changed, 401),
        ([*changed, ApiKey(name="ana", secret=SECRETS["spare"], owner="ana", role=Role.ACT)], 401),
        ([*changed, ApiKey(name="ana", secret=SECRETS["ana"], owner="carl")], 401),
        ([*changed, ApiKey(name="renamed", secret=SECRETS["ana"], owner="ana")], 200),
    ]:
        async with connect(builder().with_auth(keys).include_router(router).build()) as client:
            assert await statuses(client, given) == [status]


@pytest.mark.parametrize(
    "told",
    [
        {"owner": None, "everything": True, "jobs": [], "until": 1_000_100.0},
        {"owner": "ben", "everything": False, "jobs": [], "until": 1_000_100.0},
        {"owner": "ana", "everything": False, "jobs": [], "until": 9e99},
        {"owner": "ana", "everything": False, "jobs": [], "until": "late"},
        {"owner": "ana", "everything": False, "jobs": [], "until": 10**400},
        {"owner": "ana", "everything": False, "jobs": [], "until": float("nan")},
        {"owner": "ana", "everything": False, "jobs": [[]], "until": 1_000_100.0},
        {"owner": "ana", "everything": False, "jobs": [1], "until": 1_000_100.0},
        {"owner": ["ana"], "everything": False, "jobs": [], "until": 1_000_100.0},
        {"owner": "ana"},
        ["ana"],
        None,
    ],
    ids=range(12),
)
async def test_whoever_holds_a_key_can_sign_nothing_that_shows_more(connect: Connect, told: object) -> None:
    """The digest of a key is no secret to its holder."""
    app = with_keys()
    state = service_state(app)
    service_state(app).tickets = tickets = Tickets("any", 300, clock=Clock())
    signer = tickets._signer(sha256(SECRETS["ana"].encode()).digest())
    good = {"owner": "ana", "everything": False, "jobs": [], "until": 1_000_100.0}
    async with connect(app) as client:
        assert state.tickets is tickets
        assert await statuses(client, f"{JOBS}/$stream?ticket={signer.dumps(good)}") == [200]
        assert await statuses(client, f"{JOBS}/$stream?ticket={signer.dumps(told)}") == [401]


def test_a_ticket_of_a_hundred_jobs_is_not_too_long_and_what_is_longer_is_not_unpacked() -> None:
    tickets = Tickets("any", 300)
    for count, is_read in ((100, True), (1_000, False)):
        signed, _ = tickets.sign(
            Access(owner="\N{BUG}" * 200), [token_urlsafe(20)[:26] for _ in range(count)], b"secret"
        )
        assert (tickets.read(signed, b"secret") is not None) is is_read


async def test_a_ticket_opens_no_way_to_endpoints_of_the_user_s(connect: Connect) -> None:
    app = with_keys()

    @app.post("/{path:path}")
    async def take_all(path: str) -> str:
        return path

    async with connect(app) as client:
        given = f"{JOBS}/$stream?ticket={await ticket(client, bearer('ana'))}"
        assert (await client.post(given, headers=bearer("ana"))).status_code == 200
        assert (await client.post(given)).status_code == 401


async def test_a_key_signs_no_ticket_where_the_application_says_who_sees_what(connect: Connect) -> None:
    app = with_access(ticket_secret=SECRET)
    install(app, Auth(KEYS))
    tickets = service_state(app).tickets
    assert tickets is not None
    forged, _ = tickets.sign(Access(everything=True), [], KEYS[0].digest)
    both = {"X-API-Key": SECRETS["reader"], **as_user("ana")}
    async with connect(app) as client:
        assert await statuses(client, f"{JOBS}/$stream?ticket={forged}") == [401]
        assert await statuses(client, f"{JOBS}/$stream?ticket={await ticket(client, both)}") == [200]


async def test_without_something_to_sign_by_the_route_says_what_is_missing(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with connect(with_access()) as client:
        response = await client.post(f"{JOBS}/$ticket", headers=as_user("ana"))
        assert response.status_code == 501
        assert "SERVICEKIT_TICKET_SECRET" in response.json()["detail"]
        assert await statuses(client, f"{JOBS}/$stream?ticket=x") == [401]
    monkeypatch.setenv("SERVICEKIT_TICKET_SECRET", SECRET)
    async with connect(with_access()) as client:
        assert await ticket(client, as_user("ana"))


@asynccontextmanager
async def without_itsdangerous(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    with monkeypatch.context() as patch:
        patch.setitem(__import__("sys").modules, "itsdangerous", None)
        yield


async def test_without_its_extra_keys_work_and_the_route_says_what_to_install(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with without_itsdangerous(monkeypatch), connect(with_keys()) as client:
        assert (await client.get(JOBS, headers=bearer("reader"))).status_code == 200
        response = await client.post(f"{JOBS}/$ticket", headers=bearer("reader"))
        assert (response.status_code, "[auth]" in response.json()["detail"]) == (501, True)
        assert await statuses(client, f"{JOBS}/$stream?ticket=x") == [401]


def test_a_secret_that_can_be_guessed_is_refused_and_not_shown() -> None:
    with pytest.raises(ConfigurationError, match="at least 16 characters") as caught:
        with_access(ticket_secret="too short")
    assert "too short" not in str(caught.value)


async def test_without_guards_there_are_no_tickets(connect: Connect) -> None:
    app = FastAPI()
    install(app, Jobs("memory://"))
    assert f"{JOBS}/$ticket" not in app.openapi()["paths"]
    async with connect(app) as client:
        assert (await client.post(f"{JOBS}/$ticket")).status_code == 405
        assert await statuses(client, f"{JOBS}/$stream?ticket=x") == [200]


@EACH_GUARD
def test_the_document_says_where_tickets_are_taken(build: Any, headers: Any) -> None:
    document = build().openapi()
    assert document["components"]["securitySchemes"]["ticket"]["in"] == "query"
    taken = {
        path
        for path, operations in document["paths"].items()
        for operation in operations.values()
        if {"ticket": []} in operation.get("security", [])
    }
    assert taken == {f"{JOBS}/$stream", f"{JOBS}/{{job_id}}/$stream"}
