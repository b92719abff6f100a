"""Tasks over HTTP: listed, executed with checked parameters, enabled and disabled, and made by clients."""

import asyncio
import json
import re
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import Depends, FastAPI, Request
from openapi_spec_validator import validate

from servicekit import Cron, Retry, job_options
from servicekit.api import Jobs, ServiceBuilder, ServiceInfo, install
from servicekit.artifacts import Artifacts
from servicekit.errors import ConfigurationError, InvalidParameters, TaskNotFound
from servicekit.jobs.options import options_of
from servicekit.tasks import Tasks
from tests.tasks.conftest import Serve, connect_to
from tests.tasks.targets import add, add_later, describe, fail, login, tags

TO_THE_END = {"Prefer": "wait=30"}
TASKS = "/api/v1/tasks"


@pytest.fixture
def tasks(tasks: Tasks) -> Tasks:
    for function in (add, add_later, describe, fail, login, tags):
        tasks.task(function)
    return tasks


@pytest.fixture
async def client(tasks: Tasks, serve: Serve) -> AsyncIterator[httpx.AsyncClient]:
    async with serve(tasks) as client:
        yield client


async def execute(client: httpx.AsyncClient, name: str, /, **parameters: object) -> Any:
    answer = await client.post(f"{TASKS}/{name}/$execute", json={"parameters": parameters}, headers=TO_THE_END)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_task_is_executed_as_a_job_of_its_function(client: httpx.AsyncClient) -> None:
    answer = await client.post(f"{TASKS}/add/$execute", json={"parameters": {"a": 2, "b": 3}})
    assert answer.status_code == 202
    job_id = answer.json()["job_id"]
    assert answer.headers["Location"] == f"/api/v1/jobs/{job_id}"
    assert answer.json()["stream_url"] == f"/api/v1/jobs/{job_id}/$stream"
    record = (await client.get(f"/api/v1/jobs/{job_id}?wait=30")).json()
    assert (record["status"], record["name"], record["tags"]) == ("completed", "add", ["task:add"])
    assert (await client.get(f"/api/v1/jobs/{job_id}/$result")).json() == 5
    assert [job["id"] for job in (await client.get("/api/v1/jobs?tag=task:add")).json()] == [job_id]


@pytest.mark.parametrize("name", ["add", "add_later"])
async def test_plain_and_async_functions_get_their_defaults(client: httpx.AsyncClient, name: str) -> None:
    assert (await execute(client, name, a=2))["result"] == 3


async def test_the_function_gets_exactly_the_validated_values(client: httpx.AsyncClient) -> None:
    sent = {"color": "red", "size": "s", "count": "3", "day": "2026-11-28", "address": {"street": "Main"}}
    assert (await execute(client, "describe", **sent, labels=["a"]))["result"] == [
        "Color <Color.RED: 'red'>",
        "str 's'",
        "int 3",
        "date datetime.date(2026, 11, 28)",
        "Address Address(street='Main', number=1)",
        "list ['a']",
        "float 0.5",
        "NoneType None",
    ]


async def test_wrong_parameters_are_answered_before_there_is_a_job(client: httpx.AsyncClient) -> None:
    answer = await client.post(f"{TASKS}/add/$execute", json={"parameters": {"a": "x", "c": 1}})
    assert answer.status_code == 422
    assert {tuple(problem["loc"]) for problem in answer.json()["detail"]} == {("parameters", "a"), ("parameters", "c")}
    assert all({"type", "loc", "msg"} == problem.keys() for problem in answer.json()["detail"])
    assert (await client.get("/api/v1/jobs")).json() == []


async def test_a_secret_is_nowhere_in_what_is_answered(client: httpx.AsyncClient) -> None:
    wrong = await client.post(
        f"{TASKS}/login/$execute", json={"parameters": {"user": 1, "password": ["sesame"], "pin": "ses"}}
    )
    assert wrong.status_code == 422
    assert "ses" not in wrong.text
    answer = await execute(client, "login", user="ada", password="sesame")
    assert answer["result"] == "ada sesame 1234-5678"  # the function gets it
    for path in (TASKS, f"{TASKS}/login", "/api/v1/jobs", f"/api/v1/jobs/{answer['job_id']}", "/openapi.json"):
        text = (await client.get(path)).text
        assert "sesame" not in text, path
        assert "1234-5678" not in text, path


