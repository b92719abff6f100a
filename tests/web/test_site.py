"""The page and its files: who gets them, from where, and how often."""

import gzip
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi import Depends, FastAPI, HTTPException
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from servicekit.api import Access, Auth, Jobs, ServiceBuilder, ServiceInfo, install
from servicekit.errors import ConfigurationError
from servicekit.web import Dashboard
from servicekit.web.assets import STATIC
from tests.web.apps import ACTOR, ADMIN, KEYS, READER, router

JOB_ID = "01JQRS7XK5N8Z3VQ2M4T6W8Y0A"
PAGES = ["", "queues", "schedules", "workers", "tasks", JOB_ID]


def build(**options: Any) -> FastAPI:
    info = ServiceInfo(display_name="Bakery <&>")
    return ServiceBuilder(info=info).with_jobs(url="memory://").with_dashboard(**options).include_router(router).build()


@asynccontextmanager
async def connect(app: FastAPI, root_path: str = "", **headers: str) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=app, root_path=root_path)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as client,
    ):
        yield client


def list_files(html: str) -> list[str]:
    return re.findall(r'(?:href|src)="(assets/[^"]+)"', html)


async def test_each_page_is_the_same_html_and_needs_nothing_from_elsewhere() -> None:
    async with connect(build()) as client:
        pages = {(await client.get(f"/jobs/{page}")).text for page in PAGES}
        assert len(pages) == 1
        html = pages.pop()
        assert "<title>Bakery &lt;&amp;&gt;</title>" in html
        assert not re.search(r"https?://|<style|<script>| style=| on\w+=", html)
        for file in list_files(html):
            assert (await client.get(f"/jobs/{file}")).status_code == 200
        for nothing in ("nothing", "assets/nothing.js", "assets/index.html", "assets/..%2Fpage.py", "queues/more"):
            assert (await client.get(f"/jobs/{nothing}")).status_code == 404
        assert (await client.post("/jobs/")).status_code == 405
        assert (await client.head("/jobs/")).status_code == 200


async def test_the_policy_of_the_page_allows_nothing_from_elsewhere() -> None:
    async with connect(build()) as client:
        policy = (await client.get("/jobs/")).headers["content-security-policy"]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == rules["frame-ancestors"] == "'self'"
    assert rules["object-src"] == rules["base-uri"] == "'none'"
    assert "unsafe" not in policy
    assert "http" not in policy


@pytest.mark.parametrize(("path", "root_path"), [("/jobs", ""), ("/jobs", "/behind"), ("/admin/of/jobs", "")])
async def test_the_path_without_a_slash_leads_to_the_page_wherever_it_is(path: str, root_path: str) -> None:
    async with connect(build(path=path), root_path) as client:
        answer = await client.get(f"{root_path}{path}?q=status:failed")
        assert answer.status_code == 307
        assert answer.headers["location"] == "jobs/?q=status:failed"  # relative to where the browser is
        page = await client.send(answer.next_request) if answer.next_request else answer
        assert (page.status_code, page.url.path) == (200, f"{root_path}{path}/")
        described = (await client.get(f"{root_path}{path}/$service")).json()
        jobs = page.url.join(described["paths"]["jobs"])
        assert (await client.get(jobs.path)).json() == []


async def test_a_file_is_kept_for_ever_by_its_version_and_asked_for_again_without() -> None:
    async with connect(build()) as client:
        file = next(file for file in list_files((await client.get("/jobs/")).text) if file.endswith("kit.js"))
        versioned = await client.get(f"/jobs/{file}")
        assert versioned.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert versioned.headers["x-content-type-options"] == "nosniff"
        for other in ("/jobs/assets/kit.js", "/jobs/assets/an-older-one/kit.js", "/jobs/"):
            answer = await client.get(other)
            assert answer.headers["cache-control"] == "no-cache"
            for known in (answer.headers["etag"], f'"another", W/{answer.headers["etag"]}'):
                again = await client.get(other, headers={"If-None-Match": known})
                assert (again.status_code, again.content) == (304, b"")
                assert again.headers["etag"] == answer.headers["etag"]
            assert (await client.get(other, headers={"If-None-Match": '"another"'})).status_code == 200


async def test_scripts_are_sent_without_their_comments_and_with_the_same_lines() -> None:
    async with connect(build()) as client:
        for script in STATIC.glob("*.js"):
            sent, source = (await client.get(f"/jobs/assets/{script.name}")).text, script.read_text()
            assert "@ts-check" not in sent
            for left, right in zip(sent.splitlines(), source.splitlines(), strict=True):
                assert left in (right, "")


async def test_a_file_is_compressed_for_those_who_can_read_that() -> None:
    async with connect(build()) as client:
        plain = await client.get("/jobs/assets/kit.js", headers={"Accept-Encoding": "identity"})
        assert "content-encoding" not in plain.headers
        async with client.stream("GET", "/jobs/assets/kit.js", headers={"Accept-Encoding": "br, gzip"}) as answer:
            raw = b"".join([part async for part in answer.aiter_raw()])
        assert answer.headers["content-encoding"] == "gzip"
        assert answer.headers["vary"] == "accept-encoding"
        assert gzip.decompress(raw) == plain.content
        assert len(raw) < len(plain.content) / 2


