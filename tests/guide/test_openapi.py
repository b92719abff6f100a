"""What Swagger UI at /docs shows."""

import re
from typing import Any

import httpx
import pytest
from ulid import ULID

from tests.service import Service


@pytest.fixture(scope="module")
def document(service: Service) -> dict[str, Any]:
    loaded: dict[str, Any] = httpx.get(f"{service.url}/openapi.json").json()
    return loaded


def operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """The operations of the job routes."""
    return {
        (method, path.removeprefix("/api/v1/jobs")): operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if path.startswith("/api/v1/jobs")
    }


def test_swagger_ui_is_served(service: Service) -> None:
    page = httpx.get(f"{service.url}/docs")
    assert page.headers["Content-Type"].startswith("text/html")
    assert "/openapi.json" in page.text
    assert "My Service" in page.text


def test_the_guides_routes_are_there_and_submitting_is_not(document: dict[str, Any]) -> None:
    assert set(operations(document)) == {
        ("get", ""),
        ("get", "/$calls"),
        ("get", "/$stats"),
        ("get", "/$activity"),
        ("get", "/$stream"),
        ("get", "/$suggestions"),
        ("post", "/$cancel"),
        ("post", "/$retry"),
        ("post", "/$delete"),
        ("get", "/{job_id}"),
        ("get", "/{job_id}/$logs"),
        ("get", "/{job_id}/$result"),
        ("get", "/{job_id}/$stream"),
        ("post", "/{job_id}/$cancel"),
        ("post", "/{job_id}/$retry"),
        ("delete", "/{job_id}"),
    }


def test_each_operation_says_what_it_does_and_answers(document: dict[str, Any]) -> None:
    for (method, path), operation in operations(document).items():
        assert operation["summary"]
        assert operation["description"]
        parameters = operation.get("parameters", [])
        assert all(parameter["description"] for parameter in parameters if parameter["in"] != "path")
        expected = {"400", "404"} if "{" in path else set() if path else {"400", "422"}
        success = "204" if method == "delete" else "202" if path.endswith("}/$retry") else "200"
        assert expected | {success} <= operation["responses"].keys()


def test_errors_are_shown_with_the_guides_texts(document: dict[str, Any]) -> None:
    responses = operations(document)["get", "/{job_id}"]["responses"]
    assert responses["400"]["content"]["application/json"]["example"] == {"detail": "Invalid job ID format"}
    assert responses["404"]["content"]["application/json"]["example"] == {"detail": "Job not found"}


def test_the_stream_is_shown_as_one(document: dict[str, Any]) -> None:
    operation = operations(document)["get", "/{job_id}/$stream"]
    assert set(operation["responses"]["200"]["content"]) == {"text/event-stream"}
    schema = operation["responses"]["200"]["content"]["text/event-stream"]["schema"]
    assert "#/components/schemas/JobRecord" in references(schema)  # of the events: generated clients type them so
    (poll_interval,) = (parameter for parameter in operation["parameters"] if parameter["name"] == "poll_interval")
    assert poll_interval["schema"]["default"] == 0.5


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    found = list(references(document))
    assert "#/components/schemas/JobRecord" in found
    for reference in found:
        node = document
        for key in reference.removeprefix("#/").split("/"):
            node = node[key]


def test_operations_have_names_that_generated_clients_can_show(document: dict[str, Any]) -> None:
    names = {operation["operationId"] for operation in operations(document).values()}
    assert names == {
        "listJobs", "listCalls", "countJobs", "getActivity", "streamJobs", "getJob", "getJobLog", "getJobResult",
        "streamJob", "cancelJob", "retryJob", "deleteJob", "cancelJobs", "retryJobs", "deleteJobs",
        "suggestValues",
    }  # fmt: skip


def test_the_services_own_endpoints_come_first(document: dict[str, Any]) -> None:
    is_ours = [
        path.startswith(("/api/v1/jobs", "/api/v1/queues", "/api/v1/schedules", "/api/v1/workers"))
        for path in document["paths"]
    ]
    assert is_ours == sorted(is_ours)
    assert True in is_ours
    assert False in is_ours


def test_every_tag_is_described(document: dict[str, Any]) -> None:
    described = {tag["name"] for tag in document["tags"] if tag["description"]}
    assert described >= {"jobs", "queues", "schedules", "workers"}


def test_ids_and_cursors_have_a_pattern_that_ids_fit(document: dict[str, Any]) -> None:
    job = operations(document)["get", "/{job_id}"]["parameters"]
    jobs = operations(document)["get", ""]["parameters"]
    for name, parameters in (("job_id", job), ("cursor", jobs)):
        (parameter,) = (each for each in parameters if each["name"] == name)
        pattern = re.compile(parameter["schema"]["pattern"])
        assert pattern.search(str(ULID()))
        assert not pattern.search("not-a-ulid")


def references(node: object) -> list[str]:
    """All `$ref`s within a part of the document."""
    if isinstance(node, list):
        return [reference for part in node for reference in references(part)]
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + references(list(node.values()))
    return []


def test_every_route_tells_when_it_is_refused_for_a_while_and_what_an_id_is(document: dict[str, Any]) -> None:
    routes = [
        (path, operation)
        for path, item in document["paths"].items()
        for operation in item.values()
        if {"jobs", "queues", "schedules", "workers"} & set(operation.get("tags", ()))
    ]
    assert len(routes) > 10
    for path, operation in routes:
        assert ("503" in operation["responses"]) == (not path.endswith("/$stream")), path
        for parameter in operation.get("parameters", ()):
            if parameter["name"] in ("job_id", "id", "cursor", "parent", "up_to"):
                assert "pattern" in str(parameter["schema"]), (path, parameter["name"])