async def test_what_a_function_raises_is_the_error_of_its_job(client: httpx.AsyncClient) -> None:
    assert (await execute(client, "fail", text="no"))["error"] == "ValueError: no"


async def test_a_submission_of_a_task_is_one_like_every_other(client: httpx.AsyncClient) -> None:
    path, body = f"{TASKS}/add/$execute", {"parameters": {"a": 1}}
    first, second = [await client.post(path, json=body, headers={"Idempotency-Key": "k"}) for _ in range(2)]
    assert first.json()["job_id"] == second.json()["job_id"]
    assert (await client.post(path, json={"parameters": {"a": 2}}, headers={"Idempotency-Key": "k"})).status_code == 409
    assert (await client.post(path, json=body, headers={"Sec-Fetch-Site": "cross-site"})).status_code == 403
    assert (await client.get(path)).status_code == 405


async def test_an_unknown_task_is_answered_by_404(client: httpx.AsyncClient) -> None:
    for method, path in (
        ("GET", ""), ("PUT", ""), ("DELETE", ""), ("POST", "/$execute"), ("POST", "/$enable"), ("POST", "/$disable"),
    ):  # fmt: skip
        body = {"task_type": "python", "command": "add"} if method == "PUT" else None
        answer = await client.request(method, f"{TASKS}/nothing{path}", json=body)
        assert (answer.status_code, answer.json()) == (404, {"detail": "Task not found"}), (method, path)


async def test_a_body_that_is_too_large_is_not_read_to_its_end(tmp_path: Path, serve: Serve) -> None:
    tasks = Tasks(tmp_path / "tasks.db")
    tasks.task(fail)
    read = 0

    async def send() -> AsyncIterator[bytes]:
        nonlocal read
        yield b'{"parameters": {"text": "'
        for _ in range(100):
            read += 1
            yield b"x" * 100_000

    async with serve(tasks) as client:
        answer = await client.post(f"{TASKS}/fail/$execute", content=b"x" * 10_000_000)
        assert (answer.status_code, answer.json()) == (
            413,
            {"detail": "The content is larger than it may be: at most 1,048,576 bytes."},
        )
        assert (await client.post(TASKS, content=b"x" * 10_000_000)).status_code == 413
        assert (await client.put(f"{TASKS}/fail", content=b"x" * 10_000_000)).status_code == 413
        assert (await client.post(f"{TASKS}/fail/$execute", content=send())).status_code == 413


async def test_a_body_may_come_in_pieces_that_are_waited_for(client: httpx.AsyncClient) -> None:
    async def send() -> AsyncIterator[bytes]:
        for piece in (b'{"parameters"', b': {"a": 1,', b' "b": 4}}'):
            await asyncio.sleep(0)
            yield piece

    answer = await client.post(f"{TASKS}/add/$execute", content=send(), headers=TO_THE_END)
    assert answer.json()["result"] == 5


async def test_a_dependency_of_the_application_may_read_the_body_before(tasks: Tasks) -> None:
    async def check_signature(request: Request) -> None:
        assert await request.body() == b'{"parameters": {"a": 2}}'

    app = FastAPI(dependencies=[Depends(check_signature)])
    install(app, Jobs(), tasks)
    async with connect_to(app) as client:
        answer = await client.post(f"{TASKS}/add/$execute", content=b'{"parameters": {"a": 2}}', headers=TO_THE_END)
        assert answer.status_code == 200


async def test_a_client_that_goes_while_its_body_is_waited_for_submits_nothing(
    tasks: Tasks, make_app: Callable[[Tasks], FastAPI]
) -> None:
    gone = asyncio.Event()

    async def receive() -> dict[str, object]:
        await gone.wait()
        return {"type": "http.disconnect"}

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    app = make_app(tasks)
    async with connect_to(app) as client:
        path = f"{TASKS}/add/$execute"
        scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": []}
        asyncio.get_running_loop().call_soon(gone.set)
        await app(scope, receive, send)
        assert sent[0]["status"] == 400
        assert (await client.get("/api/v1/jobs")).json() == []


# --- The list


