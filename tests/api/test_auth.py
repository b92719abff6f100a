"""API keys in front of a whole application."""

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from servicekit import ConfigurationError
from servicekit.api import ApiKey, Auth, Feature, Jobs, Logging, Role, ServiceBuilder, ServiceInfo, install
from tests.api.auth_apps import KEYS, SECRETS, as_user, bearer, builder, router, with_access, with_keys
from tests.api.conftest import Connect

SECRET = SECRETS["admin"]
JOBS = "/api/v1/jobs"
REFUSED = {"detail": "Send an API key, as Authorization: Bearer ... or as X-API-Key."}
WRONG = {"detail": "This API key is not valid."}


async def ask(connect: Connect, app: FastAPI, path: str, headers: Any = (), method: str = "GET") -> httpx.Response:
    async with connect(app) as client:
        return await client.request(method, path, headers=headers or None)


@pytest.mark.parametrize(
    "path", [JOBS, "/own", "/metrics", "/docs", "/openapi.json", "/nowhere", "/health/", "//health"]
)
async def test_every_path_needs_a_key(connect: Connect, path: str) -> None:
    response = await ask(connect, with_keys(), path)
    assert (response.status_code, response.json()) == (401, REFUSED)
    assert response.headers["www-authenticate"] == "Bearer"


async def test_whoever_has_a_key_comes_in(connect: Connect) -> None:
    for headers in (
        {"Authorization": f"Bearer {SECRET}"},
        {"Authorization": f"bearer   {SECRET} "},
        {"X-API-Key": SECRET},
        {"Authorization": "Basic cHJveHk6cHJveHk=", "X-API-Key": SECRET},
        {"Authorization": f"Bearer {SECRET}", "X-API-Key": "another"},
        {"Authorization": "Bearer of-a-user", "X-API-Key": SECRET},
    ):
        assert (await ask(connect, with_keys(), "/own", headers)).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        [(b"Authorization", b"Bearer " + SECRET.encode() + b"x")],
        [(b"Authorization", b"Bearer")],
        [(b"Authorization", b"Bearer ")],
        [(b"Authorization", b"Token " + SECRET.encode())],
        [(b"Authorization", SECRET.encode())],
        [(b"Authorization", b"Bearer \xff\xfe\x00")],
        [(b"Authorization", b"Bearer " + b"x" * 100_000)],
        [(b"X-API-Key", "Schlüssel".encode("latin-1"))],
        [(b"X-API-Key", b"")],
        [(b"X-API-Key", SECRET.upper().encode())],
        [(b"X-API-Key", b"wrong"), (b"X-API-Key", SECRET.encode())],
    ],
    ids=str,
)
async def test_what_is_no_key_is_refused_whatever_it_is(connect: Connect, headers: list[tuple[bytes, bytes]]) -> None:
    response = await ask(connect, with_keys(), "/own", headers)
    assert response.status_code == 401
    assert response.json() in (REFUSED, WRONG)


async def test_a_key_in_the_address_is_none(connect: Connect) -> None:
    for name in ("api_key", "key", "token", "access_token"):
        assert (await ask(connect, with_keys(), f"/own?{name}={SECRET}")).status_code == 401


async def test_paths_can_be_open(connect: Connect) -> None:
    app = builder().with_auth(KEYS, open_paths=["/own", "/api/v1/*"]).include_router(router).build()
    for path, status in {"/own": 200, JOBS: 200, "/noop": 401, "/api/v1": 401, "/own/more": 401}.items():
        method = "POST" if path == "/noop" else "GET"
        assert (await ask(connect, app, path, method=method)).status_code == status


async def test_health_is_open_and_the_documentation_by_choice(connect: Connect) -> None:
    assert (await ask(connect, with_keys(), "/health")).status_code == 200
    app = builder().with_auth(KEYS, open_docs=True).build()
    for path in ("/docs", "/redoc", "/openapi.json", "/docs/oauth2-redirect"):
        assert (await ask(connect, app, path)).status_code == 200
    assert (await ask(connect, app, JOBS)).status_code == 401


