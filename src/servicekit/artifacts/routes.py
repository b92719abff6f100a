"""The routes to save, find, read, change, download and delete artifacts."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Final
from urllib.parse import urlencode

from fastapi import Depends, FastAPI, Header, Path, Query, Request, Response
from pydantic import JsonValue

from servicekit.api import ServiceDependency
from servicekit.api.openapi import name_operation
from servicekit.api.routing import JobRoute
from servicekit.artifacts.answers import (
    CHANGED,
    CHANGES_BODY,
    CREATE_BODY,
    CREATED,
    DELETED,
    DOWNLOAD,
    LIST,
    NO_ARTIFACT,
    TREE,
    UNAVAILABLE,
    UPLOAD_BODY,
)
from servicekit.artifacts.artifacts import Artifacts
from servicekit.artifacts.downloads import Wanted, download, open_exactly
from servicekit.artifacts.encoding import around_data, list_json, summary_json, tree_json, upper_part
from servicekit.artifacts.file_response import FileResponse
from servicekit.artifacts.inputs import FIELD_BYTES, answered, parse_fields, refuse_misnomer, use_body
from servicekit.artifacts.ownership import check_is_seen, seen_part
from servicekit.artifacts.promises import find_artifact
from servicekit.artifacts.ranges import Part
from servicekit.artifacts.record import Artifact
from servicekit.artifacts.responses import (
    ArtifactChanges,
    ArtifactNode,
    ArtifactRecord,
    ArtifactStats,
    ArtifactSummary,
)
from servicekit.artifacts.seen import find_acting_seer, find_seer, narrow_owner
from servicekit.artifacts.state import artifacts_of, artifacts_path, state_of
from servicekit.artifacts.transfers import answer_transfer
from servicekit.artifacts.uploads import receive, receive_raw
from servicekit.jobs.ids import parse_artifact_id, parse_job_id
from servicekit.jobs.texts import MAX_TEXT_CHARACTERS
from servicekit.jobs.threads import call_in_thread

# In the document only: FastAPI would answer 422 to a text that is no ULID, and these routes answer 400.
_ULID: Final[dict[str, JsonValue]] = {"pattern": "^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}$"}
_EXAMPLE: Final = "01JQRS7XK5N8Z3VQ2M4T6W8Y0A"
_JSON: Final = "application/json"


def add_artifact_routes(app: FastAPI, prefix: str) -> None:
    """Add the routes to the application itself, as those of jobs."""
    add = partial(
        app.router.add_api_route,
        tags=["artifacts"],
        route_class_override=JobRoute,
        generate_unique_id_function=name_operation,
    )
    create = partial(add, methods=["POST"], status_code=201, response_model=ArtifactSummary, responses=CREATED)
    add(prefix, list_artifacts, summary="List artifacts", response_model=list[ArtifactSummary], responses=LIST)
    create(prefix, create_artifact, summary="Save an artifact", openapi_extra=CREATE_BODY)
    # Before the routes with `{artifact_id}`, which would take `$stats` for an id.
    create(f"{prefix}/$upload", upload_artifact, summary="Save any bytes", openapi_extra=UPLOAD_BODY)
    add(f"{prefix}/$schema", get_artifact_schema, summary="Get the JSON Schema of an artifact")
    add(f"{prefix}/$stats", get_artifact_stats, summary="Count artifacts", responses=UNAVAILABLE)

    one = f"{prefix}/{{artifact_id}}"
    read = partial(add, one, get_artifact, response_model=ArtifactRecord, responses=NO_ARTIFACT)
    read(summary="Get one artifact")
    read(methods=["HEAD"], include_in_schema=False)
    change = partial(add, one, response_model=ArtifactSummary, responses=CHANGED, openapi_extra=CHANGES_BODY)
    change(endpoint=update_artifact, methods=["PUT"], summary="Change metadata or tags")
    change(endpoint=patch_artifact, methods=["PATCH"], summary="Change metadata or tags")
    add(one, delete_artifact, methods=["DELETE"], summary="Delete an artifact", status_code=204, responses=DELETED)
    add(f"{one}/$tree", get_artifact_tree, summary="Get what is below", response_model=ArtifactNode, responses=TREE)
    add(
        f"{one}/$ancestors",
        list_artifact_ancestors,
        summary="List what is above",
        response_model=list[ArtifactSummary],
        responses=NO_ARTIFACT,
    )
    add(
        f"{one}/$expand",
        expand_artifact,
        summary="Get one artifact",
        response_model=ArtifactRecord,
        responses=NO_ARTIFACT,
    )
    add(f"{one}/$metadata", get_artifact_metadata, summary="Get only the metadata", responses=NO_ARTIFACT)
    download = partial(add, f"{one}/$download", download_artifact, response_class=Response, responses=DOWNLOAD)
    download(summary="Download the content")
    download(methods=["HEAD"], include_in_schema=False)


async def _get_artifacts(request: Request) -> Artifacts:
    return artifacts_of(request.app)


async def _parse_id(
    artifact_id: Annotated[str, Path(description="The artifact's ULID.", examples=[_EXAMPLE], json_schema_extra=_ULID)],
) -> str:
    return parse_artifact_id(artifact_id)


ArtifactsDependency = Annotated[Artifacts, Depends(_get_artifacts)]
ArtifactId = Annotated[str, Depends(_parse_id)]


async def _find(
    request: Request, service: ServiceDependency, artifacts: ArtifactsDependency, artifact_id: ArtifactId
) -> Artifact:
    return await find_artifact(request, service, artifacts, artifact_id)


async def _act(request: Request, artifacts: ArtifactsDependency, artifact_id: ArtifactId) -> str:
    seer = find_seer(request)
    if seer is not None:  # before 403, which would tell of another's artifact
        check_is_seen(await artifacts.aio.get(artifact_id), seer)
    find_acting_seer(request)
    return artifact_id


Found = Annotated[Artifact, Depends(_find)]
"""An artifact that the caller sees."""
ActedId = Annotated[str, Depends(_act)]
"""The id of one with which it may do something. 403 if it only sees it."""
Fields = Annotated[dict[str, object], Depends(parse_fields)]
Text = Annotated[str, Query(min_length=1, max_length=MAX_TEXT_CHARACTERS)]
PageSize = Annotated[int, Query(ge=1, le=1_000, description="The most artifacts on one page.")]


async def list_artifacts(
    request: Request,
    artifacts: ArtifactsDependency,
    kind: Annotated[Text | None, Query(description="Only artifacts of this kind.", examples=["model"])] = None,
    parent: Annotated[
        str | None,
        Query(description="Only artifacts directly below this one.", examples=[_EXAMPLE], json_schema_extra=_ULID),
    ] = None,
    job: Annotated[
        str | None, Query(description="Only artifacts of this job.", examples=[_EXAMPLE], json_schema_extra=_ULID)
    ] = None,
    tag: Annotated[Text | None, Query(description="Only artifacts with this tag.", examples=["nightly"])] = None,
    owner: Annotated[Text | None, Query(description="Only artifacts of this owner.", examples=["ana"])] = None,
    limit: PageSize = 100,
    cursor: Annotated[str | None, Query(description="Where the page begins: `Link` has it.")] = None,
) -> Response:
    """All artifacts that the caller sees, in pages, the newest first. Their content is left to the single artifact."""
    refuse_misnomer(request, "parent_id", "parent")
    refuse_misnomer(request, "job_id", "job")
    refuse_misnomer(request, "tags", "tag")
    parent, job = parent and parse_artifact_id(parent), job and parse_job_id(job)
    wanted = {"kind": kind, "parent": parent, "job": job, "tag": tag, "owner": owner}
    seen = narrow_owner(request, owner)
    with answered("query"):
        page = await artifacts.aio.list(
            kind=kind, parent=parent, job=job, tag=tag, owner=seen, limit=limit, cursor=cursor
        )
    query = {**wanted, "limit": limit, "cursor": page.next_cursor}
    return _with_next(_json(list_json(page.artifacts)), artifacts_path(request), query)


async def create_artifact(
    request: Request, service: ServiceDependency, artifacts: ArtifactsDependency, fields: Fields
) -> Response:
    """Save what the request has, by its `Content-Type`: JSON with `data` and what is said of it, a form with a `file`,
    or any other bytes as they are. What the body says counts before the query.
    """
    return _created(request, await answer_transfer(receive(request, service, artifacts, fields)))


async def upload_artifact(
    request: Request, service: ServiceDependency, artifacts: ArtifactsDependency, fields: Fields
) -> Response:
    """Save the body as it is, whatever it is: also JSON, and forms."""
    return _created(request, await answer_transfer(receive_raw(request, service, artifacts, fields)))


async def get_artifact_schema() -> dict[str, object]:
    """The JSON Schema of an artifact, as `GET /{artifact_id}` answers it."""
    return ArtifactRecord.model_json_schema(mode="serialization")


async def get_artifact_stats(request: Request, artifacts: ArtifactsDependency) -> ArtifactStats:
    """How many artifacts the caller sees, and how large they are. The same content counts once."""
    stats = await artifacts.aio.stats(owner=find_seer(request))
    return ArtifactStats.model_validate(stats, from_attributes=True)


async def get_artifact(
    request: Request, service: ServiceDependency, artifacts: ArtifactsDependency, artifact: Found
) -> Response:
    """One artifact, with its content if that is JSON of at most `max_data_bytes`."""
    before, after = around_data(artifact)
    if artifact.json_text is not None:
        return _json(before + artifact.json_text.encode() + after)
    open_file = partial(open_exactly, artifacts, artifact)
    is_shown = artifact.is_json and artifact.size <= artifacts.max_data_bytes
    checked = state_of(request.app).checked
    if not is_shown or not await call_in_thread(checked.is_json, artifact.sha256, open_file):
        return _json(before + b"null" + after)
    part, headers = Part(0, artifact.size), {"content-type": _JSON}
    return FileResponse(service, open_file, part, headers, before=before, after=after)


async def expand_artifact(
    request: Request, service: ServiceDependency, artifacts: ArtifactsDependency, artifact: Found
) -> Response:
    """The same as `GET /{artifact_id}`, for clients that know this address."""
    return await get_artifact(request, service, artifacts, artifact)


async def get_artifact_metadata(artifact: Found) -> dict[str, object]:
    """The JSON object that is kept with the artifact."""
    return dict(artifact.metadata)


async def update_artifact(
    request: Request, service: ServiceDependency, artifacts: ArtifactsDependency, artifact_id: ActedId
) -> Response:
    """Change the metadata, the tags, or both. Content never changes: save another artifact."""
    read = ArtifactChanges.model_validate_json
    changes = await answer_transfer(use_body(request, service, read, FIELD_BYTES))
    with answered("body"):
        artifact = await artifacts.aio.update(artifact_id, metadata=changes.metadata, tags=changes.tags)
    return _json(summary_json(artifact))


async def patch_artifact(
    request: Request, service: ServiceDependency, artifacts: ArtifactsDependency, artifact_id: ActedId
) -> Response:
    """The same as `PUT`: what is left out stays as it is."""
    return await update_artifact(request, service, artifacts, artifact_id)


async def delete_artifact(
    request: Request,
    artifacts: ArtifactsDependency,
    artifact_id: ActedId,
    recursive: Annotated[bool, Query(description="Whether to delete all that is below it as well.")] = False,
) -> None:
    """Delete the artifact at once. Downloads that have begun go on."""
    await artifacts.aio.delete(artifact_id, recursive=recursive, owner=find_seer(request))


async def get_artifact_tree(
    request: Request,
    artifacts: ArtifactsDependency,
    artifact: Found,
    limit: PageSize = 1_000,
    cursor: Annotated[str | None, Query(description="Where the page begins: `Link` has it.")] = None,
) -> Response:
    """The artifact with what was made from it, and from that, and so on."""
    seer = find_seer(request)
    with answered("query"):
        tree = await artifacts.aio.tree(artifact.id, owner=seer, limit=limit, cursor=cursor)
    shown: Sequence[Artifact] = tree.artifacts
    if cursor is None:
        shown = upper_part(shown)
        if len(shown) < len(tree.artifacts):  # deeper than clients can read
            tree = await artifacts.aio.tree(artifact.id, owner=seer, limit=len(shown))
    body = tree_json(shown) if cursor is None else list_json(shown)
    path = f"{artifacts_path(request)}/{artifact.id}/$tree"
    return _with_next(_json(body), path, {"limit": limit, "cursor": tree.next_cursor})


async def list_artifact_ancestors(request: Request, artifacts: ArtifactsDependency, artifact: Found) -> Response:
    """What the artifact was made from, the first one first, and the artifact itself at the end."""
    return _json(list_json(seen_part(await artifacts.aio.ancestors(artifact.id), find_seer(request))))


async def download_artifact(
    request: Request,
    service: ServiceDependency,
    artifacts: ArtifactsDependency,
    artifact: Found,
    range: Annotated[str | None, Header(description="Which bytes: `bytes=0-99`.")] = None,  # noqa: A002
    if_range: Annotated[str | None, Header(description="Only if the content has this `ETag`, else all of it.")] = None,
    if_none_match: Annotated[str | None, Header(description="The `ETag` of what the client has.")] = None,
) -> Response:
    """The content, byte for byte. Interrupted downloads go on with `Range`."""
    asked = range if request.method == "GET" else None  # RFC 9110: it has no meaning for other methods
    return download(service, artifacts, artifact, Wanted(asked, if_range, if_none_match))


def _json(body: bytes, status_code: int = 200) -> Response:
    return Response(body, media_type=_JSON, status_code=status_code)


def _created(request: Request, artifact: Artifact) -> Response:
    response = _json(summary_json(artifact), 201)
    response.headers["location"] = f"{artifacts_path(request)}/{artifact.id}"
    return response


def _with_next(response: Response, path: str, query: Mapping[str, object]) -> Response:
    """The response with the address of the next page, if there is one."""
    if query["cursor"] is not None:
        given = urlencode({name: value for name, value in query.items() if value is not None})
        response.headers["link"] = f'<{path}?{given}>; rel="next"'
    return response
