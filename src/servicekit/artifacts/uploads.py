"""What clients send: bytes as they are, a form with a file, or JSON with what is said of it."""

import mimetypes
import re
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final, Self

from fastapi import HTTPException, Request
from pydantic_core import to_json

from servicekit.api import Service
from servicekit.api.admission import find_access
from servicekit.api.errors import mistake
from servicekit.artifacts.artifacts import Artifacts
from servicekit.artifacts.blocking import Options
from servicekit.artifacts.bodies import take_body
from servicekit.artifacts.checked_json import CheckedJson
from servicekit.artifacts.checks import check_kind, check_media_type, check_tags, write_metadata
from servicekit.artifacts.file_headers import clean_name
from servicekit.artifacts.inputs import answered, fields_of_form, use_body, validate
from servicekit.artifacts.multipart import FormReader
from servicekit.artifacts.ownership import check_is_seen
from servicekit.artifacts.ports import StagedBlob
from servicekit.artifacts.record import MAX_INLINE_BYTES, Artifact, Origin, is_json
from servicekit.artifacts.responses import ArtifactEnvelope, ArtifactFields
from servicekit.artifacts.seen import find_acting_seer
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
        return await _receive_form(request, service, _Sender.of(request, artifacts), query)
    if kind == _JSON:
        return await _receive_envelope(request, service, _Sender.of(request, artifacts), query)
    return await receive_raw(request, service, artifacts, query)


@dataclass(frozen=True, slots=True)
class _Sender:
    """Who sends something: what is saved belongs to its owner, and stands below nothing that it does not see."""

    artifacts: Artifacts
    owner: str | None
    seer: str | None

    @classmethod
    def of(cls, request: Request, artifacts: Artifacts) -> Self:
        """403 for who may only look."""
        return cls(artifacts, find_access(request).owner, find_acting_seer(request))

    def save(self, content: object, parent_id: str | None, options: Options) -> Artifact:
        """Save it. `ArtifactNotFound` unless the sender sees the parent. It blocks."""
        if parent_id is not None and self.seer is not None:
            check_is_seen(self.artifacts.get(parent_id), self.seer)
        given: Options = {**options, "parent": parent_id, "owner": self.owner}
        return self.artifacts.save(content, **given)


async def receive_raw(
    request: Request, service: Service, artifacts: Artifacts, query: Mapping[str, object]
) -> Artifact:
    """Save the body as it is."""
    sender = _Sender.of(request, artifacts)
    fields = validate(ArtifactFields, query, "query")
    media_type = _check_media_type(request)
    await _check_early(sender, fields)
    async with _receiving(sender) as upload:
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


async def _check_early(sender: _Sender, fields: ArtifactFields) -> None:
    """Find what is wrong before gigabytes are sent in vain. To save it checks everything."""
    with answered("query"):
        check_kind(fields.kind)
        check_tags(fields.tags)
        write_metadata(fields.metadata)
    if fields.parent_id is not None:
        check_is_seen(await sender.artifacts.aio.get(fields.parent_id), sender.seer)


async def _receive_form(request: Request, service: Service, sender: _Sender, query: Mapping[str, object]) -> Artifact:
    async with _receiving(sender) as upload:
        try:
            form = FormReader(request.headers["content-type"], upload.take)
        except MissingExtra as error:
            raise HTTPException(415, str(error)) from error
        most = sender.artifacts.max_upload_bytes
        await take_body(request, service, form.take, None if most is None else most + _FORM_BYTES)
        form.finish()
        fields = validate(ArtifactFields, {**query, **fields_of_form(form.fields)}, "body")
        with answered("body"):
            media_type = None if form.media_type in _NO_TYPES else form.media_type
            return await call_in_thread(upload.save, fields, form.file_name, media_type)


async def _receive_envelope(
    request: Request, service: Service, sender: _Sender, query: Mapping[str, object]
) -> Artifact:
    validate(ArtifactFields, query, "query")
    save = partial(_save_envelope, sender, state_of(request.app).checked, query)
    return await use_body(request, service, save, sender.artifacts.max_data_bytes)


def _save_envelope(sender: _Sender, checked: CheckedJson, query: Mapping[str, object], body: bytes) -> Artifact:
    with checked.turn(len(body)):
        with without_collector():
            envelope = ArtifactEnvelope.model_validate_json(body)
        said = envelope.model_dump(exclude_unset=True, exclude={"data"})
        fields = ArtifactFields.model_validate({**query, **said})
        artifact = _save_value(sender, envelope.data, fields)
    checked.note(artifact.sha256)
    return artifact


def _save_value(sender: _Sender, value: object, fields: ArtifactFields) -> Artifact:
    options = _options(fields, None, _JSON)
    # Python's own writer would take several times as long, and nothing else runs meanwhile.
    text = to_json(value, inf_nan_mode="constants")
    if len(text) > MAX_INLINE_BYTES and is_json(fields.media_type or _JSON) and not _NO_NUMBERS.search(text):
        return sender.save(text, fields.parent_id, options)
    options["as_json"] = True  # it finds the place of what is no number
    return sender.save(value, fields.parent_id, options)


class _Upload:
    """Bytes on their way in, from one thread after the other.

    What has been given up in the middle is closed while a thread may still write a piece.
    """

    def __init__(self, sender: _Sender) -> None:
        self._sender = sender
        self._artifacts = sender.artifacts
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
            return self._sender.save(self._staged or b"", fields.parent_id, _options(fields, name, media_type))

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
            if self._staged is not None:
                self._staged.__exit__(None, None, None)


@asynccontextmanager
async def _receiving(sender: _Sender) -> AsyncIterator[_Upload]:
    upload = _Upload(sender)
    try:
        yield upload
    finally:
        await call_in_thread(upload.close)


def _options(fields: ArtifactFields, name: str | None, media_type: str | None) -> Options:
    """What is said of the content beside its parent: by the fields, or else by the form's file or the header."""
    cleaned = clean_name(fields.name or name or "") or None
    return {
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
