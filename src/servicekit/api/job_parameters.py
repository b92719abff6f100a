"""The parameters of the job routes."""

import re
from collections.abc import Sequence
from inspect import signature
from typing import Annotated, Final, NamedTuple

from fastapi import Depends, Header, Path, Query, Request
from pydantic import AwareDatetime, Field, JsonValue, StringConstraints

from servicekit.api.errors import mistake
from servicekit.errors import ConfigurationError
from servicekit.jobs.ids import parse_job_id
from servicekit.jobs.metadata import MAX_METADATA_KEYS, check_words
from servicekit.jobs.options import MAX_TEXT_CHARACTERS
from servicekit.jobs.query import JobFilter
from servicekit.jobs.status import JobStatus

MAX_JOB_IDS: Final = 100  # a page of a list; and a URL must stay below 8 KiB, which proxies allow

# In the document only: FastAPI would answer 422 to a text that is no ULID, and these routes answer 400.
ULID_PATTERN: Final[dict[str, JsonValue]] = {"pattern": "^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}$"}


async def _parse_id(
    job_id: Annotated[
        str,
        Path(description="The job's ULID.", examples=["01JQRS7XK5N8Z3VQ2M4T6W8Y0A"], json_schema_extra=ULID_PATTERN),
    ],
) -> str:
    return parse_job_id(job_id)


async def _parse_ids(
    id: Annotated[  # noqa: A002
        list[Annotated[str, Field(json_schema_extra=ULID_PATTERN)]] | None,
        Query(
            max_length=MAX_JOB_IDS,
            description="Only the job with this id, or the jobs with these ids if it is repeated: one stream for all "
            "jobs of a page. It begins with each of them. One that does not exist comes as deleted.",
            examples=[["01JQRS7XK5N8Z3VQ2M4T6W8Y0A"]],
        ),
    ] = None,
) -> frozenset[str]:
    return frozenset(parse_job_id(each) for each in id or ())


async def _parse_called_ids(
    id: Annotated[  # noqa: A002
        list[Annotated[str, Field(json_schema_extra=ULID_PATTERN)]],
        Query(
            min_length=1,
            max_length=MAX_JOB_IDS,
            description="The jobs, such as those of a page of the list: the parameter is repeated.",
            examples=[["01JQRS7XK5N8Z3VQ2M4T6W8Y0A"]],
        ),
    ],
) -> list[str]:
    return list(dict.fromkeys(map(parse_job_id, id)))


async def parse_cursor(
    cursor: Annotated[
        str | None,
        Query(
            description="Continue after the job with this id: the last one of the page before.",
            json_schema_extra=ULID_PATTERN,
        ),
    ] = None,
) -> str | None:
    return None if cursor is None else parse_job_id(cursor)


class EventId(NamedTuple):
    """How far a client has read a job's stream."""

    version: int
    line_number: int
    """The newest line of the log that it has had; 0 if it reads no log."""


# Of 17 digits at most, so that they fit into the integers of a file.
_EVENT_ID: Final = re.compile(r"([0-9]{1,17})(?:\.([0-9]{1,17}))?")
_LastEventId = Annotated[
    str | None, Header(description="The last `id:` that the client has had. `EventSource` sends it by itself.")
]
_LastEventIdInQuery = Annotated[
    str | None,
    Query(alias="lastEventId", description="The same, for clients that cannot send the header. That counts before it."),
]


async def _parse_last_job_event_id(
    last_event_id: _LastEventId = None, in_query: _LastEventIdInQuery = None
) -> EventId | None:
    """The last event of a job that a client has had. A wrong id is ignored: `EventSource` would send it for ever."""
    match = _EVENT_ID.fullmatch(last_event_id or in_query or "")
    return match and EventId(int(match[1]), int(match[2] or 0))


async def _parse_last_event_id(last_event_id: _LastEventId = None, in_query: _LastEventIdInQuery = None) -> int | None:
    """The last event of the stream of all jobs that a client has had."""
    event_id = await _parse_last_job_event_id(last_event_id, in_query)
    return event_id and event_id.version


