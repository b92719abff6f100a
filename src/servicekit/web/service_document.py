"""What the page asks first: where everything is, and what the caller may do. And, for those who have no jobs yet, how
jobs are submitted to this service.
"""

from collections.abc import Iterator
from typing import Any, Final

from fastapi import Request
from pydantic import BaseModel

from servicekit.api.admission import find_access
from servicekit.api.openapi import Document, is_ours
from servicekit.api.state import ServiceState, find_service, sibling
from servicekit.api.submit import find_schema

_NO_TITLE: Final = "FastAPI"  # what FastAPI calls an application that has no name


class Paths(BaseModel):
    """Where the routes are, relative to the page; `null` for what the service does not have."""

    jobs: str
    queues: str
    schedules: str
    workers: str
    tasks: str | None
    artifacts: str | None
    docs: str | None


class CallerAccess(BaseModel):
    """What the caller sees, and whether it may act."""

    owner: str | None
    everything: bool
    may_act: bool


class Features(BaseModel):
    """What the service shows."""

    logs: bool
    tracebacks: bool
    has_tasks: bool


class ServiceDescription(BaseModel):
    """The service, as the page needs to know it."""

    title: str
    version: str
    dashboard_version: str
    summary: str | None
    paths: Paths
    access: CallerAccess
    features: Features


class Submission(BaseModel):
    """An endpoint that submits a job, with an example of what it takes."""

    method: str
    path: str
    summary: str
    query: dict[str, Any]
    body: Any = None


class ServiceDocument:
    """The two documents of one dashboard, which is at `path`. `version`: that of its files."""

    def __init__(self, path: str, version: str) -> None:
        self._up = "../" * path.count("/")
        self._version = version

    async def describe(self, request: Request) -> ServiceDescription:
        app, state, access = request.app, find_service(request), find_access(request)
        return ServiceDescription(
            title="Jobs" if app.title == _NO_TITLE else app.title,
            version=app.version,
            dashboard_version=self._version,
            summary=app.summary,
            paths=self._find_paths(state, app.docs_url),
            access=CallerAccess(owner=access.owner, everything=access.everything, may_act=access.may_act),
            features=Features(
                logs=state.expose_logs, tracebacks=state.expose_tracebacks, has_tasks="tasks" in state.places
            ),
        )

    async def list_submissions(self, request: Request) -> list[Submission]:
        """The endpoints that submit jobs, by their paths relative to the page. Those of servicekit are not told."""
        ours = {route.path for route in request.app.routes if is_ours(route)}
        document: Document = request.app.openapi()
        return [
            _describe(document, method, path, operation, self._relative(path))
            for path, operations in document.get("paths", {}).items()
            for method, operation in operations.items()
            if path not in ours and find_schema(operation) is not None
        ]

    def _find_paths(self, state: ServiceState, docs: str | None) -> Paths:
        def beside(name: str) -> str:
            return self._relative(sibling(state.jobs_prefix, name))

        return Paths(
            jobs=self._relative(state.jobs_prefix),
            queues=beside("queues"),
            schedules=beside("schedules"),
            workers=beside("workers"),
            tasks=self._find_relative(state.places.get("tasks")),
            artifacts=self._find_relative(state.places.get("artifacts")),
            docs=self._find_relative(docs),
        )

    def _find_relative(self, path: str | None) -> str | None:
        return None if path is None else self._relative(path)

    def _relative(self, path: str) -> str:
        return f"{self._up}{path.removeprefix('/')}"


def _describe(document: Document, method: str, path: str, operation: dict[str, Any], place: str) -> Submission:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    return Submission(
        method=method.upper(),
        path=place,
        summary=operation.get("summary", path),
        query=dict(_list_query(document, operation)),
        body=None if content is None else _find_example(document, content),
    )


def _list_query(document: Document, operation: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The parameters that a request must have."""
    for parameter in operation.get("parameters", []):
        if parameter["in"] == "query" and parameter.get("required"):
            yield parameter["name"], _find_example(document, parameter)


def _find_example(document: Document, told: dict[str, Any]) -> Any:
    """An example: the one that the author gives, or one made of the schema."""
    if "example" in told:
        return told["example"]
    named = [each["value"] for each in told.get("examples", {}).values() if "value" in each]
    return named[0] if named else _example_of(document, told.get("schema", {}), depth=0)


_PLAIN: Final[dict[str, Any]] = {"string": "text", "boolean": False, "null": None}
_DEEPEST: Final = 6  # a schema can contain itself


def _example_of(document: Document, schema: dict[str, Any], depth: int) -> Any:
    if depth > _DEEPEST:
        return None
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return _example_of(document, document["components"]["schemas"].get(name, {}), depth + 1)
    told = [*schema.get("examples", []), *(schema[key] for key in ("default", "const") if key in schema)]
    told += schema.get("enum", [])
    if told:
        return told[0]
    for several in ("anyOf", "oneOf", "allOf"):
        if schema.get(several):
            return _example_of(document, schema[several][0], depth + 1)
    return _example_of_type(document, schema, depth)


def _example_of_type(document: Document, schema: dict[str, Any], depth: int) -> Any:
    kind = schema.get("type")
    if kind == "object" or "properties" in schema:
        required = schema.get("required", [])
        return {
            name: _example_of(document, each, depth + 1)
            for name, each in schema.get("properties", {}).items()
            if name in required
        }
    if kind == "array":
        return [_example_of(document, schema.get("items", {}), depth + 1)]
    if kind in ("integer", "number"):
        return schema.get("minimum", schema.get("exclusiveMinimum", 0) + 1)
    return _PLAIN.get(str(kind), "text")
