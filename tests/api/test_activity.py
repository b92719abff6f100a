"""What has become of jobs in the last minutes, over HTTP."""

import asyncio
from datetime import datetime, timedelta

import httpx
import pytest

from tests.api.auth_apps import bearer, with_keys
from tests.api.conftest import Connect
from tests.api.test_queues import service

ACTIVITY = "/api/v1/jobs/$activity"


async def test_the_last_hour_is_told_minute_by_minute(connect: Connect, jobs_url: str) -> None:
    async with connect(service(jobs_url)) as client:
        await client.post("/rest/gpu")
        body = (await client.get(ACTIVITY)).json()
        assert body.keys() == {"from", "to", "step_seconds", "points", "total", "groups", "queues"}
        moments = [datetime.fromisoformat(point["at"]) for point in body["points"]]
        assert moments == [datetime.fromisoformat(body["from"]) + timedelta(minutes=each) for each in range(60)]
        assert body["total"]["submitted"] == sum(point["submitted"] for point in body["points"]) == 1
        assert (body["total"]["per_minute"], body["total"]["failure_share"]) == (0, None)
        (group,), (queue,) = body["groups"], body["queues"]
        assert (group["name"], group["queue"], queue["queue"]) == ("rest", "gpu", "gpu")
        for query, count in (("name=rest&queue=gpu", 1), ("name=rest&queue=cpu", 0), ("minutes=120", 1)):
            assert (await client.get(f"{ACTIVITY}?{query}")).json()["total"]["submitted"] == count


@pytest.mark.parametrize("query", ["minutes=0", "minutes=121", "minutes=x", "name=", "queue=" + 201 * "x"])
async def test_what_makes_no_sense_is_refused(connect: Connect, query: str) -> None:
    async with connect(service("memory://")) as client:
        assert (await client.get(f"{ACTIVITY}?{query}")).status_code == 422


async def count_completed(client: httpx.AsyncClient, name: str) -> int:
    """A job's end can be seen a moment before it is counted."""
    while True:
        total = (await client.get(ACTIVITY, headers=bearer(name))).json()["total"]
        if total["completed"] == total["submitted"]:
            return int(total["completed"])
        await asyncio.sleep(0.01)


async def test_who_sees_one_owner_learns_of_no_other(connect: Connect) -> None:
    async with connect(with_keys()) as client:
        for name in ("ana", "ana", "admin"):
            await client.post("/noop", headers=bearer(name))
        counts = {name: await count_completed(client, name) for name in ("ana", "ben", "admin", "reader")}
        assert counts == {"ana": 2, "ben": 0, "admin": 3, "reader": 3}
        assert (await client.get(ACTIVITY)).status_code == 401
