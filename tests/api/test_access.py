"""Who sees whose jobs, and who may act, by a dependency of the application."""

from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI, Header, HTTPException, Request
from fastapi.testclient import TestClient

from servicekit import ConfigurationError, StoreUnavailable
from servicekit.api import Access, Jobs, JobSubmitted, SubmitJob, find_access, get_scheduler, install
from servicekit.api.admission import admit
from servicekit.api.state import service_state
from tests.api.auth_apps import as_user, get_access, router, sessions, with_access
from tests.api.conftest import Connect
from tests.fakes import noop

JOBS = "/api/v1/jobs"
ANA, BEN, ADMIN, READER = map(as_user, ("ana", "ben", "admin", "reader"))


async def submit(client: httpx.AsyncClient, path: str, headers: dict[str, str], **more: str) -> str:
    response = await client.post(path, headers={**headers, "Prefer": "wait=30", **more})
    assert response.status_code == 200, response.text
    return str(response.json()["job_id"])


async def ids(client: httpx.AsyncClient, query: str, headers: dict[str, str]) -> list[str]:
    response = await client.get(f"{JOBS}{query}", headers=headers)
    assert response.status_code == 200
    return [job["id"] for job in response.json()]


async def test_a_list_and_its_counts_have_what_the_caller_sees(connect: Connect) -> None:
    async with connect(with_access()) as client:
        of_ana = [await submit(client, "/noop", ANA), await submit(client, "/sync/noop", ANA)]
        of_ben, of_nobody = await submit(client, "/noop", BEN), await submit(client, "/noop", as_user("actor"))
        assert await ids(client, "", ANA) == of_ana[::-1]
        assert await ids(client, "", READER) == [of_nobody, of_ben, *of_ana[::-1]]
        assert await ids(client, "?owner=ana", READER) == of_ana[::-1]
        assert await ids(client, "?owner=ana", ANA) == of_ana[::-1]
        assert await ids(client, "?owner=ben", ANA) == []
        first = await client.get(f"{JOBS}?limit=1", headers=ANA)
        assert await ids(client, first.links["next"]["url"].removeprefix(JOBS), ANA) == [of_ana[0]]
        for query, headers, total in [("", ANA, 2), ("", READER, 4), ("?owner=ben", ANA, 0), ("?owner=ben", READER, 1)]:
            assert (await client.get(f"{JOBS}/$stats{query}", headers=headers)).json()["total"] == total


async def test_a_job_belongs_to_its_submitter(connect: Connect) -> None:
    async with connect(with_access()) as client:

        async def owner_of(job_id: str) -> object:
            return (await client.get(f"{JOBS}/{job_id}", headers=READER)).json()["owner"]

        assert await owner_of(await submit(client, "/noop", ANA)) == "ana"
        assert await owner_of(await submit(client, "/noop", as_user("actor"))) is None
        assert await owner_of(await submit(client, "/noop", ADMIN)) == "admin"
        assert await owner_of(await submit(client, "/for/ben", ANA)) == "ana"
        assert await owner_of(await submit(client, "/for/ben", ADMIN)) == "ben"
        retried = await client.post(f"{JOBS}/{await submit(client, '/noop', ANA)}/$retry", headers=ADMIN)
        assert await owner_of(retried.json()["job_id"]) == "ana"


async def test_an_idempotency_key_belongs_to_the_submitter(connect: Connect) -> None:
    key = {"Idempotency-Key": "the same"}
    async with connect(with_access()) as client:
        of_ana = await submit(client, "/noop", ANA, **key)
        of_ben = await submit(client, "/noop", BEN, **key)
        assert of_ana != of_ben
        for headers, job_id in ((ANA, of_ana), (BEN, of_ben)):
            assert await submit(client, "/noop", headers, **key) == job_id
            assert (await client.get("/earlier", headers={**headers, **key})).json()["job_id"] == job_id
        assert (await client.get("/earlier", headers={**ADMIN, **key})).json() is None


