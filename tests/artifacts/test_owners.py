"""Whose artifacts they are: what clients of other owners see of them, and do with them."""

import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from servicekit import current_job, job_options
from servicekit.api import JobSubmitted, ServiceBuilder, ServiceInfo, SubmitJob
from servicekit.artifacts import Artifacts, Hierarchy
from servicekit.artifacts.record import ArtifactFilter
from servicekit.artifacts.sqlite import reads
from servicekit.artifacts.sqlite.database import connect as connect_index
from servicekit.artifacts.sqlite.index import SqliteIndex
from servicekit.testing.artifacts.index import add, new
from tests.api.auth_apps import as_user, get_access
from tests.artifacts.served import URL, connect

NOWHERE = "01JQRS7XK5N8Z3VQ2M4T6W8Y0A"
ANA, BEN, EVE, LOOKER = as_user("ana"), as_user("ben"), as_user("admin"), as_user("ana looks")


@job_options(runner="process")
def save_in_a_process(folder: str) -> str:
    return Artifacts.at(folder).save(b"saved", kind="result").id


def save_here(folder: str) -> str:
    return Artifacts.at(folder).save({"saved": True}, kind="result").id


def keep_promise(folder: str) -> None:
    Artifacts.at(folder).save({"kept": True}, id=current_job().id)


async def break_promise() -> None:
    raise ValueError("secret of ana")


def served(artifacts: Artifacts) -> FastAPI:
    builder = ServiceBuilder(info=ServiceInfo(display_name="Owners"))
    app = builder.with_jobs(url="memory://", shutdown_grace=0, access=get_access).with_artifacts(artifacts).build()

    @app.post("/save", status_code=202)
    async def start(submit: SubmitJob, in_process: bool = False) -> JobSubmitted:
        return await submit(save_in_a_process if in_process else save_here, artifacts.address)

    @app.post("/promise", status_code=202)
    async def promise(submit: SubmitJob, is_kept: bool) -> JobSubmitted:
        submitter = submit.with_options(metadata={"artifact": "promised"})
        return await (submitter(keep_promise, artifacts.address) if is_kept else submitter(break_promise))

    return app


@pytest.fixture
def artifacts(tmp_path: Path) -> Iterator[Artifacts]:
    made = Artifacts(tmp_path / "artifacts", hierarchy=Hierarchy("ml", ["data", "model"]))
    yield made
    made.close()


async def upload(client: httpx.AsyncClient, headers: dict[str, str], **fields: object) -> str:
    response = await client.post(URL, json={"data": {"x": 1}, **fields}, headers=headers)
    assert response.status_code == 201, response.text
    return str(response.json()["id"])


async def list_ids(client: httpx.AsyncClient, headers: dict[str, str], query: str = "") -> list[str]:
    response = await client.get(f"{URL}{query}", headers=headers)
    assert response.status_code == 200, response.text
    return [each["id"] for each in response.json()]


def one_routes(artifact_id: str) -> list[tuple[str, str]]:
    reads = ["", "/$expand", "/$metadata", "/$tree", "/$ancestors", "/$download"]
    routes = [("GET", f"{URL}/{artifact_id}{part}") for part in reads]
    routes += [("HEAD", f"{URL}/{artifact_id}"), ("HEAD", f"{URL}/{artifact_id}/$download")]
    routes += [("GET", f"{URL}/{artifact_id}/$tree?cursor=0-1"), ("GET", f"{URL}/{artifact_id}/$tree?cursor=x")]
    routes += [("PUT", f"{URL}/{artifact_id}"), ("PATCH", f"{URL}/{artifact_id}")]
    return [*routes, ("DELETE", f"{URL}/{artifact_id}"), ("DELETE", f"{URL}/{artifact_id}?recursive=true")]


