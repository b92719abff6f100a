"""The routes that cancel, repeat and delete many jobs at once."""

from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI

from servicekit.api import JobSubmitted, ServiceBuilder, ServiceInfo, SubmitJob
from tests.api.auth_apps import as_user, with_access
from tests.api.conftest import Connect
from tests.fakes import noop

JOBS = "/api/v1/jobs"
NOWHERE = "01JQRS7XK5N8Z3VQ2M4T6W8Y0A"
ACTIONS = ["$cancel", "$retry", "$delete"]
router = APIRouter()


async def fail() -> None:
    raise ValueError("disk full")


@router.post("/noop", status_code=202)
async def submit_noop(submit: SubmitJob) -> JobSubmitted:
    return await submit(noop)


@router.post("/fail", status_code=202)
async def submit_fail(submit: SubmitJob) -> JobSubmitted:
    return await submit.with_options(queue="slow")(fail)


@router.post("/later", status_code=202)
async def submit_later(submit: SubmitJob) -> JobSubmitted:
    return await submit.with_options(delay=3_600)(noop)


def service(url: str = "memory://") -> FastAPI:
    builder = ServiceBuilder(info=ServiceInfo(display_name="Many"))
    return builder.with_jobs(url=url, shutdown_grace=0).include_router(router).build()


async def submit(client: httpx.AsyncClient, path: str, headers: dict[str, str] | None = None) -> str:
    waits = {} if path == "/later" else {"Prefer": "wait=30"}
    response = await client.post(path, headers={**(headers or {}), **waits})
    assert response.is_success, response.text
    return str(response.json()["job_id"])


async def act(client: httpx.AsyncClient, action: str, headers: dict[str, str] | None = None, **params: Any) -> Any:
    response = await client.post(f"{JOBS}/{action}", params=params, headers=headers)
    assert response.status_code == 200, response.text
    return response.json()


async def ids(client: httpx.AsyncClient, headers: dict[str, str] | None = None, **params: Any) -> list[str]:
    response = await client.get(JOBS, params={"limit": 1_000, **params}, headers=headers)
    return [job["id"] for job in response.json()]


def result(done: int, skipped: int = 0, next_cursor: str | None = None) -> dict[str, Any]:
    return {"done": done, "skipped": skipped, "problems": [], "next_cursor": next_cursor}


async def test_a_dry_run_counts_and_the_steps_do_it(connect: Connect, jobs_url: str) -> None:
    async with connect(service(jobs_url)) as client:
        plain = await submit(client, "/noop")
        failed = [await submit(client, "/fail") for _ in range(3)]
        wanted: dict[str, Any] = {"status_filter": "failed", "queue": "slow", "error": "DISK"}
        count = await act(client, "$delete", dry_run=True, **wanted)
        assert count == {"matching": 3, "is_exact": True, "up_to": failed[-1]}
        assert len(await ids(client)) == 4
        later = await submit(client, "/fail")
        first = await act(client, "$delete", limit=2, up_to=count["up_to"], **wanted)
        assert first == result(2, next_cursor=failed[1])
        last = await act(client, "$delete", limit=2, up_to=count["up_to"], cursor=first["next_cursor"], **wanted)
        assert last == result(1)
        assert await ids(client) == [later, plain]


async def test_jobs_are_canceled_and_repeated(connect: Connect, jobs_url: str) -> None:
    async with connect(service(jobs_url)) as client:
        waiting = [await submit(client, "/later") for _ in range(2)]
        await submit(client, "/noop")
        assert await act(client, "$cancel", all=True) == result(2)
        assert await ids(client, status_filter="canceled") == waiting[::-1]
        assert await act(client, "$retry", id=[waiting[0], NOWHERE]) == result(1, skipped=1)
        (repeated, *_) = (await client.get(JOBS)).json()
        assert repeated["retry_of"] == waiting[0]
        assert await act(client, "$retry", id=waiting, status_filter="canceled") == result(1, skipped=1)


