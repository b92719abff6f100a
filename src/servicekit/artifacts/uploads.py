"""What clients send: bytes as they are, a form with a file, or JSON with what is said of it."""

import mimetypes
import re
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from fastapi import HTTPException, Request
from pydantic_core import to_json

from servicekit.api import Service
from servicekit.api.errors import mistake
from servicekit.artifacts.artifacts import Artifacts
from servicekit.artifacts.blocking import Options
from servicekit.artifacts.bodies import take_body
from servicekit.artifacts.checked_json import CheckedJson
from servicekit.artifacts.checks import check_kind, check_media_type, check_tags, write_metadata
from servicekit.artifacts.file_headers import clean_name
from servicekit.artifacts.inputs import answered, fields_of_form, use_body, validate
from servicekit.artifacts.multipart import FormReader
from servicekit.artifacts.ports import StagedBlob
from servicekit.artifacts.record import MAX_INLINE_BYTES, Artifact, Origin, is_json
from servicekit.artifacts.responses import ArtifactEnvelope, ArtifactFields
from servicekit.artifacts.state import state_of
from servicekit.artifacts.strict_json import without_collector
from servicekit.errors import ContentTooLarge, InvalidContent, MissingExtra
from servicekit.jobs.threads import call_in_thread

_FORM: Final = "multipart/form-data"
_JSON: Final = "application/json"
_BYTES: Final = "application/octet-stream"
# What clients say of any bytes if they are told nothing. A name says more.
_NO_TYPES: Final = ("", "application/x-www-form-urlencoded", _BYTES)
_NO_NUMBERS: Final = re.compile(b"NaN|Infinity")
_FORM_BYTES: Final = 1024 * 1024  # more than all of a form but its file can have: see `multipart`


async def receive(request: Request, service: Service, artifacts: Artifacts, query: Mapping[str, object]) -> Artifact:
    """Save what the request has, by its `Content-Type`. What the body says counts before what the query says."""
    kind = _content_type(request)
    if kind == _FORM:
        return await _receive_form(request, service, artifacts, query)
    if kind == _JSON:
        return await _receive_envelope(request, service, artifacts, query)
    return await receive_raw(request, service, artifacts, query)


async def receive_raw(
    request: Request, service: Service, artifacts: Artifacts, query: Mapping[str, object]
) -> Artifact:
    """Save the body as it is."""
    fields = validate(ArtifactFields, query, "query")
    media_type = _check_media_type(request)
    await _check_early(artifacts, fields)
    async with _receiving(artifacts) as upload:
        await take_body(request, service, upload.take, artifacts.max_upload_bytes)
        with answered("query"):
            return await call_in_thread(upload.save, fields, None, media_type)


def _check_media_type(request: Request) -> str | None:
    if _content_type(request) in _NO_TYPES:
        return None
    try:
        return check_media_type(request.headers["content-type"])
    except InvalidContent as error:
        raise mistake(("header", "Content-Type"), error.reason) from error


async def _check_early(artifacts: Artifacts, fields: ArtifactFields) -> None:
    """Find what is wrong before gigabytes are sent in vain. To save it checks everything."""
    with answered("query"):
        check_kind(fields.kind)
        check_tags(fields.tags)
        write_metadata(fields.metadata)
    if fields.parent_id is not None:
        await artifacts.aio.get(fields.parent_id)


async def _receive_form(
    request: Request, service: Service, artifacts: Artifacts, query: Mapping[str, object]
) -> Artifact:
    async with _receiving(artifacts) as upload:
        try:
            form = FormReader(request.headers["content-type"], upload.take)
        except MissingExtra as error:
            raise HTTPException(415, str(error)) from error
        most = artifacts.max_upload_bytes
        await take_body(request, service, form.take, None if most is None else most + _FORM_BYTES)
        form.finish()
        fields = validate(ArtifactFields, {**query, **fields_of_form(form.fields)}, "body")
        with answered("body"):
            media_type = None if form.media_type in _NO_TYPES else form.media_type
            return await call_in_thread(upload.save, fields, form.file_name, media_type)


async def _receive_envelope(
    request: Request, service: Service, artifacts: Artifacts, query: Mapping[str, object]
) -> Artifact:
    validate(ArtifactFields, query, "query")
    save = partial(_save_envelope, artifacts, state_of(request.app).checked, query)
    return await use_body(request, service, save, artifacts.max_data_bytes)


def _save_envelope(artifacts: Artifacts, checked: CheckedJson, query: Mapping[str, object], body: bytes) -> Artifact:
    with checked.turn(len(body)):
        with without_collector():
            envelope = ArtifactEnvelope.model_validate_json(body)
        said = envelope.model_dump(exclude_unset=True, exclude={"data"})
        fields = ArtifactFields.model_validate({**query, **said})
        artifact = _save_value(artifacts, envelope.data, fields)
    checked.note(artifact.sha256)
    return artifact


def _save_value(artifacts: Artifacts, value: object, fields: ArtifactFields) -> Artifact:
    options = _options(fields, None, _JSON)
    # Python's own writer would take several times as long, and nothing else runs meanwhile.
    text = to_json(value, inf_nan_mode="constants")
    if len(text) > MAX_INLINE_BYTES and is_json(fields.media_type or _JSON) and not _NO_NUMBERS.search(text):
        return artifacts.save(text, **options)
    options["as_json"] = True  # it finds the place of what is no number
    return artifacts.save(value, **options)


class _Upload:
    """Bytes on their way in, from one thread after the other.

    What has been given up in the middle is closed while a thread may still write a piece.
    """

    def __init__(self, artifacts: Artifacts) -> None:
        self._artifacts = artifacts
        self._staged: StagedBlob | None = None
        self._is_closed = False
        self._lock = threading.Lock()

    def take(self, piece: bytes) -> None:
        with self._lock:
            if self._is_closed:
                return
            if self._staged is None:
                self._staged = self._artifacts.stage()
            self._staged.write(piece)
            most = self._artifacts.max_upload_bytes
            if most is not None and self._staged.size > most:
                raise ContentTooLarge(most)

    def save(self, fields: ArtifactFields, name: str | None, media_type: str | None) -> Artifact:
        with self._lock:
            return self._artifacts.save(self._staged or b"", **_options(fields, name, media_type))

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
            if self._staged is not None:
                self._staged.__exit__(None, None, None)


@asynccontextmanager
async def _receiving(artifacts: Artifacts) -> AsyncIterator[_Upload]:
    upload = _Upload(artifacts)
    try:
        yield upload
    finally:
        await call_in_thread(upload.close)


def _options(fields: ArtifactFields, name: str | None, media_type: str | None) -> Options:
    """What is said of the content: by the fields, or else by the form's file or the header."""
    cleaned = clean_name(fields.name or name or "") or None
    return {
        "parent": fields.parent_id,
        "kind": fields.kind,
        "name": cleaned,
        "media_type": fields.media_type or media_type or _guess(cleaned),
        "metadata": fields.metadata,
        "tags": fields.tags,
        "origin": Origin.UPLOAD,
    }


def _guess(name: str | None) -> str:
    media_type, encoding = mimetypes.guess_type(name or "")
    return media_type if media_type is not None and encoding is None else _BYTES


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()