async def test_an_artifact_of_another_is_answered_as_one_that_does_not_exist(artifacts: Artifacts) -> None:
    async with connect(served(artifacts)) as client:
        of_ana = await upload(client, ANA)
        of_nobody = (await artifacts.aio.save(b"x" * 100_000)).id
        for artifact_id in (of_ana, of_nobody):
            for (method, others), (_, nobodys) in zip(one_routes(artifact_id), one_routes(NOWHERE), strict=True):
                for more in ({}, {"Range": "bytes=0-1"}, {"If-None-Match": "*"}):
                    answers = [await client.request(method, url, headers={**BEN, **more}) for url in (others, nobodys)]
                    assert [each.status_code for each in answers] == [404, 404], (method, others)
                    assert answers[0].content == answers[1].content
                    assert answers[0].headers == answers[1].headers
        assert [(await client.get(f"{URL}/{each}", headers=EVE)).status_code for each in (of_ana, of_nobody)] == [
            200
        ] * 2
        assert (await client.get(f"{URL}/{of_ana}", headers=ANA)).json()["owner"] == "ana"


async def test_lists_and_counts_are_those_of_the_caller(artifacts: Artifacts) -> None:
    async with connect(served(artifacts)) as client:
        mine = [await upload(client, ANA, tags=["t"]) for _ in range(3)]
        others = [await upload(client, BEN, tags=["t"]), (await artifacts.aio.save({"x": 1}, tags=["t"])).id]
        assert await list_ids(client, ANA) == mine[::-1]
        assert await list_ids(client, ANA, "?tag=t&owner=ana") == mine[::-1]
        assert await list_ids(client, ANA, "?owner=ben") == []
        assert await list_ids(client, EVE) == [*others[::-1], *mine[::-1]]
        assert await list_ids(client, EVE, "?owner=ben") == others[:1]
        page = await client.get(f"{URL}?limit=2", headers=ANA)
        rest = await client.get(page.links["next"]["url"], headers=ANA)
        assert [each["id"] for each in page.json() + rest.json()] == mine[::-1]
        assert "next" not in rest.links
        counts = [(await client.get(f"{URL}/$stats", headers=each)).json()["count"] for each in (ANA, BEN, EVE)]
        assert counts == [3, 1, 5]


async def test_nothing_is_sent_below_what_is_anothers(artifacts: Artifacts) -> None:
    async with connect(served(artifacts)) as client:
        parent = await upload(client, ANA, kind="data")
        form = {"Content-Type": "multipart/form-data; boundary=b"}
        for kind in ("data", "model"):  # the hierarchy would tell the kind of the parent
            answers = []
            for parent_id in (parent, NOWHERE):
                query = f"?parent_id={parent_id}&kind={kind}"
                body = '--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nx\r\n--b--\r\n'
                answers.append(
                    [
                        await client.post(URL, json={"data": 1, "kind": kind, "parent_id": parent_id}, headers=BEN),
                        await client.post(f"{URL}{query}", content=b"x", headers=BEN),
                        await client.post(f"{URL}/$upload{query}", content=b"x", headers=BEN),
                        await client.post(f"{URL}{query}", content=body.encode(), headers={**BEN, **form}),
                    ]
                )
            for others, nobodys in zip(*answers, strict=True):
                assert (others.status_code, nobodys.status_code) == (404, 404), others.text
                assert (others.content, others.headers) == (nobodys.content, nobodys.headers)
        assert await list_ids(client, EVE) == [parent]
        assert await list_ids(client, BEN, f"?parent={parent}") == []
        child = await upload(client, ANA, kind="model", parent_id=parent)
        assert await list_ids(client, ANA, f"?parent={parent}") == [child]


async def test_what_stands_among_those_of_others_is_not_led_to_and_does_not_lead_to_them(artifacts: Artifacts) -> None:
    async with connect(served(artifacts)) as client:
        root = await upload(client, ANA)
        others = await upload(client, EVE, parent_id=root)
        below = (await artifacts.aio.save(1, parent=others, owner="ana")).id
        tree = (await client.get(f"{URL}/{root}/$tree", headers=ANA)).json()
        assert (tree["id"], tree["children"]) == (root, [])
        above = (await client.get(f"{URL}/{below}/$ancestors", headers=ANA)).json()
        assert [each["id"] for each in above] == [below]
        whole = (await client.get(f"{URL}/{root}/$tree", headers=EVE)).json()
        assert whole["children"][0]["children"][0]["id"] == below
        for query in ("", "?recursive=true"):
            refused = await client.delete(f"{URL}/{root}{query}", headers=ANA)
            assert refused.status_code == 409
            assert others not in refused.text
        assert (await client.delete(f"{URL}/{below}", headers=ANA)).status_code == 204
        assert (await client.delete(f"{URL}/{root}?recursive=true", headers=EVE)).status_code == 204
        assert await list_ids(client, EVE) == []