async def test_the_list_has_what_a_client_needs_to_execute(tasks: Tasks, serve: Serve) -> None:
    @tasks.task(
        "limited", run_timeout=timedelta(minutes=1), tags=["demo"], retry=Retry(attempts=2), metadata={"team": "blue"}
    )
    def limited() -> None:
        """Do little."""

    async with serve(tasks) as client:
        listed = (await client.get(TASKS)).json()
        assert [task["name"] for task in listed] == sorted(tasks.by_name)
        (found,) = (task for task in listed if task["name"] == "limited")
        assert found == (await client.get(f"{TASKS}/limited")).json()
    assert found["options"]["run_timeout"] == 60.0
    assert found["options"]["retry"]["attempts"] == 2
    assert found["options"]["metadata"] == {"team": "blue"}
    assert found["tags"] == ["demo", "task:limited"]
    assert (found["description"], found["source"], found["enabled"]) == ("Do little.", "code", True)
    (listed_add,) = (task for task in listed if task["name"] == "add")
    assert listed_add["description"] == "Add two numbers."
    assert listed_add["parameters_schema"]["properties"]["b"]["default"] == 1


async def test_a_disabled_task_is_refused_in_every_process_and_after_a_restart(
    tasks: Tasks, make_app: Callable[[Tasks], FastAPI]
) -> None:
    async with connect_to(make_app(tasks)) as client, connect_to(make_app(tasks)) as other:
        assert (await client.post(f"{TASKS}/add/$disable")).json()["enabled"] is False
        for each in (client, other):
            answer = await each.post(f"{TASKS}/add/$execute", json={"parameters": {"a": 1}})
            assert (answer.status_code, answer.json()) == (409, {"detail": "The task 'add' is disabled."})
        disabled = (await other.get(f"{TASKS}?enabled=false")).json()
        assert [task["name"] for task in disabled] == ["add"]
        assert "add" not in [task["name"] for task in (await other.get(f"{TASKS}?enabled=true")).json()]
    async with connect_to(make_app(tasks)) as client:
        assert (await client.post(f"{TASKS}/add/$execute", json={"parameters": {"a": 1}})).status_code == 409
        await client.post(f"{TASKS}/add/$enable")
        assert (await execute(client, "add", a=1))["result"] == 2


async def test_what_is_wrong_with_the_file_is_a_clear_503(tasks: Tasks) -> None:
    app = ServiceBuilder(info=ServiceInfo(display_name="Any")).with_jobs().with_tasks(tasks).with_health().build()
    async with connect_to(app) as client:
        await client.post(f"{TASKS}/add/$disable")
        assert (await client.get("/health")).json()["checks"]["tasks"]["state"] == "healthy"
        with closing(sqlite3.connect(tasks.path)) as connection:
            connection.execute("PRAGMA user_version = 99")
        for answer in (
            await client.get(TASKS),
            await client.post(f"{TASKS}/add/$execute", json={"parameters": {"a": 1}}),
            await client.post(f"{TASKS}/add/$enable"),
        ):
            assert answer.status_code == 503
            assert "newer servicekit" in answer.json()["detail"]
            assert answer.headers["Retry-After"]
            assert str(tasks.path.parent) not in answer.text
        assert "newer servicekit" in (await client.get("/health")).json()["checks"]["tasks"]["message"]


# --- Templates of clients


async def make(client: httpx.AsyncClient, **template: object) -> httpx.Response:
    return await client.post(TASKS, json=template)


async def test_a_template_names_a_function_and_has_values_for_it(client: httpx.AsyncClient) -> None:
    made = await make(client, task_type="python", command="add", parameters={"a": 40}, tags=["mine"])
    assert made.status_code == 201
    name = made.json()["name"]
    assert made.headers["Location"] == f"{TASKS}/{name}"
    record = (await client.get(f"{TASKS}/{name}")).json()
    assert (record["source"], record["parameters"]) == ("client", {"a": 40})
    assert record["parameters_schema"]["required"] == []
    assert record["parameters_schema"]["properties"]["a"]["default"] == 40

    answer = await execute(client, name, b=2)
    assert answer["result"] == 42
    job = (await client.get(f"/api/v1/jobs/{answer['job_id']}")).json()
    assert (job["name"], job["tags"]) == (name, ["mine", f"task:{name}"])
    artifact = (await client.get(f"/api/v1/artifacts/{job['artifact_id']}")).json()
    assert artifact["data"] == {
        "task": {"name": name, "task_type": "python", "command": "add", "parameters": {"a": 40, "b": 2}},
        "result": 42,
    }


