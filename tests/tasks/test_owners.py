"""Who may look at tasks, execute and change them, and whose their jobs are."""

from pathlib import Path

from servicekit.api import ServiceBuilder, ServiceInfo
from servicekit.artifacts import Artifacts
from servicekit.tasks import Tasks
from tests.api.auth_apps import as_user, get_access
from tests.api.conftest import connect_to
from tests.tasks.targets import add

ANA, BEN, EVE, LOOKER = as_user("ana"), as_user("ben"), as_user("admin"), as_user("ana looks")
TASKS = "/api/v1/tasks"


async def test_tasks_are_everybodys_and_what_they_make_is_the_callers(tmp_path: Path) -> None:
    tasks = Tasks(tmp_path / "tasks.db")
    tasks.task(artifact=True)(add)
    app = (
        ServiceBuilder(info=ServiceInfo(display_name="Owners"))
        .with_jobs(url="memory://", shutdown_grace=0, access=get_access)
        .with_artifacts(Artifacts(tmp_path / "artifacts"))
        .with_tasks(tasks)
        .build()
    )
    body = {"parameters": {"a": 2}}
    async with connect_to(app) as client:
        for caller in (ANA, BEN, LOOKER, EVE):
            assert [each["name"] for each in (await client.get(TASKS, headers=caller)).json()] == ["add"]
            assert (await client.get(f"{TASKS}/add", headers=caller)).json()["name"] == "add"
        done = await client.post(f"{TASKS}/add/$execute", json=body, headers={**ANA, "Prefer": "wait=50"})
        assert (done.status_code, done.json()["result"]) == (200, 3)
        record = (await client.get(f"/api/v1/jobs/{done.json()['job_id']}", headers=ANA)).json()
        assert record["owner"] == "ana"
        artifact = f"/api/v1/artifacts/{record['artifact_id']}"
        assert (await client.get(artifact, headers=ANA)).json()["owner"] == "ana"
        assert (await client.get(artifact, headers=BEN)).status_code == 404
        assert (await client.post(f"{TASKS}/add/$execute", json=body, headers=LOOKER)).status_code == 403
        template = {"name": "ten", "task_type": "python", "command": "add", "parameters": {"b": 10}}
        for method, path in (
            ("POST", ""), ("PUT", "/ten"), ("DELETE", "/ten"), ("POST", "/add/$disable"), ("POST", "/add/$enable"),
        ):  # fmt: skip
            refused = await client.request(method, f"{TASKS}{path}", json=template, headers=ANA)
            assert refused.status_code == 403, (method, path)
        assert (await client.post(f"{TASKS}/add/$disable", headers=EVE)).json()["enabled"] is False
        assert (await client.post(f"{TASKS}/add/$execute", json=body, headers=ANA)).status_code == 409