@pytest.mark.parametrize("root_path", ["", "/behind/a/proxy"])
async def test_a_path_in_front_of_the_application_changes_nothing(root_path: str) -> None:
    app, outer = with_keys(), FastAPI()
    outer.mount("/inner", app)
    for served, front in ((app, ""), (outer, "/inner")):
        transport = httpx.ASGITransport(app=served, root_path=root_path)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://test") as client,
        ):
            for path, status in {"/health": 200, "/own": 401, "/own/health": 401}.items():
                assert (await client.get(f"{root_path}{front}{path}")).status_code == status


async def test_what_is_mounted_in_the_application_is_guarded_too(connect: Connect) -> None:
    app, mounted = with_keys(), FastAPI()
    mounted.include_router(router)
    app.mount("/mounted", mounted)
    assert (await ask(connect, app, "/mounted/own")).status_code == 401
    assert (await ask(connect, app, "/mounted/own", bearer("reader"))).status_code == 200
    assert (await ask(connect, app, "/mounted/noop", bearer("reader"), "POST")).status_code == 403
    assert (await ask(connect, app, "/mounted/noop", bearer("actor"), "POST")).status_code == 202


def test_a_web_socket_needs_a_key_as_well() -> None:
    with TestClient(with_keys()) as client:
        for headers in ({}, {"X-API-Key": "wrong"}):
            with pytest.raises(WebSocketDisconnect), client.websocket_connect("/socket", headers=headers):
                pass
        with client.websocket_connect("/socket", headers=bearer("reader")) as socket:
            assert socket.receive_text() == "hello"


async def test_a_server_that_cannot_refuse_a_web_socket_by_an_answer_closes_it() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    await with_keys()({"type": "websocket", "path": "/socket", "headers": [], "query_string": b""}, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1008}]


PREFLIGHT = {"Origin": "https://app.example.com", "Access-Control-Request-Method": "GET"}


def cors_before() -> FastAPI:
    return (
        ServiceBuilder(info=ServiceInfo(display_name="Guarded"))
        .with_cors(allow_origins=["https://app.example.com"])
        .with_auth(KEYS)
        .build()
    )


def cors_after() -> FastAPI:
    return (
        ServiceBuilder(info=ServiceInfo(display_name="Guarded"))
        .with_auth(KEYS)
        .with_cors(allow_origins=["https://app.example.com"])
        .build()
    )


def cors_of_ones_own() -> FastAPI:
    app = FastAPI()
    app.add_middleware(CORSMiddleware, allow_origins=["https://app.example.com"], allow_headers=["*"])
    install(app, Auth(KEYS))
    return app


@pytest.mark.parametrize("create", [cors_before, cors_after, cors_of_ones_own])
async def test_preflights_need_no_key_and_pages_can_read_what_is_refused(connect: Connect, create: Any) -> None:
    response = await ask(connect, create(), "/own", PREFLIGHT, "OPTIONS")
    assert response.status_code == 200
    refused = await ask(connect, create(), "/own", {"Origin": "https://app.example.com"})
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"]


async def test_without_cors_a_preflight_is_a_request_like_any_other(connect: Connect) -> None:
    assert (await ask(connect, with_keys(), "/own", PREFLIGHT, "OPTIONS")).status_code == 401