async def test_who_only_looks_may_do_nothing_with_its_own_jobs(connect: Connect) -> None:
    looks = as_user("ana looks")
    async with connect(with_access()) as client:
        job = f"{JOBS}/{await submit(client, '/noop', ANA)}"
        assert (await client.get(job, headers=looks)).status_code == 200
        for method, path in [("POST", f"{job}/$cancel"), ("POST", f"{job}/$retry"), ("DELETE", job)]:
            response = await client.request(method, path, headers=looks)
            assert response.status_code == 403
            assert response.json()["detail"].startswith("You may look, and not act")
        assert (await client.post("/noop", headers=looks)).status_code == 403
        other = f"{JOBS}/{await submit(client, '/noop', BEN)}"
        assert (await client.delete(other, headers=looks)).status_code == 404
        nothing = f"{JOBS}/01JQRS7XK5N8Z3VQ2M4T6W8Y0A"
        assert (await client.delete(nothing, headers=READER)).status_code == 404
        assert (await client.delete(job, headers=READER)).status_code == 403


async def test_the_application_s_own_refusal_is_the_answer(connect: Connect) -> None:
    async with connect(with_access()) as client:
        for method, path in [("GET", JOBS), ("POST", "/noop"), ("HEAD", f"{JOBS}/$stream"), ("GET", "/me")]:
            response = await client.request(method, path)
            assert response.status_code == 401
            assert response.headers["www-authenticate"] == "Bearer"
        assert (await client.get(JOBS)).json() == {"detail": "Log in first."}
        assert (await client.get("/own")).status_code == 200  # the user's own endpoints are the user's to protect
    assert sessions == set()


async def test_endpoints_can_ask_whose_request_it_is(connect: Connect) -> None:
    async with connect(with_access()) as client:
        assert (await client.get("/me", headers=ANA)).json() == "ana"
        assert (await client.get("/me", headers=READER)).json() is None


async def test_without_guards_everybody_has_everything(connect: Connect) -> None:
    app = FastAPI()
    install(app, Jobs("memory://"))
    app.include_router(router)

    @app.get("/found")
    async def found(request: Request) -> bool:
        return find_access(request) == Access(everything=True, may_act=True)

    async with connect(app) as client:
        assert (await client.get("/found")).json() is True
        assert (await client.get("/me")).json() is None
        assert (await client.post("/noop")).status_code == 202


async def test_an_access_that_was_not_asked_for_is_not_made_up() -> None:
    app = with_access()

    @app.get("/found")
    async def found(request: Request) -> None:
        find_access(request)

    with TestClient(app) as client, pytest.raises(ConfigurationError, match="was not asked for its access"):
        client.get("/found", headers=ANA)


def at_once(user: Annotated[str, Header()]) -> Access:
    return Access(owner=user, may_act=True)


class Asked:
    async def __call__(self, user: Annotated[str, Header()]) -> Access:
        return Access(owner=user, may_act=True)


async def generator(user: Annotated[str, Header()]) -> AsyncIterator[Access]:
    yield Access(owner=user, may_act=True)


@pytest.mark.parametrize("access", [at_once, Asked(), generator], ids=["function", "object", "generator"])
async def test_any_dependency_will_do(connect: Connect, access: Callable[..., Any]) -> None:
    app = FastAPI()
    install(app, Jobs("memory://", access=access))
    app.include_router(router)
    async with connect(app) as client:
        assert (await client.post("/noop", headers={"User": "ana"})).status_code == 202
        assert len(await ids(client, "", {"User": "ana"})) == 1
        assert await ids(client, "", {"User": "ben"}) == []
        missing = await client.get(JOBS)
        assert (missing.status_code, missing.json()["detail"][0]["loc"]) == (422, ["header", "user"])
    parameters = app.openapi()["paths"][JOBS]["get"]["parameters"]
    assert [each["name"] for each in parameters if each["in"] == "header"] == ["user"]