async def test_a_template_is_changed_disabled_and_deleted(client: httpx.AsyncClient) -> None:
    await make(client, name="sum", task_type="python", command="add", parameters={"a": 1, "b": 1})
    changed = await client.put(
        f"{TASKS}/sum", json={"task_type": "python", "command": "add", "parameters": {"a": 2, "b": 2}, "enabled": False}
    )
    assert (changed.status_code, changed.json()["enabled"]) == (200, False)
    assert (await client.post(f"{TASKS}/sum/$execute")).status_code == 409
    await client.post(f"{TASKS}/sum/$enable")
    assert (await execute(client, "sum"))["result"] == 4
    assert (await client.delete(f"{TASKS}/sum")).status_code == 204
    assert (await client.post(f"{TASKS}/sum/$execute")).status_code == 404


@pytest.mark.parametrize(
    ("template", "place"),
    [
        ({"task_type": "python", "command": "nothing"}, ("body", "command")),
        ({"task_type": "python", "command": "add", "parameters": {"a": "x"}}, ("parameters", "a")),
        ({"task_type": "python", "command": "add", "parameters": {"c": 1}}, ("parameters", "c")),
        ({"task_type": "python", "command": "add", "tags": ["a\nb"]}, ("body",)),
        ({"task_type": "python", "command": "fail", "parameters": {"text": "x" * 70_000}}, ("body",)),
        ({"task_type": "other", "command": "add"}, ("body", "task_type")),
        ({"task_type": "python", "command": "add", "name": "a/b"}, ("body", "name")),
        ({"task_type": "python", "command": "add", "schedule": "daily"}, ("body", "schedule")),
        ({"task_type": "python"}, ("body", "command")),
    ],
)
async def test_a_wrong_template_is_refused_when_it_is_made(
    client: httpx.AsyncClient, template: dict[str, Any], place: tuple[str, ...]
) -> None:
    answer = await make(client, **template)
    assert answer.status_code == 422
    assert tuple(answer.json()["detail"][0]["loc"]) == place
    assert (await client.get(f"{TASKS}?enabled=true")).json() == (await client.get(TASKS)).json()


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (r'{"task_type": "python", "command": "\ud800"}', ["body"]),
        (r'{"task_type": "python", "command": "fail", "parameters": {"text": "\ud800"}}', ["body"]),
        (r'{"task_type": "python", "command": "fail", "parameters": {"\ud800": "s3cret"}}', ["body"]),
        ('{"task_type": NaN, "command": "add"}', ["body", "task_type"]),
        ('{"task_type": "python", "command": "add", "parameters": ' + "[" * 5_000, ["body"]),
        ('{"task_type": "python", "command": "login", "parameters": ["s3cret"]}', ["body", "parameters"]),
        ("", ["body"]),
    ],
)
async def test_any_body_that_is_no_template_is_a_422_without_what_was_sent(
    client: httpx.AsyncClient, body: str, place: list[str]
) -> None:
    for answer in (await client.post(TASKS, content=body), await client.put(f"{TASKS}/any", content=body)):
        assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, place)
        assert "s3cret" not in answer.text


async def test_what_the_code_has_cannot_be_changed_by_clients(client: httpx.AsyncClient) -> None:
    template = {"task_type": "python", "command": "add"}
    assert (await make(client, name="add", **template)).status_code == 409
    for answer in (await client.put(f"{TASKS}/add", json=template), await client.delete(f"{TASKS}/add")):
        assert answer.status_code == 403
        assert "part of the service's code" in answer.json()["detail"]
    assert (await execute(client, "add", a=1))["result"] == 2


async def test_a_name_is_taken_once(client: httpx.AsyncClient) -> None:
    template = {"name": "mine", "task_type": "python", "command": "add"}
    assert (await make(client, **template)).status_code == 201
    assert (await make(client, **template)).status_code == 409


async def test_a_command_of_a_client_needs_a_right(client: httpx.AsyncClient) -> None:
    command = {"task_type": "shell", "command": "true"}
    await make(client, name="mine", task_type="python", command="add")
    for answer in (await make(client, **command), await client.put(f"{TASKS}/mine", json=command)):
        assert answer.status_code == 403
        assert "allow_client_commands" in answer.json()["detail"]
    assert (await execute(client, "mine", a=1))["result"] == 2


async def test_a_command_that_was_allowed_before_is_not_run_any_more(
    tmp_path: Path, make_app: Callable[[Tasks], FastAPI]
) -> None:
    path = tmp_path / "tasks.db"
    async with connect_to(make_app(Tasks(path, allow_client_commands=True))) as client:
        assert (await make(client, name="mine", task_type="shell", command="true")).status_code == 201
    async with connect_to(make_app(Tasks(path))) as client:
        assert (await client.post(f"{TASKS}/mine/$execute")).status_code == 403
        (listed,) = (await client.get(TASKS)).json()
        assert "allow_client_commands" in listed["problem"]
        assert (await client.delete(f"{TASKS}/mine")).status_code == 204