async def test_the_page_is_open_and_what_it_shows_is_not() -> None:
    app = FastAPI()
    app.get("/jobs/assets/{folder}/salaries.csv")(lambda folder: folder)
    install(app, Dashboard(), Auth(KEYS), Jobs("memory://"))
    app.get("/jobs/{name}/more")(lambda name: name)
    app.post("/jobs/{name}")(lambda name: name)
    app.put("/jobs/assets/{name}")(lambda name: name)
    async with connect(app) as client:
        for page in ("/jobs", *(f"/jobs/{page}" for page in PAGES), "/jobs/assets/app.js"):
            assert (await client.get(page)).status_code in (200, 307), page
        for guarded in ("$service", "$submissions", "nothing", "queues/more", "../jobs", "../api/v1/jobs"):
            assert (await client.get(f"/jobs/{guarded}")).status_code in (401, 307), guarded
        assert (await client.get("/jobs/$service")).json()["detail"].startswith("Send an API key")
        assert (await client.get("/jobsy")).status_code == 401
        closed = [("POST", JOB_ID), ("POST", "queues"), ("PUT", "assets/app.js"), ("GET", "assets/2026/salaries.csv")]
        for method, place in closed:
            assert (await client.request(method, f"/jobs/{place}")).status_code == 401


async def test_dependencies_of_the_whole_application_guard_the_data_and_not_the_page() -> None:
    def refuse() -> None:
        raise HTTPException(401, "Log in first.")

    app = FastAPI(dependencies=[Depends(refuse)])
    install(app, Jobs("memory://"), Dashboard())
    async with connect(app) as client:
        assert (await client.get("/jobs/")).status_code == 200
        assert (await client.get("/jobs/$service")).status_code == 401


@pytest.mark.parametrize(
    ("secret", "access"),
    [
        (ADMIN, {"owner": None, "everything": True, "may_act": True}),
        (ACTOR, {"owner": "ana", "everything": False, "may_act": True}),
        (READER, {"owner": "ana", "everything": False, "may_act": False}),
    ],
)
async def test_the_page_learns_what_its_caller_may_do(secret: str, access: dict[str, object]) -> None:
    app = FastAPI(title="Bakery", version="2.0")
    install(app, Jobs("memory://", expose_logs=False), Dashboard(), Auth(KEYS))
    async with connect(app, **{"X-API-Key": secret}) as client:
        told = (await client.get("/jobs/$service")).json()
        page = (await client.get("/jobs/")).text
    assert told["access"] == access
    assert told["features"] == {"logs": False, "tracebacks": True, "has_tasks": False}
    assert (told["title"], told["version"]) == ("Bakery", "2.0")
    assert f"assets/{told['dashboard_version']}/app.js" in page
    assert told["paths"] == {
        "jobs": "../api/v1/jobs",
        "queues": "../api/v1/queues",
        "schedules": "../api/v1/schedules",
        "workers": "../api/v1/workers",
        "tasks": None,
        "artifacts": None,
        "docs": "../docs",
    }


async def test_the_accesss_of_the_application_says_it_too() -> None:
    app = FastAPI()
    install(app, Jobs("memory://", access=lambda: Access(owner="ana")), Dashboard())
    async with connect(app) as client:
        told = (await client.get("/jobs/$service")).json()
    assert told["access"] == {"owner": "ana", "everything": False, "may_act": False}
    assert told["title"] == "Jobs"


async def test_the_endpoints_that_submit_jobs_are_told_with_examples() -> None:
    async with connect(build()) as client:
        told = {each["path"]: each for each in (await client.get("/jobs/$submissions")).json()}
    assert told.keys() == {"../noop", "../forever", "../fail", "../reports"}
    assert told["../reports"] == {
        "method": "POST",
        "path": "../reports",
        "summary": "Write a report",
        "query": {},
        "body": {"region": "north"},
    }
    assert told["../fail"]["query"] == {"text": "text"}
    assert told["../noop"]["query"] == {}


@pytest.mark.parametrize(
    "routes",
    [
        [Route("/jobs", PlainTextResponse("own"))],
        [Route("/jobs/{anything}", PlainTextResponse("own"))],
        [Mount("/jobs", Starlette())],
        [Mount("/", Starlette())],
    ],
)
def test_a_path_that_the_application_has_already_is_an_error(routes: list[Any]) -> None:
    app = FastAPI(routes=routes)
    with pytest.raises(ConfigurationError, match="where the application has no route yet"):
        install(app, Jobs("memory://"), Dashboard())


def test_jobs_at_the_same_path_are_an_error() -> None:
    with pytest.raises(ConfigurationError, match="path"):
        install(FastAPI(), Jobs("memory://", prefix="/jobs"), Dashboard())


@pytest.mark.parametrize("path", ["jobs", "/jobs/", "", "/a b", "/{job}"])
def test_a_path_that_is_none_is_an_error(path: str) -> None:
    with pytest.raises(ConfigurationError, match="path"):
        Dashboard(path=path)


async def test_a_dashboard_without_jobs_is_an_error_at_the_start() -> None:
    app = FastAPI()
    install(app, Dashboard())
    with pytest.raises(ConfigurationError, match="no jobs"):
        async with connect(app):
            pass


async def test_two_services_in_one_process_have_a_dashboard_each() -> None:
    outer, inner = FastAPI(title="Outer"), FastAPI(title="Inner")
    for app in (outer, inner):
        install(app, Jobs("memory://"), Dashboard())
    outer.mount("/inner", inner)
    async with connect(outer) as client:
        for path, title in (("", "Outer"), ("/inner", "Inner")):
            assert f"<title>{title}</title>" in (await client.get(f"{path}/jobs/")).text
            assert (await client.get(f"{path}/jobs/$service")).json()["title"] == title
