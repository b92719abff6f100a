"""What the OpenAPI document says of API keys, so that its pages can ask for them, and generated clients send them."""

from typing import Any, Final

from fastapi import FastAPI

from servicekit.api.openapi import Document, extend_document
from servicekit.api.state import ServiceState, service_state

_SCHEMES: Final[dict[str, dict[str, str]]] = {
    "bearerKey": {"type": "http", "scheme": "bearer", "description": "An API key of this service."},
    "headerKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same in its own header."},
}
_REFUSED: Final = {
    "description": "There is no API key, or it is not valid.",
    "headers": {"WWW-Authenticate": {"description": "`Bearer`", "schema": {"type": "string"}}},
    "content": {
        "application/json": {
            "schema": {"type": "object", "properties": {"detail": {"type": "string"}}, "required": ["detail"]}
        }
    },
}


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
        if self._state.guard is not None:
            _add_schemes(document, _SCHEMES)
            document["security"] = [{name: []} for name in _SCHEMES]
            for path, operations in document.get("paths", {}).items():
                for operation in operations.values():
                    self._write_keys(path, operation)

    def _write_keys(self, path: str, operation: dict[str, Any]) -> None:
        assert self._state.guard is not None
        if self._state.guard.is_open(path):
            operation.setdefault("security", [])
            return
        operation["responses"].setdefault("401", _REFUSED)
        if "security" in operation:  # the endpoint's own demands, besides which there must be a key
            own: list[dict[str, list[str]]] = operation["security"]
            operation["security"] = [{**one, name: []} for one in own for name in _SCHEMES]


def _add_schemes(document: Document, schemes: dict[str, dict[str, str]]) -> None:
    document.setdefault("components", {}).setdefault("securitySchemes", {}).update(schemes)
