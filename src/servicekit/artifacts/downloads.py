"""Downloads: the exact bytes of an artifact, or a part of them, or the word that the client has them already."""

from functools import partial
from io import BytesIO
from typing import BinaryIO, NamedTuple

from fastapi import HTTPException, Response

from servicekit.api import Service
from servicekit.artifacts.artifacts import Artifacts
from servicekit.artifacts.file_headers import SAFETY, attachment
from servicekit.artifacts.file_response import FileResponse
from servicekit.artifacts.ranges import Part, RangeNotSatisfiable, find_part, is_known, may_have_part
from servicekit.artifacts.record import Artifact
from servicekit.errors import ArtifactNotFound


class Wanted(NamedTuple):
    """The headers of a request that say what the client wants."""

    range: str | None
    if_range: str | None
    if_none_match: str | None


def download(service: Service, artifacts: Artifacts, artifact: Artifact, wanted: Wanted) -> Response:
    """The content, whole or in part; 304 if the client has it, 416 if there is nothing of the part."""
    etag = f'"{artifact.sha256}"'
    headers = {"etag": etag, "cache-control": "private, no-cache", **SAFETY}
    if is_known(wanted.if_none_match, etag):
        return Response(status_code=304, headers=headers)
    headers |= {
        "accept-ranges": "bytes",
        "content-type": artifact.media_type,
        "content-disposition": attachment(artifact.name, artifact.media_type, artifact.id),
    }
    part = _find_part(wanted, etag, artifact.size)
    if part is not None:
        headers["content-range"] = f"bytes {part.start}-{part.stop - 1}/{artifact.size}"
    return FileResponse(
        service,
        partial(open_exactly, artifacts, artifact),
        part or Part(0, artifact.size),
        headers,
        status_code=206 if part else 200,
    )


def _find_part(wanted: Wanted, etag: str, size: int) -> Part | None:
    if not may_have_part(wanted.if_range, etag):
        return None
    try:
        return find_part(wanted.range, size)
    except RangeNotSatisfiable:
        detail = f"The content has {size:,} bytes, and nothing of this range."
        raise HTTPException(416, detail, headers={"Content-Range": f"bytes */{size}"}) from None


def open_exactly(artifacts: Artifacts, artifact: Artifact) -> BinaryIO:
    """The content of which the size and the hash were told. It blocks.

    `ArtifactNotFound` if it is gone: the artifact was deleted meanwhile, or a later attempt of its job has saved it
    again. `ArtifactsUnavailable` if it is lost.
    """
    if artifact.json_text is not None:
        return BytesIO(artifact.json_text.encode())
    try:
        return artifacts.storage.blobs.open(artifact.sha256)
    except FileNotFoundError:
        artifacts.storage.open_content(artifact).close()  # if it is lost or deleted, this says so
        raise ArtifactNotFound(artifact.id) from None