async def test_what_is_refused_is_in_the_log_without_the_key(
    connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        app = builder().with_auth(KEYS).with_feature(Logging()).build()  # here, since it sets a level that would stay
        response = await ask(connect, app, "/own", {"X-API-Key": "guess-of-somebody"})
        await ask(connect, app, "/own", bearer("admin"))
    assert response.headers["x-request-id"]
    lines = [record.__dict__ for record in caplog.records if record.name == "servicekit.access"]
    assert [(line["path"], line["status"]) for line in lines] == [("/own", 401), ("/own", 404)]
    assert SECRET not in str(lines)
    assert "guess-of-somebody" not in str(lines)


@pytest.mark.parametrize("is_first", [True, False])
async def test_roles_say_who_may_act(connect: Connect, is_first: bool) -> None:
    app = FastAPI()
    features: list[Feature] = [Auth(KEYS), Jobs("memory://")]
    for feature in features if is_first else reversed(features):
        install(app, feature)
    app.include_router(router)
    assert (await ask(connect, app, JOBS, bearer("reader"))).status_code == 200
    assert (await ask(connect, app, "/noop", bearer("reader"), "POST")).status_code == 403
    assert (await ask(connect, app, "/noop", bearer("actor"), "POST")).status_code == 202
    pause = "/api/v1/queues/default/$pause"
    assert (await ask(connect, app, pause, bearer("reader"), "POST")).status_code == 403
    assert (await ask(connect, app, pause, bearer("actor"), "POST")).status_code == 200
    assert (await ask(connect, app, pause, bearer("ana"), "POST")).status_code == 403
    assert (await ask(connect, app, "/api/v1/queues", bearer("ana"))).status_code == 403


async def test_a_page_of_another_site_is_refused_also_with_a_key(connect: Connect) -> None:
    headers = {**bearer("actor"), "Sec-Fetch-Site": "cross-site"}
    response = await ask(connect, with_keys(), "/noop", headers, "POST")
    assert response.status_code == 403
    assert response.json()["detail"].startswith("A page of another site may not do this.")


def test_a_key_says_nothing_of_its_secret() -> None:
    key = ApiKey(name="ops", secret=SECRET, role=Role.ADMIN)
    assert SECRET not in f"{key!r} {key} {vars(ApiKey)}"
    assert not hasattr(key, "secret")
    assert repr(key) == "ApiKey(name='ops', owner=None, role=<Role.ADMIN: 'admin'>)"


@pytest.mark.parametrize(
    "secret", ["", "short", "x" * 15, "x" * 501, "with a space in it", "mit-Umlaut-äöüßäöüß", 7, None]
)
def test_a_secret_that_makes_no_sense_is_refused_and_not_shown(secret: Any) -> None:
    with pytest.raises(ConfigurationError, match="16 to 500 visible ASCII characters") as caught:
        ApiKey(name="ops", secret=secret)
    assert not secret or str(secret) not in str(caught.value).replace("16 to 500", "")
    assert caught.value.value is None


def key(**changes: Any) -> ApiKey:
    return ApiKey(**{"name": "ops", "secret": SECRET, **changes})


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ([], "There are no API keys"),
        ([key(), key(name="other")], "'ops' and 'other' have the same secret"),
        ([key(), key(secret=SECRETS["ana"])], "'ops' and 'ops' have the same name"),
        ([SECRET], "must be a list of ApiKey"),
    ],
)
def test_keys_that_make_no_sense_are_refused_when_the_service_is_built(keys: Any, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence) as caught:
        builder().with_auth(keys).build()
    assert SECRET not in str(caught.value)


def test_other_values_that_make_no_sense_are_refused_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SERVICEKIT_API_KEYS", raising=False)
    with pytest.raises(ConfigurationError, match="role of the API key 'ops' must be read, act or admin"):
        key(role="root")
    with pytest.raises(ConfigurationError, match="owner must be 1 to 200"):
        key(owner="")
    for paths in ("/health", ["health"], ["/*"], ["/a/*/b"]):
        with pytest.raises(ConfigurationError, match="a list of paths"):
            Auth(KEYS, open_paths=paths)
    with pytest.raises(ConfigurationError, match="set SERVICEKIT_API_KEYS"):
        builder().with_auth().build()
    with pytest.raises(ConfigurationError, match="not from both"):
        builder().with_auth(KEYS, key_file=tmp_path / "keys").build()
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        builder().with_auth(key_file=tmp_path / "keys").build()
    with pytest.raises(ConfigurationError, match="a second time"):
        builder().with_auth(KEYS).with_auth(KEYS).build()


GOOD = json.dumps([{"name": "ops", "secret": SECRET, "role": "admin"}, {"name": "ana", "secret": SECRETS["ana"]}])