async def test_it_can_be_replaced_in_tests(connect: Connect) -> None:
    app = with_access()
    app.dependency_overrides[get_access] = lambda: Access(owner="tester", may_act=True)
    async with connect(app) as client:
        job_id = await submit(client, "/noop", {})
        assert (await client.get(f"{JOBS}/{job_id}")).json()["owner"] == "tester"


@pytest.mark.parametrize("found", [None, True, "ana", {"owner": "ana"}])
def test_what_is_no_access_lets_nobody_in(found: object, caplog: pytest.LogCaptureFixture) -> None:
    app = FastAPI()
    install(app, Jobs("memory://", access=lambda: found))
    check_that_nobody_comes_in(app, caplog, "a dependency that returns an Access")


@pytest.mark.parametrize("owner", ["", "a\nb", "x" * 201, "\0", 17])
def test_an_owner_that_cannot_be_lets_nobody_in_and_is_named_in_the_log(
    owner: Any, caplog: pytest.LogCaptureFixture
) -> None:
    app = FastAPI()
    install(app, Jobs("memory://", access=lambda: Access(owner=owner, may_act=True)))
    check_that_nobody_comes_in(app, caplog, "owner must be 1 to 200")


def check_that_nobody_comes_in(app: FastAPI, caplog: pytest.LogCaptureFixture, reason: str) -> None:
    @app.post("/bake")
    async def bake(submit: SubmitJob) -> JobSubmitted:
        return await submit(noop)

    with TestClient(app) as client:
        answers = [client.get(JOBS), client.get(f"{JOBS}/$stream"), client.post("/bake")]
    assert [each.status_code for each in answers] == [403] * 3
    assert {each.json()["detail"] for each in answers} == {
        "The service could not find out what you may do. Its log says why."
    }
    (line,) = [each for each in caplog.records if each.levelname == "ERROR"]
    assert line.getMessage() == "Nobody is let in by an access that cannot be"
    assert line.exc_info is not None
    assert reason in str(line.exc_info[1])


def test_an_access_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="This access sees nothing"):
        Access()
    with pytest.raises(ConfigurationError, match="owner must be 1 to 200"):
        Access(owner="")
    with pytest.raises(ConfigurationError, match="without Depends around it"):
        Jobs(access=Depends(get_access))


async def test_the_access_is_asked_for_once_in_a_request(connect: Connect) -> None:
    asked = 0

    async def count(request: Request) -> Access:
        nonlocal asked
        asked += 1
        assert request.url.path in (JOBS, "/noop", "/me")
        return Access(everything=True, may_act=True)

    app = FastAPI()
    install(app, Jobs("memory://", access=count))
    app.include_router(router)
    async with connect(app) as client:
        for method, path in [("GET", JOBS), ("POST", "/noop"), ("GET", "/me")]:
            before = asked
            await client.request(method, path)
            assert asked == before + 1


async def test_what_is_mounted_asks_the_service_that_it_is_in(connect: Connect) -> None:
    app, mounted = with_access(), FastAPI()
    mounted.include_router(router)
    app.mount("/mounted", mounted)
    app.dependency_overrides[get_access] = lambda: Access(owner="tester", may_act=True)
    async with connect(app) as client:
        job_id = await submit(client, "/mounted/noop", {})
        assert (await client.get(f"{JOBS}/{job_id}")).json()["owner"] == "tester"
        app.dependency_overrides.clear()
        assert (await client.post("/mounted/noop")).status_code == 401


