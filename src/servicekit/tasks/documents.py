"""The OpenAPI document: each task of the service's code has an operation of its own, with its parameters' schema."""

from copy import deepcopy
from typing import Any

from servicekit.api.openapi import Document
from servicekit.tasks.catalog import CodeTasks


def document_tasks(document: Document, prefix: str, tasks: CodeTasks) -> None:
    """Add to the document what `POST {prefix}/add/$execute` takes, and so on."""
    paths = document.get("paths", {})
    general = paths.get(f"{prefix}/{{name}}/$execute")
    if general is None:
        return
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    own = {}
    for name, task in tasks.items():
        schema = task.parameters.describe_for(f"#/components/schemas/{name}-{{model}}")
        schemas.update({f"{name}-{part}": described for part, described in schema.pop("$defs", {}).items()})
        schemas[f"{name}-parameters"] = schema
        own[f"{prefix}/{name}/$execute"] = {"post": _describe(general["post"], name, task.description, schema)}
    document["paths"] = {
        **own,
        **{path: item for path, item in paths.items() if path not in own},
    }  # the service's own come first


def _describe(general: dict[str, Any], name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    operation = deepcopy(general)
    operation["operationId"] = f"{general['operationId']}-{name}"
    operation["summary"] = f"Execute {name}"
    operation["description"] = description or general["description"]
    operation["parameters"] = [each for each in general.get("parameters", []) if each["in"] != "path"]
    required = ["parameters"] if schema.get("required") else []
    operation["requestBody"] = {
        "required": bool(required),
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {"parameters": {"$ref": f"#/components/schemas/{name}-parameters"}},
                    "additionalProperties": False,
                    **({"required": required} if required else {}),
                }
            }
        },
    }
    return operation
