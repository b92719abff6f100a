"""Pages of other sites change nothing, unless they are let in; whoever is no page is not asked."""

from collections.abc import Callable

import pytest
from fastapi import APIRouter, Depends, FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.routing import APIRoute

from servicekit import ConfigurationError
from servicekit.api import Jobs, JobSubmitted, ServiceBuilder, ServiceInfo, SubmitJob, install, refuse_other_sites
from tests.api.conftest import Connect
from tests.fakes import noop

INFO = ServiceInfo(display_name="My Service")
JOB_ID = "01JQRS7XK5N8Z3VQ2M4T6W8Y0A"
CANCEL = f"/api/v1/jobs/{JOB_ID}/$cancel"
ELSEWHERE = "https://elsewhere.example"

router = APIRouter()


@router.post("/noop", status_code=202)
async def submit_noop(submit: SubmitJob) -> JobSubmitted:
    return await submit(noop)


@router.post("/protected", dependencies=[Depends(refuse_other_sites)])
async def change() -> str:
    return "changed"


@router.post("/open")
async def change_openly() -> str:
    return "changed"


def service() -> FastAPI:
    return ServiceBuilder(info=INFO).with_jobs().include_router(router).build()


def unsafe_routes() -> list[tuple[str, str]]:
    """Everything of ours that may change something, whatever is added to it."""
    values = {"job_id": JOB_ID, "name": "x", "name:path": "x"}
    found = [
        (method, route.path.replace("{name:path}", "x").format(**values))
        for route in service().routes
        if isinstance(route, APIRoute) and route.endpoint.__module__.startswith("servicekit.")
        for method in sorted((route.methods or set()) - {"GET", "HEAD"})
    ]
    assert len(found) >= 8
    return found


async def ask(connect: Connect, app: FastAPI, path: str, headers: dict[str, str], method: str = "POST") -> int:
    async with connect(app) as client:
        response = await client.request(method, path, headers=headers)
        if response.status_code == 403:
            assert response.json()["detail"].startswith("A page of another site may not do this.")
        return response.status_code


@pytest.mark.parametrize(("method", "path"), [*unsafe_routes(), ("POST", "/noop"), ("POST", "/protected")])
async def test_nothing_is_changed_by_a_page_of_another_site(connect: Connect, method: str, path: str) -> None:
    from_elsewhere = {"Sec-Fetch-Site": "cross-site", "Origin": ELSEWHERE}
    assert await ask(connect, service(), path, from_elsewhere, method) == 403
    assert await ask(connect, service(), path, {"Origin": ELSEWHERE}, method) == 403
    assert await ask(connect, service(), path, {}, method) != 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://behind.a-proxy.example"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "http://test"},
        {"Origin": "https://test"},
        {"Origin": "http://TEST:80", "Host": "test:80"},
        {"Origin": "http://test", "Host": "test:80"},
        {"Origin": "https://test:8443", "Host": "test"},
        {"Origin": "http://[::1]:8000", "Host": "[::1]:8000"},
        {"Origin": "https://app.example.com", "X-Forwarded-Host": "app.example.com"},
        {"Origin": "https://app.example.com:8443", "X-Forwarded-Host": "app.example.com:8443, inner"},
    ],
    ids=str,
)
async def test_pages_of_the_service_may(connect: Connect, headers: dict[str, str]) -> None:
    assert await ask(connect, service(), CANCEL, headers) == 404


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "same-site", "Origin": "https://other.test"},  # whoever has a subdomain
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "null"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://test"},
        {"Sec-Fetch-Site": "of a browser to come", "Origin": "http://test"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://test.elsewhere.example"},
        {"Origin": "http://test:9000", "Host": "test:8000"},
        {"Origin": "http://test:99999999", "Host": "test:99999999"},
        {"Origin": "http://[", "Host": "["},
        {"Origin": "https://elsewhere.example", "X-Forwarded-Host": "app.example.com"},
    ],
    ids=str,
)
async def test_pages_of_others_may_not(connect: Connect, headers: dict[str, str]) -> None:
    assert await ask(connect, service(), CANCEL, headers) == 403


async def test_they_may_look(connect: Connect) -> None:
    from_elsewhere = {"Sec-Fetch-Site": "cross-site", "Origin": ELSEWHERE}
    assert await ask(connect, service(), "/api/v1/jobs", from_elsewhere, "GET") == 200


async def test_what_the_user_does_not_protect_is_left_alone(connect: Connect) -> None:
    assert await ask(connect, service(), "/open", {"Sec-Fetch-Site": "cross-site", "Origin": ELSEWHERE}) == 200


def with_cors() -> FastAPI:
    return ServiceBuilder(info=INFO).with_cors(allow_origins=[ELSEWHERE]).with_jobs().build()


def with_cors_of_ones_own() -> FastAPI:
    app = FastAPI()
    install(app, Jobs())
    app.add_middleware(CORSMiddleware, allow_origin_regex=r"https://[a-z]+\.example", allow_methods=["*"])
    return app


def with_trusted_origins() -> FastAPI:
    return ServiceBuilder(info=INFO).with_jobs(trusted_origins=["https://Elsewhere.example"]).build()


@pytest.mark.parametrize("create", [with_cors, with_cors_of_ones_own, with_trusted_origins])
async def test_those_that_are_let_in_may(connect: Connect, create: Callable[[], FastAPI]) -> None:
    for site in ({"Sec-Fetch-Site": "cross-site"}, {}):
        assert await ask(connect, create(), CANCEL, {**site, "Origin": ELSEWHERE}) == 404
        assert await ask(connect, create(), CANCEL, {**site, "Origin": "https://evil.test"}) == 403


async def test_any_page_may_if_all_are_let_in(connect: Connect) -> None:
    app = ServiceBuilder(info=INFO).with_jobs(trusted_origins=["*"]).build()
    assert await ask(connect, app, CANCEL, {"Sec-Fetch-Site": "cross-site", "Origin": "null"}) == 404


async def test_the_cors_of_the_service_counts_for_what_is_mounted_in_it(connect: Connect) -> None:
    app, mounted = with_cors(), FastAPI()
    mounted.include_router(router)
    app.mount("/mounted", mounted)
    site = {"Sec-Fetch-Site": "cross-site"}
    assert await ask(connect, app, "/mounted/noop", {**site, "Origin": ELSEWHERE}) == 202
    assert await ask(connect, app, "/mounted/noop", {**site, "Origin": "https://evil.test"}) == 403


@pytest.mark.parametrize("origins", ["https://app.example.com", ["app.example.com"], ["https://app.example.com/"]])
def test_what_is_no_origin_is_refused_when_the_service_is_built(origins: list[str]) -> None:
    with pytest.raises(ConfigurationError, match="a list of origins"):
        ServiceBuilder(info=INFO).with_jobs(trusted_origins=origins)
