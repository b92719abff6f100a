"""The responses of the job routes, for the OpenAPI document."""

from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import Field

from servicekit.api.errors import ErrorBody
from servicekit.jobs.record import JobRecord

Responses = dict[int | str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class JobDetails(JobRecord):
    """A single job: its record, and what its target was called with."""

    arguments: Annotated[
        dict[str, object] | None,
        Field(
            description="The arguments by the names of the target's parameters. They are made to be read: long ones "
            "are shortened, and `***` stands for what is secret. Those of a command are its `argv`, `cwd`, `env`, "
            "`stdin` and `shell`. `null` if they are not kept, or only another process has them.",
            examples=[{"model": "xgb", "region": "no", "password": "***"}],
        ),
    ]


UNAVAILABLE: Final[Responses] = {
    503: {
        "model": ErrorBody,
        "description": "Jobs cannot be read or written at the moment. `Retry-After` says when to come back.",
        "content": {"application/json": {"example": {"detail": "Jobs cannot be read or written at the moment"}}},
    },
}
_INVALID_ID: Final[Responses] = {
    400: {
        "model": ErrorBody,
        "description": "The id is no ULID.",
        "content": {"application/json": {"example": {"detail": "Invalid job ID format"}}},
    },
    **UNAVAILABLE,
}
STATS: Final[Responses] = _INVALID_ID
NO_JOB: Final[Responses] = {
    **_INVALID_ID,
    404: {
        "model": ErrorBody,
        "description": "There is no job with this id.",
        "content": {"application/json": {"example": {"detail": "Job not found"}}},
    },
}
OTHER_SITE: Final[Responses] = {
    403: {
        "model": ErrorBody,
        "description": "A page of another site has made the request, and its origin is not trusted.",
        "content": {"application/json": {"example": {"detail": "A page of another site may not do this."}}},
    },
}
DELETED: Final[Responses] = {
    204: {"description": "The job is gone. If it ran, it was asked to stop."},
    **NO_JOB,
    **OTHER_SITE,
}
_STREAM_EXAMPLE: Final = """\
retry: 1000
id: 2
data: {"id":"01JQRS7XK5N8Z3VQ2M4T6W8Y0A","status":"running",...}

id: 3
data: {"id":"01JQRS7XK5N8Z3VQ2M4T6W8Y0A","status":"completed",...}

"""
_STREAM_OF_ALL_EXAMPLE: Final = """\
retry: 1000
id: 41
data: {"id":"01JQRS7XK5N8Z3VQ2M4T6W8Y0A","status":"running",...}

id: 44
data: {"id": "01JQRS7XK5N8Z3VQ2M4T6W8Y0A", "status": "deleted"}

"""

CALLS: Final[Responses] = {
    200: {
        "description": "Calls by the ids of their jobs, in the order in which these were asked for.",
        "content": {
            "application/json": {
                "example": {"01JQRS7XK5N8Z3VQ2M4T6W8Y0A": "train(model='xgb', region='no', password='***')"}
            }
        },
    },
    **_INVALID_ID,
}
LIST: Final[Responses] = {
    200: {
        "description": "The newest jobs first. Where there may be more, `Link` leads to the next page; a page can be "
        "short, even empty, and not be the last.",
        "headers": {"Link": {"description": '`<...>; rel="next"`', "schema": {"type": "string"}}},
    },
    **_INVALID_ID,
}


_EVENT_DATA: Final = {
    "anyOf": [
        {"$ref": "#/components/schemas/JobRecord"},
        {
            "title": "JobDeleted",
            "description": "The job was deleted.",
            "type": "object",
            "properties": {
                "id": {"type": "string", "description": "Which job: only in the stream of all."},
                "status": {"type": "string", "const": "deleted"},
            },
            "required": ["status"],
        },
    ]
}


def _event_stream(number: str, example: str) -> dict[str, Any]:
    """The content of a response that is an event stream. `number` describes the `id:` of its events."""
    return {
        "text/event-stream": {
            "schema": _EVENT_DATA,  # of the data of one event: generators of clients make a class from it
            "x-itemSchema": {  # `itemSchema` in OpenAPI 3.2; FastAPI writes 3.1
                "type": "object",
                "properties": {
                    "id": {"type": "string", "description": number},
                    "retry": {"type": "integer", "description": "When to reconnect, in milliseconds."},
                    "data": {
                        "type": "string",
                        "contentMediaType": "application/json",
                        "contentSchema": _EVENT_DATA,
                    },
                },
                "required": ["data"],
            },
            "example": example,
        }
    }


STREAM: Final[Responses] = {
    200: {
        "description": "An event stream (Server-Sent Events). Each event's data is a job record as JSON; the first "
        "is the present one, then one for every change. It ends after `completed`, `failed` or `canceled`, or "
        'with `{"status": "deleted"}`.',
        "content": _event_stream("The record's version.", _STREAM_EXAMPLE),
    },
    204: {"description": "The client has had the last event already (`Last-Event-ID`): it need not come again."},
    **{status: response for status, response in NO_JOB.items() if status != 503},
}
STREAM_OF_ALL: Final[Responses] = {
    200: {
        "description": "An event stream (Server-Sent Events). Each event's data is a job record as JSON, or "
        '`{"id": "...", "status": "deleted"}`; the first are the newest jobs as they are, at most 100, '
        "or those that `id` names. It ends only with the service.",
        "content": _event_stream("The position in the order of all changes.", _STREAM_OF_ALL_EXAMPLE),
    },
    400: _INVALID_ID[400],
}
CANCEL: Final[Responses] = {
    200: {"description": "The work has stopped, and the job is canceled."},
    202: {
        "description": "The job was asked to stop, at `cancel_requested_at`, and has not stopped yet. If its record "
        "cannot be read, there is only a `detail`."
    },
    **NO_JOB,
    **OTHER_SITE,
    409: {
        "model": ErrorBody,
        "description": "The job had ended already, or ended otherwise.",
        "content": {"application/json": {"example": {"detail": "The job is completed and cannot be canceled"}}},
    },
}
KEY_TAKEN: Final[Responses] = {
    409: {
        "model": ErrorBody,
        "description": "The `Idempotency-Key` was used for another call.",
        "content": {
            "application/json": {
                "example": {
                    "detail": "Idempotency key '3f1c0a52' was used for job 01JQ..., with another target or other "
                    "arguments."
                }
            }
        },
    },
}
FULL: Final[Responses] = {
    429: {
        "model": ErrorBody,
        "description": "Too many jobs wait in the queue. `Retry-After` says when to come back.",
        "content": {
            "application/json": {
                "example": {"detail": "The queue 'default' is full: 1,000 jobs wait in it. Try again."}
            }
        },
    },
}
RETRY: Final[Responses] = {
    202: {
        "description": "The new job is accepted.",
        "headers": {"Location": {"description": "Where it is.", "schema": {"type": "string"}}},
    },
    **NO_JOB,
    **OTHER_SITE,
    409: {
        "model": ErrorBody,
        "description": "The job has not ended, or its call is not kept, so that only its submitter can submit it "
        "again.",
        "content": {
            "application/json": {
                "example": {"detail": "Job 01JQ... cannot be submitted again (status=running): it has not ended"}
            }
        },
    },
    **FULL,
}
BULK: Final[Responses] = {
    200: {
        "description": "What was done in this step; or, in a dry run, how many jobs it would be done with.",
        "content": {
            "application/json": {"example": {"done": 1000, "skipped": 0, "problems": [], "next_cursor": "01JQ..."}}
        },
    },
    **_INVALID_ID,
    **OTHER_SITE,
}
RESULT: Final[Responses] = {
    200: {
        "description": "What the target has returned, as JSON.",
        "content": {"application/json": {"schema": {}, "example": {"loss": 0.02}}},
    },
    **NO_JOB,
    409: {
        "model": ErrorBody,
        "description": "There is no result: the job has not finished, failed, was canceled, or its result is not kept.",
        "content": {"application/json": {"example": {"detail": "Job 01JQ... is not finished (status=running)"}}},
    },
}
