"""Applications that are mounted in one that has jobs."""

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount

from servicekit.api import Jobs, JobSubmitted, SchedulerDependency, SubmitJob, install
from tests.api.conftest import Connect
from tests.fakes import noop

router = APIRouter()


@router.post("/noop", status_code=202)
async def submit_noop(submit: SubmitJob) -> JobSubmitted:
    return await submit(noop)


@router.post("/later", status_code=202)
async def submit_later(submit: SubmitJob) -> JobSubmitted:
    return await submit.with_options(delay=3_600)(noop)


@router.get("/result/{job_id}")
async def get_result(job_id: str, scheduler: SchedulerDependency) -> object:
    return await scheduler.get_result(job_id)


def application() -> FastAPI:
    app = FastAPI()
    app.include_router(router)
    return app


@pytest.mark.parametrize("root_path", ["", "/behind/a/proxy"])
async def test_a_mounted_application_submits_to_the_service_that_it_is_in(root_path: str) -> None:
    outer = FastAPI()
    install(outer, Jobs("memory://", max_pending=1))
    outer.mount("/v1", application())
    outer.mount("/deep", Starlette(routes=[Mount("/er", application())]))
    transport = httpx.ASGITransport(app=outer, root_path=root_path)
    async with (
        outer.router.lifespan_context(outer),
        httpx.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        for prefix in ("/v1", "/deep/er"):
            response = await client.post(f"{root_path}{prefix}/noop", headers={"Prefer": "wait=30"})
            body = response.json()
            job = f"{root_path}/api/v1/jobs/{body['job_id']}"
            assert (response.status_code, body["status"]) == (200, "completed")
            assert (response.headers["location"], body["stream_url"]) == (job, f"{job}/$stream")


async def test_errors_have_the_same_answers_there(connect: Connect) -> None:
    outer = FastAPI()
    install(outer, Jobs("memory://", max_pending=1))
    outer.mount("/v1", application())
    async with connect(outer) as client:
        assert (await client.post("/v1/later")).status_code == 202
        assert (await client.post("/v1/later")).status_code == 429
        missing = await client.get("/v1/result/01JQRS7XK5N8Z3VQ2M4T6W8Y0A")
        assert (missing.status_code, missing.json()) == (404, {"detail": "Job not found"})


async def test_a_mounted_service_with_jobs_of_its_own_keeps_to_them(connect: Connect) -> None:
    inner, outer = application(), FastAPI()
    install(inner, Jobs("memory://"))
    install(outer, Jobs("memory://"))
    outer.mount("/inner", inner)
    async with connect(outer) as client:
        job = (await client.post("/inner/noop")).headers["location"]
        assert job.startswith("/inner/api/v1/jobs/")
        assert (await client.get(job)).status_code == 200
        assert (await client.get("/api/v1/jobs")).json() == []