async def test_a_template_whose_function_is_gone_says_so(tmp_path: Path, make_app: Callable[[Tasks], FastAPI]) -> None:
    old, new = Tasks(tmp_path / "tasks.db"), Tasks(tmp_path / "tasks.db")
    old.task("old")(add_later)
    async with connect_to(make_app(old)) as client:
        await make(client, name="mine", task_type="python", command="old", parameters={"a": 1})
    async with connect_to(make_app(new)) as client:
        answer = await client.post(f"{TASKS}/mine/$execute")
        assert answer.status_code == 409
        assert "no function of this name" in answer.json()["detail"]
        assert (await client.get(f"{TASKS}/mine")).json()["problem"]


async def test_a_client_that_shows_a_template_does_not_see_its_secrets(client: httpx.AsyncClient) -> None:
    made = await make(
        client, name="mine", task_type="python", command="login", parameters={"user": "ada", "password": "sesame"}
    )
    assert made.json()["parameters"] == {"user": "ada", "password": "**********"}
    assert "sesame" not in (await client.get(TASKS)).text
    answer = await execute(client, "mine")
    assert answer["result"].startswith("ada sesame")
    job = (await client.get(f"/api/v1/jobs/{answer['job_id']}")).json()
    artifact = (await client.get(f"/api/v1/artifacts/{job['artifact_id']}")).json()
    assert artifact["data"]["task"]["parameters"] == {"user": "ada", "password": "**********", "pin": "**********"}


@pytest.mark.parametrize("task_type", ["python", "shell"])
async def test_pages_of_other_sites_change_nothing(client: httpx.AsyncClient, task_type: str) -> None:
    for method, path, body in (
        ("POST", "", {"task_type": task_type, "command": "add"}),
        ("PUT", "/add", {"task_type": task_type, "command": "add"}),
        ("DELETE", "/add", None),
        ("POST", "/add/$enable", None),
        ("POST", "/add/$disable", None),
    ):
        answer = await client.request(method, TASKS + path, json=body, headers={"Sec-Fetch-Site": "cross-site"})
        assert answer.status_code == 403
        assert "another site" in answer.json()["detail"]


# --- With the rest of the service


async def test_a_result_is_saved_if_the_task_asks_for_it(tasks: Tasks, serve: Serve) -> None:
    @tasks.task(artifact=True)
    def report(rows: int) -> dict[str, float]:
        return {"rows": rows, "mean": float("nan")}

    async with serve(tasks) as client:
        answer = await execute(client, "report", rows=3)
        job = (await client.get(f"/api/v1/jobs/{answer['job_id']}")).json()
        artifact = (await client.get(f"/api/v1/artifacts/{job['artifact_id']}")).json()
        other = await execute(client, "add", a=1)
        assert (await client.get(f"/api/v1/jobs/{other['job_id']}")).json()["artifact_id"] is None
    assert answer["result"] == artifact["data"]["result"] == {"rows": 3, "mean": None}
    assert artifact["data"]["task"]["parameters"] == {"rows": 3}
    assert (artifact["kind"], artifact["name"], artifact["job_id"]) == ("task_run", "report", answer["job_id"])


async def test_a_function_is_still_a_function_with_its_options(tasks: Tasks) -> None:
    @tasks.task("named", tags=["demo"], run_timeout=5)
    @job_options(tags=["own"], run_timeout=3, priority=7, name="other")
    def double(number: int) -> int:
        return 2 * number

    assert double(4) == 8
    options = options_of(double)
    assert (options.name, options.tags) == ("named", ("demo", "own", "task:named"))
    assert (options.run_timeout, options.priority) == (5, 7)
    assert tasks.by_name["named"].options == options


async def test_schedules_execute_tasks(tasks: Tasks, tmp_path: Path) -> None:
    tasks.add_command("note", ["echo", "{text}"], tags=["nightly"])
    app = (
        ServiceBuilder(info=ServiceInfo(display_name="Any"))
        .with_feature(tasks.recurring("nightly", Cron("0 3 * * *"), "note", text="good night"))
        .with_feature(tasks.recurring("daily", Cron("0 4 * * *"), "add", a=1).with_options(priority=5))
        .with_schedule("weekly", Cron("0 5 * * 0"), add, a=2)
        .with_tasks(tasks)
        .with_artifacts(Artifacts(tmp_path / "artifacts"))
        .with_jobs()
        .build()
    )
    async with connect_to(app) as client:
        schedules = {each["name"]: each for each in (await client.get("/api/v1/schedules")).json()}
        assert schedules.keys() == {"nightly", "daily", "weekly"}