async def test_who_only_looks_changes_nothing(artifacts: Artifacts) -> None:
    async with connect(served(artifacts)) as client:
        own, others = await upload(client, ANA), await upload(client, BEN)
        for method, url in one_routes(own):
            response = await client.request(method, url, headers=LOOKER)
            is_refused = method in ("PUT", "PATCH", "DELETE")
            assert (response.status_code == 403) == is_refused, (method, url, response.text)
        assert (await client.delete(f"{URL}/{others}", headers=LOOKER)).status_code == 404
        for path in ("", "/$upload"):
            assert (await client.post(f"{URL}{path}", content=b"x", headers=LOOKER)).status_code == 403
        assert sorted(await list_ids(client, EVE)) == sorted([own, others])


@pytest.mark.parametrize("in_process", [False, True])
async def test_what_a_job_saves_belongs_to_the_owner_of_the_job(artifacts: Artifacts, in_process: bool) -> None:
    async with connect(served(artifacts)) as client:
        query = f"/save?in_process={str(in_process).lower()}"
        job = (await client.post(query, headers={**ANA, "Prefer": "wait=50"})).json()
        assert job["status"] == "completed"
        (artifact_id,) = await list_ids(client, ANA, f"?job={job['job_id']}")
        record = (await client.get(f"{URL}/{artifact_id}", headers=ANA)).json()
        assert (record["owner"], record["origin"]) == ("ana", "job")
        assert await list_ids(client, BEN, f"?job={job['job_id']}") == []
        assert (await client.get(f"{URL}/{artifact_id}/$download", headers=BEN)).status_code == 404


@pytest.mark.parametrize("is_kept", [True, False])
async def test_a_promise_is_told_to_its_owner_alone(artifacts: Artifacts, is_kept: bool) -> None:
    async with connect(served(artifacts)) as client:
        query = f"/promise?is_kept={str(is_kept).lower()}"
        job_id = (await client.post(query, headers={**ANA, "Prefer": "wait=50"})).json()["job_id"]
        own = await client.get(f"{URL}/{job_id}", headers=ANA)
        assert own.status_code == (200 if is_kept else 404)
        assert is_kept or "secret of ana" in own.text
        others, nobodys = [await client.get(f"{URL}/{each}", headers=BEN) for each in (job_id, NOWHERE)]
        assert (others.status_code, others.content, others.headers) == (404, nobodys.content, nobodys.headers)


async def test_a_promise_that_is_open_is_told_to_its_owner_alone(artifacts: Artifacts) -> None:
    app = served(artifacts)
    begin = asyncio.Event()

    async def wait() -> None:
        await begin.wait()

    @app.post("/wait", status_code=202)
    async def submit_wait(submit: SubmitJob) -> JobSubmitted:
        return await submit.with_options(metadata={"artifact": "promised"})(wait)

    async with connect(app) as client:
        job_id = (await client.post("/wait", headers=ANA)).json()["job_id"]
        assert (await client.get(f"{URL}/{job_id}", headers=ANA)).status_code == 409
        assert (await client.get(f"{URL}/{job_id}", headers=BEN)).status_code == 404
        begin.set()


def test_what_others_have_costs_an_owner_nothing(tmp_path: Path) -> None:
    index = SqliteIndex(tmp_path)
    with closing(connect_index(tmp_path / "index.db")) as connection:

        def fill(owner: str, count: int) -> None:
            for _ in range(count):
                add(index, new(b"same", owner=owner, kind="report", tags=("nightly",)))

        def count_steps() -> int:
            steps = 0

            def count() -> int:
                nonlocal steps
                steps += 1
                return 0

            connection.set_progress_handler(count, 1)
            for given in ({}, {"kind": "report"}, {"tag": "nightly"}):
                assert len(reads.list_page(connection, ArtifactFilter(owner="ana", **given), 10, None).artifacts) == 3
            assert reads.get_stats(connection, "ana").count == 3
            connection.set_progress_handler(None, 1)
            return steps

        fill("ana", 3)
        before = count_steps()
        fill("ben", 100)
        assert count_steps() < 1.5 * before
    index.close()
