"""Endpoints that return a call of ours instead of awaiting it."""

import pytest
from fastapi import FastAPI
from fastapi.exceptions import ResponseValidationError

from servicekit.api import JobSubmitted, SchedulerDependency, ServiceBuilder, ServiceInfo, SubmitJob
from servicekit.errors import NotAwaited
from tests.api.conftest import Connect
from tests.fakes import noop


def create_app() -> FastAPI:
    app = ServiceBuilder(info=ServiceInfo(display_name="Test")).with_jobs(shutdown_grace=0).build()

    @app.post("/forgotten", status_code=202)
    async def submit_and_forget(submit: SubmitJob) -> JobSubmitted:
        return submit(noop)  # type: ignore[return-value]

    @app.post("/plain", status_code=202)
    def submit_in_plain_function(submit: SubmitJob) -> JobSubmitted:
        return submit(noop)  # type: ignore[return-value]

    @app.post("/nested")
    async def add_and_forget(scheduler: SchedulerDependency) -> dict[str, str]:
        return {"id": scheduler.add_job(noop)}  # type: ignore[dict-item]

    @app.post("/other")
    async def answer_otherwise() -> dict[str, int]:
        return {"id": "none"}  # type: ignore[dict-item]

    return app


@pytest.mark.parametrize(
    ("path", "call"),
    [("/forgotten", "JobSubmitter.__call__"), ("/plain", "JobSubmitter.__call__"), ("/nested", "Scheduler.add_job")],
)
async def test_the_error_says_that_await_is_missing(connect: Connect, path: str, call: str) -> None:
    async with connect(create_app()) as client:
        with pytest.raises(NotAwaited, match="Write `return await submit") as caught:
            await client.post(path)
        assert (caught.value.endpoint, caught.value.call) == (f"POST {path}", call)
        assert (await client.get("/api/v1/jobs")).json() == []


async def test_another_wrong_response_is_none_of_our_business(connect: Connect) -> None:
    async with connect(create_app()) as client:
        with pytest.raises(ResponseValidationError):
            await client.post("/other")