def test_a_wrong_schedule_is_refused_at_once(tasks: Tasks) -> None:
    with pytest.raises(TaskNotFound):
        tasks.recurring("nightly", Cron("0 3 * * *"), "nothing")
    with pytest.raises(InvalidParameters, match=r"parameters\.a"):
        tasks.recurring("nightly", Cron("0 3 * * *"), "add")


async def test_what_is_missing_is_told_with_the_line_to_add(tasks: Tasks) -> None:
    builder = ServiceBuilder(info=ServiceInfo(display_name="Any")).with_tasks(tasks)
    with pytest.raises(ConfigurationError, match="with_jobs"):
        async with connect_to(builder.build()):
            pass
    tasks.add_command("nothing", ["true"])
    with pytest.raises(ConfigurationError, match="with_artifacts"):
        async with connect_to(builder.with_jobs().build()):
            pass


def test_tasks_are_set_up_once(tasks: Tasks) -> None:
    with pytest.raises(ConfigurationError, match="second time"):
        ServiceBuilder(info=ServiceInfo(display_name="Any")).with_jobs().with_tasks(tasks).with_tasks(tasks).build()


async def test_functions_need_no_artifacts(tasks: Tasks) -> None:
    app = ServiceBuilder(info=ServiceInfo(display_name="Any")).with_jobs().with_tasks(tasks).build()
    async with connect_to(app) as client:
        await make(client, name="mine", task_type="python", command="add", parameters={"a": 1})
        assert (await execute(client, "mine"))["result"] == 2


async def test_one_object_serves_two_applications(tasks: Tasks, make_app: Callable[[Tasks], FastAPI]) -> None:
    first, second = make_app(tasks), make_app(tasks)
    async with connect_to(first) as one, connect_to(second) as two:
        results = await asyncio.gather(execute(one, "add", a=1), execute(two, "add", a=2))
        assert [each["result"] for each in results] == [2, 3]
        assert len((await one.get("/api/v1/jobs")).json()) == 1


async def test_the_document_has_an_operation_for_each_task(tasks: Tasks, make_app: Callable[[Tasks], FastAPI]) -> None:
    tasks.add_command("note", ["echo", "{text}"])
    app = make_app(tasks)
    async with connect_to(app) as client:
        document = (await client.get("/openapi.json")).json()
        assert (await client.get("/openapi.json")).json() == document
    validate(document)
    operation = document["paths"][f"{TASKS}/describe/$execute"]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    assert schema["properties"]["parameters"] == {"$ref": "#/components/schemas/describe-parameters"}
    parameters = document["components"]["schemas"]["describe-parameters"]
    assert parameters["properties"]["color"] == {"$ref": "#/components/schemas/describe-Color"}
    assert "describe-Color" in document["components"]["schemas"]
    assert {"Idempotency-Key", "Prefer"} <= {each["name"] for each in operation["parameters"]}
    assert {"202", "404", "409", "413", "422", "429", "503"} <= operation["responses"].keys()
    text = json.dumps(document)
    assert f"{TASKS}/note/$execute" in text
    kinds = set(re.findall(r'"\$ref": "#/components/schemas/([^"]+)"', text))
    assert text.count('"$ref"') == text.count('"$ref": "#/components/schemas/')
    assert kinds <= document["components"]["schemas"].keys()


async def test_routes_can_be_elsewhere(tmp_path: Path) -> None:
    tasks = Tasks(tmp_path / "tasks.db", prefix="/tools/list", page=None)
    tasks.task(add)
    app = ServiceBuilder(info=ServiceInfo(display_name="Any")).with_jobs(prefix="/jobs").with_tasks(tasks).build()
    async with connect_to(app) as client:
        assert (await client.get("/tools/list/add")).status_code == 200
        assert (await client.get("/tasks")).status_code == 404
    with pytest.raises(ConfigurationError, match="page"):
        ServiceBuilder(info=ServiceInfo(display_name="Any")).with_jobs(prefix="/jobs").with_tasks(
            Tasks(tmp_path / "tasks.db")
        ).build()