@pytest.mark.parametrize("action", ACTIONS)
async def test_nobody_means_all_jobs_by_forgetting_a_parameter(connect: Connect, action: str) -> None:
    async with connect(service()) as client:
        job_id = await submit(client, "/fail")
        for params in (
            {},
            {"limit": "5"},
            {"dry_run": "true"},
            {"up_to": job_id},
            {"all": "false"},
            {"cursor": NOWHERE},
        ):
            response = await client.post(f"{JOBS}/{action}", params=params)
            assert response.status_code == 422, params
            assert response.json()["detail"][0]["loc"] == ["query", "all"]
        assert await ids(client) == [job_id]
        assert (await act(client, action, all=True, dry_run=True))["up_to"] == job_id


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize(
    ("query", "status", "field"),
    [
        ("status=failed&all=true", 422, "status"),
        ("status_filter=failed&quue=slow", 422, "quue"),
        ("status_filter=failed&names=x", 422, "names"),
        ("status_filter=failed&dryrun=true", 422, "dryrun"),
        ("queue=slow&queue=default", 422, "queue"),
        ("status_filter=failed&dry_run=true&dry_run=false", 422, "dry_run"),
        ("all=true&limit=0", 422, "limit"),
        ("all=true&limit=1001", 422, "limit"),
        ("all=perhaps", 422, "all"),
        ("&".join(["id=01JQRS7XK5N8Z3VQ2M4T6W8Y0A"] * 101), 422, "id"),
        ("id=no", 400, None),
        ("all=true&cursor=no", 400, None),
        ("all=true&up_to=no", 400, None),
    ],
)
async def test_what_makes_no_sense_is_refused_by_name(
    connect: Connect, action: str, query: str, status: int, field: str | None
) -> None:
    async with connect(service()) as client:
        job_id = await submit(client, "/fail")
        response = await client.post(f"{JOBS}/{action}?{query}")
        assert response.status_code == status
        if field is not None:
            assert response.json()["detail"][0]["loc"][:2] == ["query", field]
        assert await ids(client) == [job_id]


@pytest.mark.parametrize("query", ["name=%00", "error=%25", "queue=_", "search=%ED%A0%80", "error=" + "x" * 200])
async def test_odd_texts_mean_no_jobs(connect: Connect, jobs_url: str, query: str) -> None:
    async with connect(service(jobs_url)) as client:
        await submit(client, "/fail")
        response = await client.post(f"{JOBS}/$delete?{query}")
        assert (response.status_code, response.json()) == (200, result(0))


async def test_other_parameters_may_be_those_of_the_application(connect: Connect) -> None:
    async with connect(service()) as client:
        await submit(client, "/fail")
        assert await act(client, "$delete", status_filter="failed", token="x", _="1") == result(1)


async def test_the_action_is_no_job(connect: Connect) -> None:
    async with connect(service()) as client:
        for action in ACTIONS:
            assert (await client.get(f"{JOBS}/{action}")).status_code == 400
            assert (await client.delete(f"{JOBS}/{action}")).status_code == 400
            assert (await client.post(f"{JOBS}/{action}/$cancel")).status_code == 400


@pytest.mark.parametrize("action", ACTIONS)
async def test_pages_of_other_sites_may_not(connect: Connect, action: str) -> None:
    async with connect(service()) as client:
        job_id = await submit(client, "/fail")
        response = await client.post(
            f"{JOBS}/{action}",
            params={"all": True},
            headers={"Sec-Fetch-Site": "cross-site", "Origin": "https://x.example"},
        )
        assert response.status_code == 403
        assert await ids(client) == [job_id]


ANA, BEN, ACTOR = map(as_user, ("ana", "ben", "actor"))


async def test_nobody_deletes_the_jobs_of_others_or_learns_of_them(connect: Connect) -> None:
    async with connect(with_access()) as client:
        of_ben = [await submit(client, "/noop", BEN) for _ in range(2)]
        of_ana = await submit(client, "/noop", ANA)
        for action in ACTIONS:
            others = await act(client, action, ANA, id=of_ben)
            assert others == await act(client, action, ANA, id=[NOWHERE, NOWHERE[:-1] + "B"]) == result(0, skipped=2)
            for params in ({"owner": "ben"}, {"owner": "ben", "id": of_ben}, {"owner": "\n"}, {"id": of_ben}):
                count = await act(client, action, ANA, dry_run=True, **params)
                assert (count["matching"], count["is_exact"]) == (0, True)
                assert count["up_to"] not in of_ben
                assert (await act(client, action, ANA, **params))["done"] == 0
        assert await act(client, "$delete", ANA, all=True, dry_run=True) == {
            "matching": 1,
            "is_exact": True,
            "up_to": of_ana,
        }
        assert await act(client, "$delete", ANA, all=True) == result(1)
        assert await ids(client, BEN) == of_ben[::-1]
        assert await act(client, "$delete", ACTOR, owner="ben", id=[of_ben[0], of_ana]) == result(1, skipped=1)
        assert await ids(client, ACTOR) == [of_ben[1]]


async def test_who_may_only_look_is_told_so_whatever_is_asked(connect: Connect) -> None:
    async with connect(with_access()) as client:
        of_ben = await submit(client, "/noop", BEN)
        for user in ("reader", "ana looks"):
            for action in ACTIONS:
                for query in ("", "all=true", "all=true&dry_run=true", f"id={of_ben}", "limit=0", "id=no"):
                    response = await client.post(f"{JOBS}/{action}?{query}", headers=as_user(user))
                    assert response.status_code == 403, query
                    assert "You may look" in response.json()["detail"]
        assert await ids(client, BEN) == [of_ben]