async def test_keys_can_be_in_the_environment(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICEKIT_API_KEYS", GOOD)
    app = builder().with_auth().include_router(router).build()
    assert (await ask(connect, app, "/noop", bearer("admin"), "POST")).status_code == 202
    assert (await ask(connect, app, "/noop", bearer("ana"), "POST")).status_code == 403


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (SECRET, "this is no JSON"),
        ("[" * 100_000, "this is no JSON"),
        (json.dumps({"secret": SECRET}), "this is no JSON array"),
        (json.dumps([SECRET]), "key 1: It must be an object"),
        (json.dumps([{SECRET: "admin"}]), "key 1: It must be an object"),
        (json.dumps([{"name": "a", "secret": SECRET, "rôle": SECRET}]), "key 1: It must be an object"),
        (json.dumps([{"name": "a", "secret": SECRET[:15]}]), "key 1: its secret must be 16 to 500"),
        (json.dumps([{"name": SECRET, "secret": "swapped"}]), "key 1: its secret must be 16 to 500"),
        (json.dumps([{"name": [SECRET], "secret": SECRET}]), "key 1: its name must be a text"),
        (json.dumps([{"name": "a", "secret": SECRET, "role": SECRET}]), "key 1: its role must be read, act or admin"),
        (json.dumps([{"name": n, "secret": SECRET} for n in "ab"]), "the same secret"),
        ("[]", "There are no API keys"),
    ],
    ids=range(12),
)
def test_an_error_in_the_environment_is_told_without_secrets(
    monkeypatch: pytest.MonkeyPatch, text: str, sentence: str
) -> None:
    monkeypatch.setenv("SERVICEKIT_API_KEYS", text)
    with pytest.raises(ConfigurationError, match=sentence) as caught:
        builder().with_auth().build()
    assert "SERVICEKIT_API_KEYS" in str(caught.value)
    assert SECRET[:15] not in str(caught.value)
    assert caught.value.__cause__ is None


async def test_a_file_of_keys_is_read_again_and_the_last_good_keys_stay(
    connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("servicekit.api.key_sources._LOOK_SECONDS", 0.0)
    path = tmp_path / "keys.json"
    path.write_text(json.dumps([{"name": "old", "secret": SECRET}]))
    app = builder().with_auth(key_file=path).with_health().include_router(router).build()
    new = json.dumps([{"name": "new", "secret": SECRETS["spare"]}])
    async with connect(app) as client:

        async def statuses() -> tuple[int, int]:
            old, new = [(await client.get("/own", headers=bearer(name))).status_code for name in ("admin", "spare")]
            return old, new

        async def health() -> tuple[int, Any]:
            response = await client.get("/health")
            return response.status_code, response.json()["checks"]["api keys"]["message"]

        assert await statuses() == (200, 401)
        for damage in ("", "{", "[]", new[:-4]):
            path.write_text(damage)
            assert await statuses() == (200, 401)
            status, message = await health()
            assert status == 200
            assert message.startswith("New API keys cannot be read, so the last good ones stay valid")
            assert str(path) not in message
        path.write_bytes(b"\xff\xfe")
        assert await statuses() == (200, 401)
        path.unlink()
        assert await statuses() == (200, 401)
        path.write_text(new)
        assert await statuses() == (401, 200)
        assert await health() == (200, None)
    assert str(path) in caplog.text
    assert SECRETS["spare"] not in caplog.text


async def test_the_document_says_what_to_send(connect: Connect) -> None:
    response = await ask(connect, with_keys(), "/openapi.json", bearer("reader"))
    document = response.json()
    schemes = document["components"]["securitySchemes"]
    assert {scheme["type"] for scheme in schemes.values()} == {"http", "apiKey"}
    assert document["security"] == [{name: []} for name in schemes if name != "ticket"]
    assert document["paths"]["/health"]["get"]["security"] == []
    assert "401" in document["paths"]["/own"]["get"]["responses"]
    assert "401" not in document["paths"]["/health"]["get"]["responses"]


async def test_a_slow_start_is_no_way_in() -> None:
    """Requests that come before the application has started are refused as well."""
    transport = httpx.ASGITransport(app=with_keys())
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        assert {r.status_code for r in await asyncio.gather(*(client.get("/own") for _ in range(3)))} == {401}


async def test_a_key_to_read_lets_nobody_act_whoever_the_application_says_it_is(connect: Connect) -> None:
    app = with_access()
    install(app, Auth(KEYS))
    async with connect(app) as client:
        for name, status in (("reader", 403), ("actor", 202), ("ben", 202)):
            headers = {"X-API-Key": SECRETS[name], **as_user("ana")}
            assert (await client.post("/noop", headers=headers)).status_code == status
            owners = [job["owner"] for job in (await client.get("/api/v1/jobs", headers=headers)).json()]
            assert set(owners) <= {"ana"}