Text = Annotated[str, Query(min_length=1, max_length=MAX_TEXT_CHARACTERS)]
_Entry = Annotated[str, StringConstraints(pattern=r"^[^:]+:", max_length=2 * MAX_TEXT_CHARACTERS + 1)]


# Names that clients use by mistake for a parameter. Other unknown names are ignored, since some tools add their own.
_MISNOMERS: Final = {"status": "status_filter", "state": "status_filter", "tags": "tag"}


def _refuse_misnomers(request: Request) -> None:
    """Answer 422 to a wrong name of a filter: it would else be ignored, and all jobs would be shown."""
    for name, right_name in _MISNOMERS.items():
        if name in request.query_params:
            text = f"There is no parameter of this name. Use {right_name}"
            raise mistake(("query", name), text, input=request.query_params[name])


async def _parse_filter(
    request: Request,
    status_filter: Annotated[
        list[JobStatus] | None, Query(description="Only jobs with this status, or one of these if it is repeated.")
    ] = None,
    name: Annotated[Text | None, Query(description="Only jobs with this name.", examples=["train_model"])] = None,
    tag: Annotated[Text | None, Query(description="Only jobs with this tag.", examples=["nightly"])] = None,
    parent: Annotated[
        str | None,
        Query(
            description="Only jobs that this job has submitted.",
            examples=["01JQRS7XK5N8Z3VQ2M4T6W8Y0A"],
            json_schema_extra=ULID_PATTERN,
        ),
    ] = None,
    owner: Annotated[Text | None, Query(description="Only jobs of this owner.", examples=["ana"])] = None,
    metadata: Annotated[
        list[_Entry] | None,
        Query(
            max_length=MAX_METADATA_KEYS,
            description="Only jobs with this key and value in their metadata, as `key:value`: a text as it is, a whole "
            "number or a boolean as in JSON. If it is repeated, only jobs with all of these.",
            examples=[["customer:c-17"]],
        ),
    ] = None,
    search: Annotated[
        Text | None,
        Query(
            description="Only jobs with this text in their name or error. The case of ASCII letters does not matter."
        ),
    ] = None,
    queue: Annotated[Text | None, Query(description="Only jobs in this queue.", examples=["slow"])] = None,
    error: Annotated[
        Text | None,
        Query(
            description="Only jobs with this text in their error. The case of ASCII letters does not matter.",
            examples=["disk full"],
        ),
    ] = None,
    submitted_after: Annotated[
        AwareDatetime | None,
        Query(description="Only jobs submitted at this time or later, to the millisecond. It must have a time zone."),
    ] = None,
    submitted_before: Annotated[
        AwareDatetime | None, Query(description="Only jobs submitted before this time. It must have a time zone.")
    ] = None,
) -> JobFilter:
    _refuse_misnomers(request)
    return JobFilter(
        statuses=frozenset(status_filter or ()),
        name=name,
        tag=tag,
        parent=None if parent is None else parse_job_id(parent),
        owner=owner,
        metadata=_words_of(metadata or ()),
        search=search,
        queue=queue,
        error=error,
        submitted_after=submitted_after,
        submitted_before=submitted_before,
    )


FILTER_PARAMETERS: Final = frozenset(signature(_parse_filter).parameters) - {"request"}
"""The names of the parameters by which jobs are chosen."""


def _words_of(entries: Sequence[str]) -> dict[str, str]:
    words: dict[str, str] = {}
    for entry in entries:
        key, _, word = entry.partition(":")
        if words.setdefault(key, word) != word:
            raise mistake(("query", "metadata"), f"{key} cannot have two values")
    try:
        check_words(words)
    except ConfigurationError as error:
        raise mistake(("query", "metadata"), str(error)) from error
    return words


JobId = Annotated[str, Depends(_parse_id)]
JobIds = Annotated[frozenset[str], Depends(_parse_ids)]
CalledJobIds = Annotated[list[str], Depends(_parse_called_ids)]
Wanted = Annotated[JobFilter, Depends(_parse_filter)]
LastEventId = Annotated[int | None, Depends(_parse_last_event_id)]
LastJobEventId = Annotated[EventId | None, Depends(_parse_last_job_event_id)]