async def test_a_service_that_is_mounted_in_another_one_asks_for_itself(connect: Connect) -> None:
    app, inner = FastAPI(), with_access()
    install(app, Jobs("memory://"))
    app.mount("/inner", inner)

    @app.middleware("http")
    async def ask_early(request: Request, call_next: Callable[[Request], Any]) -> Any:
        assert (await admit(request.scope)).everything
        return await call_next(request)

    async with inner.router.lifespan_context(inner), connect(app) as client:
        assert (await client.get(JOBS)).status_code == 200
        assert (await client.get(f"/inner{JOBS}")).status_code == 401
        assert (await client.get(f"/inner{JOBS}", headers=ANA)).json() == []


async def test_a_page_of_another_site_may_not_use_a_cookie(connect: Connect) -> None:
    cookie = {"Cookie": "login=ana"}
    hostile = {**cookie, "Sec-Fetch-Site": "cross-site", "Origin": "https://elsewhere.example"}
    async with connect(with_access()) as client:
        job = f"{JOBS}/{await submit(client, '/noop', cookie)}"
        for method, path in [("POST", f"{job}/$cancel"), ("DELETE", job), ("POST", "/noop")]:
            response = await client.request(method, path, headers=hostile)
            assert response.status_code == 403
            assert response.json()["detail"].startswith("A page of another site may not do this.")


async def test_a_store_that_cannot_be_read_shows_nobody_another_s_job(connect: Connect) -> None:
    app = with_access()
    async with connect(app) as client:
        job_id = await submit(client, "/noop", ANA)
        scheduler = service_state(app).require_scheduler()

        class Unreadable:
            """A scheduler whose store is away when a record is read, and back when the stream begins."""

            async def get_record(self, job_id: str) -> None:
                raise StoreUnavailable("the file", "it is away")

            def __getattr__(self, name: str) -> Any:
                return getattr(scheduler, name)

        app.dependency_overrides[get_scheduler] = Unreadable
        stream = await client.get(f"{JOBS}/{job_id}/$stream", headers=BEN)
        assert (stream.status_code, stream.text) == (200, "")
        seen = await client.get(f"{JOBS}/{job_id}/$stream", headers=READER)
        assert (seen.status_code, '"completed"' in seen.text) == (200, True)
        assert (await client.get(f"{JOBS}/{job_id}", headers=BEN)).status_code == 503


async def test_the_document_has_the_dependency_s_schemes_at_the_routes_and_at_submissions() -> None:
    document = with_access().openapi()
    assert document["components"]["securitySchemes"]["HTTPBearer"] == {"type": "http", "scheme": "bearer"}
    for path, method in [(JOBS, "get"), (f"{JOBS}/{{job_id}}", "delete"), ("/noop", "post"), ("/api/v1/queues", "get")]:
        assert document["paths"][path][method]["security"] == [{"HTTPBearer": []}]
    assert "security" not in document["paths"]["/own"]["get"]
    assert "x-servicekit-guarded" not in str(document)


async def test_the_request_s_state_and_body_are_left_to_the_endpoint(connect: Connect) -> None:
    async def remember(request: Request) -> Access:
        request.state.user = "ana"
        return Access(everything=True, may_act=True)

    app = FastAPI()
    install(app, Jobs("memory://", access=remember))

    @app.post("/echo")
    async def echo(request: Request, submit: SubmitJob, value: dict[str, int]) -> str:
        await submit(noop)
        return f"{request.state.user} {value}"

    async with connect(app) as client:
        assert (await client.post("/echo", json={"a": 1})).json() == "ana {'a': 1}"


async def test_a_disallowed_method_is_answered_as_before(connect: Connect) -> None:
    async with connect(with_access()) as client:
        assert (await client.put(JOBS, headers=ANA)).status_code == 405


async def test_an_access_with_an_error_of_its_own_lets_nobody_in() -> None:
    def broken() -> Access:
        raise HTTPException(418, "no tea", headers={"X-Tea": "none"})

    app = FastAPI()
    install(app, Jobs("memory://", access=broken))
    with TestClient(app) as client:
        response = client.get(JOBS)
        assert (response.status_code, response.headers["x-tea"]) == (418, "none")
