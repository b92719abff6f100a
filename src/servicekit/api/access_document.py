"""What the OpenAPI document says of access, so that its pages can ask for it, and generated clients send it."""

from itertools import product
from typing import Any, Final

from fastapi import FastAPI

from servicekit.api.gate import Gate
from servicekit.api.guard import Guard
from servicekit.api.openapi import GUARDED_IN_DOCUMENT, TAKES_NO_TICKETS, TAKES_TICKETS, Document, extend_document
from servicekit.api.state import ServiceState, service_state
from servicekit.api.submit import find_schema

Security = list[dict[str, list[str]]]
"""Alternatives, each of schemes that are all needed."""

_SCHEMES: Final = {
    "bearerKey": {"type": "http", "scheme": "bearer", "description": "An API key of this service."},
    "headerKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same in its own header."},
}
_TICKET: Final = {
    "type": "apiKey",
    "in": "query",
    "name": "ticket",
    "description": "From `$ticket`: for streams alone.",
}
_KEYS: Final[Security] = [{name: []} for name in _SCHEMES]
_DETAIL: Final = {
    "application/json": {
        "schema": {"type": "object", "properties": {"detail": {"type": "string"}}, "required": ["detail"]}
    }
}
_REFUSED: Final = {
    "description": "There is nothing that lets the caller in, or it is not valid.",
    "headers": {"WWW-Authenticate": {"description": "`Bearer`", "schema": {"type": "string"}}},
    "content": _DETAIL,
}
_FORBIDDEN: Final = {"description": "The caller's access does not suffice.", "content": _DETAIL}


def document_access(app: FastAPI) -> None:
    """Add to the document what callers must send. It is added once, whichever feature asks for it."""
    state = service_state(app)
    if not state.is_access_documented:
        state.is_access_documented = True
        extend_document(app, _Writer(state).write)


class _Writer:
    """Writes into the document of one application."""

    def __init__(self, state: ServiceState) -> None:
        self._state = state
        self._written: Document | None = None

    def write(self, document: Document) -> None:
        if document is self._written:  # FastAPI keeps it, and it comes once more
            return
        self._written = document
        marked = [(operation, _take_mark(operation)) for operation in _list_operations(document)]
        asked = [operation for operation, mark in marked if mark is not None]
        guard, gate = self._state.guard, self._state.gate
        if gate is not None:
            _write_gate(document, asked, gate)
        if guard is not None:
            _write_keys(document, guard)
        if guard is not None or gate is not None:
            for operation in asked:
                operation["responses"].setdefault("403", _FORBIDDEN)
            _write_tickets(document, [operation for operation, mark in marked if mark == TAKES_TICKETS])


def _list_operations(document: Document) -> list[dict[str, Any]]:
    return [operation for operations in document.get("paths", {}).values() for operation in operations.values()]


def _take_mark(operation: dict[str, Any]) -> str | None:
    """The mark of an operation that asks for the caller's access: one of servicekit's, or one that submits a job."""
    mark: str | None = operation.pop(GUARDED_IN_DOCUMENT, None)
    return TAKES_NO_TICKETS if mark is None and find_schema(operation) is not None else mark


def _write_gate(document: Document, asked: list[dict[str, Any]], gate: Gate) -> None:
    described = gate.describe()
    _merge(document, described.get("components", {}))
    wanted = described["paths"]["/"]["get"]
    for operation in asked:
        parameters = operation.get("parameters", [])
        names = {(parameter["name"], parameter["in"]) for parameter in parameters}
        more = [each for each in wanted.get("parameters", []) if (each["name"], each["in"]) not in names]
        if more:
            operation["parameters"] = [*parameters, *more]
        _demand(operation, wanted.get("security", []))


def _write_keys(document: Document, guard: Guard) -> None:
    _merge(document, {"securitySchemes": _SCHEMES})
    document["security"] = _KEYS
    for path, operations in document.get("paths", {}).items():
        for operation in operations.values():
            if guard.is_open(path):
                operation.setdefault("security", [])
                continue
            operation["responses"].setdefault("401", _REFUSED)
            if "security" in operation:  # else the document's holds
                _demand(operation, _KEYS)


def _write_tickets(document: Document, streams: list[dict[str, Any]]) -> None:
    _merge(document, {"securitySchemes": {"ticket": _TICKET}})
    for operation in streams:
        operation["responses"].setdefault("401", _REFUSED)
        operation["security"] = [*(operation.get("security") or document.get("security", [])), {"ticket": []}]


def _demand(operation: dict[str, Any], security: Security) -> None:
    """Demand this besides what the operation demands already."""
    own: Security = operation.get("security") or [{}]
    if security:
        operation["security"] = [{**one, **another} for one, another in product(own, security)]


def _merge(document: Document, components: dict[str, Any]) -> None:
    for kind, named in components.items():
        kept = document.setdefault("components", {}).setdefault(kind, {})
        kept.update({name: value for name, value in named.items() if name not in kept})
