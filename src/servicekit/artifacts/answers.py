"""The answers of the artifact routes, and the bodies that they take, for the OpenAPI document."""

from typing import Any, Final

from servicekit.api.errors import ErrorBody
from servicekit.api.job_responses import OTHER_SITE, Responses
from servicekit.artifacts.responses import ArtifactChanges, ArtifactEnvelope, ArtifactFields, ArtifactSummary


def _error(description: str, detail: str) -> dict[str, Any]:
    return {
        "model": ErrorBody,
        "description": description,
        "content": {"application/json": {"example": {"detail": detail}}},
    }


UNAVAILABLE: Final[Responses] = {
    503: _error(
        "Artifacts cannot be read or written at the moment. `Retry-After` says when to come back.",
        "Artifacts cannot be kept at the moment: the disk is full.",
    )
}
LIST: Final[Responses] = {
    200: {
        "description": "The newest artifacts first. Where there may be more, `Link` leads to the next page.",
        "headers": {"Link": {"description": '`<...>; rel="next"`', "schema": {"type": "string"}}},
    },
    400: _error("An id is no ULID.", "Invalid artifact ID format"),
    **UNAVAILABLE,
}
NO_ARTIFACT: Final[Responses] = {
    400: _error("The id is no ULID.", "Invalid artifact ID format"),
    404: _error(
        "There is no artifact with this id; if a job has promised it, the answer says how the job has ended.",
        "Artifact not found",
    ),
    409: _error(
        "The artifact is not there yet. `Location` is the job that makes it.",
        "The artifact is not there yet: its job is running, see /api/v1/jobs/01JQRS7XK5N8Z3VQ2M4T6W8Y0A",
    ),
    **UNAVAILABLE,
}
TREE: Final[Responses] = {
    200: {
        "description": "The artifact with what is below it. Where there is more than `limit` allows, `Link` leads to "
        "the next page: an array of the artifacts that come next, level by level, each with its `parent_id`.",
        "headers": {"Link": {"description": '`<...>; rel="next"`', "schema": {"type": "string"}}},
    },
    **NO_ARTIFACT,
}
CHANGED: Final[Responses] = {**{status: each for status, each in NO_ARTIFACT.items() if status != 409}, **OTHER_SITE}
DELETED: Final[Responses] = {
    204: {"description": "The artifact is gone. Its content is too, unless another artifact has the same."},
    **CHANGED,
    409: _error("There are artifacts below it.", "The artifact has 2 below it."),
}
_BYTES: Final = {"schema": {"type": "string", "format": "binary"}}
DOWNLOAD: Final[Responses] = {
    200: {
        "description": "The content, byte for byte, always as a file to be kept (`Content-Disposition`).",
        "content": {"application/octet-stream": _BYTES},
        "headers": {
            "ETag": {"description": "The hash of the content.", "schema": {"type": "string"}},
            "Content-Disposition": {"description": "The name of the file.", "schema": {"type": "string"}},
        },
    },
    206: {"description": "The part that `Range` asks for.", "content": {"application/octet-stream": _BYTES}},
    304: {"description": "The client has it already (`If-None-Match`)."},
    **NO_ARTIFACT,
    416: _error("The content has nothing of the range.", "The content has 12 bytes, and nothing of this range."),
}
CREATED: Final[Responses] = {
    201: {
        "model": ArtifactSummary,
        "description": "The artifact is kept.",
        "headers": {"Location": {"description": "Where it is.", "schema": {"type": "string"}}},
    },
    400: _error("The id of the parent is no ULID.", "Invalid artifact ID format"),
    **OTHER_SITE,
    404: _error("There is no artifact with the id of the parent.", "Artifact not found"),
    408: _error("The client has sent nothing for a minute.", "Nothing came for 60 seconds."),
    409: _error("An artifact of this kind cannot be below that parent.", "A prediction stands below a model."),
    413: _error("The content is too large.", "The content is larger than it may be: at most 5,368,709,120 bytes."),
    415: _error(
        "The body is compressed (`Content-Encoding`), or a form, and the service has no `python-multipart`.",
        "A body with a Content-Encoding is not understood: send the bytes as they are.",
    ),
    **UNAVAILABLE,
}

_ANY_BYTES: Final = {"*/*": _BYTES}
CHANGES_BODY: Final = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": ArtifactChanges.model_json_schema()}},
    }
}
UPLOAD_BODY: Final = {"requestBody": {"required": True, "content": _ANY_BYTES}}


def _form_schema() -> dict[str, Any]:
    schema = ArtifactFields.model_json_schema()
    file = {"type": "string", "format": "binary", "description": "The content."}
    metadata = {"type": "string", "description": "A JSON object that is kept with it."}
    properties = {"file": file, **schema["properties"], "metadata": metadata}
    return {**schema, "title": "ArtifactForm", "properties": properties, "required": ["file"]}


CREATE_BODY: Final = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": ArtifactEnvelope.model_json_schema()},
            "multipart/form-data": {"schema": _form_schema()},
            **_ANY_BYTES,
        },
    }
}
