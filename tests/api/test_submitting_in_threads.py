"""Submitting from `def` endpoints, and endpoints that insert a row of their own before they submit."""

import asyncio
import threading

import pytest
from fastapi import FastAPI

from servicekit import IdempotencyConflict
from servicekit.api import JobSubmitted, ServiceBuilder, ServiceInfo, SubmitJob, SubmitJobSync
from tests.api.conftest import Connect

JOBS = "/api/v1/jobs"
KEY = {"Idempotency-Key": "k"}


async def work(number: int) -> int:
    return number


class Orders:
    """A table of orders, each with a number of its own."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self._count = 0
        self._lock = threading.Lock()

    def insert(self) -> int:
        with self._lock:
            self._count += 1
            self.rows.append(self._count)
            return self._count


def service(url: str) -> FastAPI:
    app = ServiceBuilder(info=ServiceInfo(display_name="Test")).with_jobs(url=url, shutdown_grace=0).build()
    add_orders(app)

    @app.post("/sync", status_code=202)
    def submit_sync(number: int, submit: SubmitJobSync) -> JobSubmitted:
        return submit.with_options(name="sync", metadata={"a": 1})(work, number)

    @app.post("/thread", status_code=202)
    def submit_in_another_thread(number: int, submit: SubmitJobSync) -> JobSubmitted:
        answers: list[JobSubmitted] = []
        thread = threading.Thread(target=lambda: answers.append(submit(work, number)))
        thread.start()
        thread.join()
        return answers[0]

    @app.post("/mistake", status_code=202)
    def submit_what_does_not_fit(submit: SubmitJobSync) -> JobSubmitted:
        return submit(work, "seven")  # type: ignore[call-overload, no-any-return]

    @app.post("/blocking", status_code=202)
    async def submit_on_the_event_loop(submit: SubmitJobSync) -> JobSubmitted:
        return submit(work, 1)

    return app


def add_orders(app: FastAPI) -> None:
    orders, both = Orders(), threading.Barrier(2)
    app.state.orders = orders

    @app.post("/orders/async", status_code=202)
    async def order_async(submit: SubmitJob) -> JobSubmitted:
        earlier = await submit.earlier()
        return earlier if earlier is not None else await submit(work, orders.insert())

    @app.post("/orders/sync", status_code=202)
    def order_sync(submit: SubmitJobSync) -> JobSubmitted:
        earlier = submit.earlier()
        return earlier if earlier is not None else submit(work, orders.insert())

    @app.post("/orders/racing", status_code=202)
    def order_at_once(submit: SubmitJobSync) -> JobSubmitted:
        assert submit.earlier() is None
        both.wait(30)
        number = orders.insert()
        try:
            return submit(work, number)
        except IdempotencyConflict:
            orders.rows.remove(number)
            earlier = submit.earlier()
            assert earlier is not None
            return earlier


@pytest.mark.parametrize("path", ["/sync", "/thread"])
async def test_a_plain_endpoint_submits(connect: Connect, jobs_url: str, path: str) -> None:
    async with connect(service(jobs_url)) as client:
        response = await client.post(path, params={"number": 7})
        job_id = response.json()["job_id"]
        assert (response.status_code, response.headers["location"]) == (202, f"{JOBS}/{job_id}")
        record = (await client.get(f"{JOBS}/{job_id}?wait=30")).json()
        assert (record["status"], record["name"]) == ("completed", "sync" if path == "/sync" else "work")
        assert (await client.get(f"{JOBS}/{job_id}/$result")).json() == 7


async def test_a_plain_endpoint_heeds_the_headers(connect: Connect, jobs_url: str) -> None:
    async with connect(service(jobs_url)) as client:
        first, second = [await client.post("/sync?number=1", headers=KEY) for _ in range(2)]
        assert first.json() == second.json()
        assert (await client.post("/sync?number=2", headers=KEY)).status_code == 409
        waited = await client.post("/sync?number=3", headers={"Prefer": "wait=30"})
        assert (waited.status_code, waited.json()["result"]) == (200, 3)
        assert waited.headers["preference-applied"] == "wait=30"
        assert (await client.post("/sync?number=1", headers={"Idempotency-Key": "x" * 201})).status_code == 422
        assert (await client.post("/mistake")).status_code == 422


async def test_more_endpoints_wait_than_there_are_threads(connect: Connect) -> None:
    async with connect(service("memory://")) as client:
        requests = [client.post(f"/sync?number={number}", headers={"Prefer": "wait=30"}) for number in range(100)]
        responses = await asyncio.gather(*requests)
    assert [response.json()["result"] for response in responses] == list(range(100))


async def test_on_the_event_loop_it_says_what_to_use(connect: Connect) -> None:
    async with connect(service("memory://")) as client:
        with pytest.raises(RuntimeError, match="SubmitJobSync would block the event loop: use `SubmitJob`"):
            await client.post("/blocking")


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_an_order_is_inserted_once_for_each_key(connect: Connect, jobs_url: str, kind: str) -> None:
    app = service(jobs_url)
    async with connect(app) as client:
        first, second = [await client.post(f"/orders/{kind}", headers=KEY) for _ in range(2)]
        assert (first.status_code, second.status_code) == (202, 202)
        assert first.json() == second.json()
        assert first.headers["location"] == second.headers["location"]
        assert app.state.orders.rows == [1]
        waited = await client.post(f"/orders/{kind}", headers={**KEY, "Prefer": "wait=30"})
        assert (waited.status_code, waited.json()["result"]) == (200, 1)
        for headers in ({}, {}, {"Idempotency-Key": "another"}):
            await client.post(f"/orders/{kind}", headers=headers)
        assert app.state.orders.rows == [1, 2, 3, 4]


async def test_of_two_orders_at_once_one_is_kept(connect: Connect, jobs_url: str) -> None:
    app = service(jobs_url)
    async with connect(app) as client:
        first, second = await asyncio.gather(*(client.post("/orders/racing", headers=KEY) for _ in range(2)))
        assert (first.status_code, second.status_code) == (202, 202)
        assert first.json() == second.json()
        assert len(app.state.orders.rows) == 1
        assert len((await client.get(JOBS)).json()) == 1


async def test_openapi_tells_of_both_headers(connect: Connect) -> None:
    async with connect(service("memory://")) as client:
        document = (await client.get("/openapi.json")).json()
    operation = document["paths"]["/sync"]["post"]
    assert {"Idempotency-Key", "Prefer"} <= {parameter["name"] for parameter in operation["parameters"]}
