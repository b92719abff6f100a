"""The application's OpenAPI document: names for generated clients, and the order of the paths."""

from collections.abc import Callable
from typing import Any, Final, TypeGuard

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

Document = dict[str, Any]
GUARDED_IN_DOCUMENT: Final = "x-servicekit-guarded"
"""Marks operations whose caller's access is asked for, until the document is finished."""
TAKES_TICKETS: Final = "takes tickets"
TAKES_NO_TICKETS: Final = "takes no tickets"

_TAGS: Final = {
    "jobs": "What was submitted: look at it, watch it live, cancel, repeat and delete it.",
    "queues": "Where jobs wait: how many do, and whether they are paused.",
    "tasks": "What the service can do by name: list, execute, enable and disable it.",
    "schedules": "Jobs that are submitted again and again.",
    "workers": "The processes that work on the jobs.",
    "artifacts": "What jobs have made, and what clients have sent: find it, read it, download it.",
    "models": "Train models and predict with them; the settings with which they are trained.",
    "service": "The service itself.",
}


def name_operation(route: APIRoute) -> str:
    """The operation's name in generated clients, which does not depend on the path: `list_jobs` gives `listJobs`."""
    first, *others = route.name.split("_")
    return "".join([first, *(word.title() for word in others)])


def extend_document(app: FastAPI, change: Callable[[Document], None]) -> None:
    """Call `change` with the document whenever the document is asked for. It can get a document that it has changed."""
    describe = app.openapi

    def openapi() -> Document:
        document = describe()
        change(document)
        return document

    app.openapi = openapi  # type: ignore[method-assign] # FastAPI's own way to extend the document


def arrange_document(app: FastAPI) -> None:
    """Put the user's own endpoints first in the document, and describe the tags of servicekit's routes."""

    def arrange(document: Document) -> None:
        ours = {route.path_format for route in app.routes if is_ours(route)}
        document["paths"] = dict(sorted(document.get("paths", {}).items(), key=lambda item: item[0] in ours))
        document["tags"] = _with_our_tags(document)

    extend_document(app, arrange)


def is_ours(route: BaseRoute) -> TypeGuard[APIRoute]:
    """Whether the route is one of servicekit's, and no endpoint of the user's."""
    return isinstance(route, APIRoute) and route.endpoint.__module__.startswith("servicekit.")


def _with_our_tags(document: Document) -> list[dict[str, Any]]:
    """The document's tags, with those of servicekit that operations have and the user has not described."""
    operations = [operation for item in document["paths"].values() for operation in item.values()]
    used = {tag for operation in operations for tag in operation.get("tags", ())}
    described = document.get("tags", [])
    names = {tag["name"] for tag in described}
    ours = [{"name": tag, "description": text} for tag, text in _TAGS.items() if tag in used and tag not in names]
    return [*described, *ours]
