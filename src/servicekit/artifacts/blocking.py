"""The calls of artifacts, for plain functions, threads and processes."""

import hashlib
import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, TypedDict, Unpack

from servicekit.artifacts.checks import (
    check_kind,
    check_media_type,
    check_name,
    check_tags,
    write_metadata,
)
from servicekit.artifacts.content import Content, describe_content, read_content
from servicekit.artifacts.ports import StagedBlob
from servicekit.artifacts.record import (
    MAX_INLINE_BYTES,
    Artifact,
    ArtifactFilter,
    ArtifactPage,
    ArtifactStats,
    ArtifactTree,
    Changes,
    Keep,
    NewArtifact,
    Origin,
    Swept,
    is_json,
)
from servicekit.artifacts.storage import ArtifactStorage
from servicekit.errors import ArtifactsUnavailable, InvalidContent
from servicekit.jobs.current import check_may_block, running_job
from servicekit.jobs.ids import JobIds, parse_artifact_id
from servicekit.jobs.texts import is_short_text

if TYPE_CHECKING:
    from ulid import ULID


ArtifactList = list[Artifact]  # within the classes, `list` is a method
MAX_PAGE: Final = 1_000  # artifacts; more would take long to send, and nobody looks at them


class Options(TypedDict, total=False):
    """What can be said of an artifact when it is saved."""

    id: "str | ULID | None"
    """Its id, a ULID. Without it a new one is made."""
    parent: "str | ULID | Artifact | None"
    """The artifact below which it stands."""
    kind: str
    """What it is to the service, in letters, digits, dots, dashes and underscores; `artifact`, if nothing is said."""
    name: str | None
    """One line for people. A file's name, if none is given."""
    media_type: str | None
    """Such as `text/csv; charset=utf-8`."""
    metadata: Mapping[str, object] | None
    """A JSON object of at most 16 KiB."""
    tags: Iterable[str]
    """Short texts by which it is found; at most 50."""
    keep: Keep | None
    """`job`: it goes when its job is deleted or dropped. `always`: it is pinned, so retention leaves it alone."""
    as_json: bool
    """A `str` is a JSON value, and bytes are a JSON text, which is read and checked."""
    owner: str | None
    """Whose it is, in a service that knows its users; by default the owner of the job that saves it."""
    origin: Origin | None
    """For code that passes on what a client has sent: `Origin.UPLOAD`."""


class BlockingArtifacts:
    """Saves and reads artifacts. Every call blocks, and raises `WouldBlock` on an event loop: see `Artifacts.aio`.

    `ArtifactsUnavailable`, with what is wrong, if the directory cannot be read or written; then nothing has changed.
    """

    def __init__(self) -> None:
        self._ids = JobIds()
        self._naming = threading.Lock()

    def stage(self) -> StagedBlob:
        """Room for content that comes in pieces: `with artifacts.stage() as staged: staged.write(...)`.

        Save it within the block: `artifacts.save(staged, ...)`. Else it is given up at the end of the block.
        """
        return self._open("stage").blobs.stage()

    def save(self, content: object, **options: Unpack[Options]) -> Artifact:
        """Save a content, and return what is known of it. When this returns it is on the disk.

        The content is bytes, the path of a file (a `Path`), a file that is open for reading bytes, a text, a `Table`,
        a DataFrame, or any other value that JSON has: a dictionary, a list, a number, `True`, `None`. A `str` is a
        text, and never a path. A DataFrame is saved as a Parquet file if pyarrow is there, else as a `Table`.

        JSON is strict: NaN and infinite numbers are `InvalidContent`, which names their place, and so is what is nested
        more than 200 deep. Bytes and texts are kept as they are, whatever `media_type` says, unless `as_json` is given.

        Within a job, the artifact has the job's id and the number of the attempt. `ArtifactConflict` if there is an
        artifact with this `id`, unless an earlier attempt of this job has saved it: then the new one takes its place.
        `ArtifactConflict` also for a kind that a `Hierarchy` has elsewhere; `ArtifactNotFound` if there is no `parent`.
        """
        storage = self._open("save")
        found = describe_content(content, as_json=options.get("as_json", False))
        given = options.get("media_type")
        media_type = check_media_type(found.media_type if given is None else given)
        if found.json_text is not None and not is_json(media_type):
            raise InvalidContent(("media_type",), "the content is JSON: it must be application/json, or end with +json")
        new = self._describe(found, media_type, options)
        if found.json_text is not None and len(raw := found.json_text.encode()) <= MAX_INLINE_BYTES:
            sha256 = hashlib.sha256(raw).hexdigest()
            return storage.add(replace(new, size=len(raw), sha256=sha256, json_text=found.json_text), None)
        with found.staged or storage.blobs.stage() as staged:
            found.write_to(staged)
            staged.finish()
            return storage.add(replace(new, size=staged.size, sha256=staged.sha256), staged)

    def get(self, artifact_id: "str | ULID") -> Artifact:
        """What is known of the artifact, with its `data` where that is small JSON. `ArtifactNotFound`."""
        return self._open("get").index.get(parse_artifact_id(artifact_id))

    def open(self, artifact_id: "str | ULID") -> BinaryIO:
        """The content, open for reading bytes; close it. It can be read to its end, also if it is deleted meanwhile."""
        storage = self._open("open")
        return storage.open_content(storage.index.get(parse_artifact_id(artifact_id)))

    def path(self, artifact_id: "str | ULID") -> Path | None:
        """The file of the content, which must not be changed. It goes when the artifact is deleted.

        `None` if there is no such file: small JSON is in the index, and blobs can be on another machine.
        """
        storage = self._open("path")
        artifact = storage.index.get(parse_artifact_id(artifact_id))
        return storage.blobs.find_path(artifact.sha256) if artifact.json_text is None else None

    def load(self, artifact_id: "str | ULID") -> object:
        """The content as it was saved: a `Table`, a DataFrame, what JSON has, or a text; of other media types bytes.

        `InvalidContent` if an uploaded content is not what its media type says. `ArtifactsUnavailable` if the file of
        the content was changed. It takes memory for the whole of it.
        """
        storage = self._open("load")
        artifact = storage.index.get(parse_artifact_id(artifact_id))
        with storage.open_content(artifact) as file:
            content = file.read()
        if artifact.json_text is None and hashlib.sha256(content).hexdigest() != artifact.sha256:
            artifact = storage.index.get(artifact.id)  # a later attempt of its job may have saved it again
            if hashlib.sha256(content).hexdigest() != artifact.sha256:
                raise ArtifactsUnavailable(storage.blobs.location, f"the blob {artifact.sha256} is damaged.")
        return read_content(content, artifact.media_type, is_table=artifact.is_table)

    def list(
        self,
        *,
        kind: str | None = None,
        parent: "str | ULID | Artifact | None" = None,
        job: "str | ULID | None" = None,
        tag: str | None = None,
        owner: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> ArtifactPage:
        """Artifacts that fit all that is given, the newest first, at most 1,000 at once.

        The next page begins at the `cursor` that the last one has given. What is saved or deleted meanwhile does not
        shift the pages.
        """
        storage = self._open("list")
        wanted = ArtifactFilter(kind, _id_of(parent), None if job is None else parse_artifact_id(job), tag, owner)
        return storage.index.list(wanted, check_limit(limit), cursor)

    def tree(
        self,
        artifact_id: "str | ULID",
        *,
        owner: str | None = None,
        limit: int = MAX_PAGE,
        cursor: str | None = None,
    ) -> ArtifactTree:
        """The artifact and all that stands below it, level by level, however deep; at most 1,000 at once.

        With an `owner`, as that owner sees it: without what is another's, and what stands below that.
        """
        return self._open("tree").index.get_tree(parse_artifact_id(artifact_id), check_limit(limit), cursor, owner)

    def ancestors(self, artifact_id: "str | ULID", *, limit: int = MAX_PAGE) -> ArtifactList:
        """What stands above the artifact, and itself as the last; the root first.

        They are the nearest ones, at most 1,000. If the first has a parent, ask again with the id of that.
        """
        return [*self._open("ancestors").index.list_ancestors(parse_artifact_id(artifact_id), check_limit(limit))]

    def update(
        self,
        artifact_id: "str | ULID",
        *,
        metadata: Mapping[str, object] | None = None,
        tags: Iterable[str] | None = None,
        pinned: bool | None = None,
    ) -> Artifact:
        """Replace the metadata or the tags, or pin the artifact; `None` changes nothing. The content never changes."""
        changes = Changes(
            metadata=None if metadata is None else write_metadata(metadata),
            tags=None if tags is None else check_tags(tags),
            is_pinned=pinned,
        )
        return self._open("update").index.update(parse_artifact_id(artifact_id), changes)

    def delete(self, artifact_id: "str | ULID", *, recursive: bool = False, owner: str | None = None) -> int:
        """Delete the artifact, with `recursive` and all that stands below it. Return how many were deleted.

        `ArtifactConflict` if it has others below it and `recursive` is not given. The space on the disk is free when
        this returns, unless another artifact has the same content. What the disk does not remove is left for `sweep`.

        With an `owner`, as this owner may: `ArtifactNotFound` for what is another's, and `ArtifactConflict` if any of
        what stands below it is.
        """
        return self._open("delete").remove(parse_artifact_id(artifact_id), recursive=recursive, owner=owner)

    def stats(self, *, owner: str | None = None) -> ArtifactStats:
        """How many artifacts there are, or an owner has, and how many bytes, by kind. The same content counts once."""
        return self._open("stats").index.get_stats(owner)

    def sweep(self) -> Swept:
        """Remove what a crash has left: temporary files of processes that have died, and blobs without an artifact.

        What is being saved meanwhile, by any process, is left alone.
        """
        return self._open("sweep").sweep()

    @property
    def storage(self) -> ArtifactStorage:
        """The index and the blobs, as this process has them open. Their calls block."""
        raise NotImplementedError

    def _open(self, call: str) -> ArtifactStorage:
        check_may_block(f"artifacts.{call}()", f"`await artifacts.aio.{call}()`")
        return self.storage

    def _describe(self, found: Content, media_type: str, options: Options) -> NewArtifact:
        """What is said of a content, checked, before the content is read: its size and hash come later."""
        wanted_id, job = options.get("id"), running_job()
        return NewArtifact(
            id=parse_artifact_id(wanted_id) if wanted_id is not None else self._next_id(),
            parent_id=_id_of(options.get("parent")),
            kind=check_kind(options.get("kind", "artifact")),
            name=_as_name(found.name) if options.get("name") is None else check_name(options["name"]),
            media_type=media_type,
            size=0,
            sha256="",
            metadata=write_metadata(options.get("metadata")),
            tags=check_tags(options.get("tags", ())),
            job_id=None if job is None else job.id,
            attempt=None if job is None else job.attempt,
            origin=_check_origin(options.get("origin"), is_in_job=job is not None),
            keep=_check_keep(options.get("keep"), is_in_job=job is not None),
            is_table=found.is_table,
            json_text=None,
            owner=_check_owner(options.get("owner", job and job.submission.options.owner)),
        )

    def _next_id(self) -> str:
        with self._naming:  # a `JobIds` is for one thread
            return self._ids.next_id()


def check_limit(limit: object) -> int:
    """Return the limit of a page; `InvalidContent` unless it is 1 to 1,000."""
    if type(limit) is int and 1 <= limit <= MAX_PAGE:
        return limit
    raise InvalidContent(("limit",), f"it must be a whole number from 1 to {MAX_PAGE:,}")


def _id_of(value: "str | ULID | Artifact | None") -> str | None:
    if isinstance(value, Artifact):
        return value.id
    return None if value is None else parse_artifact_id(value)


def _as_name(name: str | None) -> str | None:
    """The name of a file, if it can be one of an artifact. Nobody has chosen it as such, so it is no mistake if not."""
    return name if name and is_short_text(name) else None


def _check_keep(keep: object, *, is_in_job: bool) -> Keep | None:
    if keep is None or keep == "always":
        return keep
    if keep != "job":
        raise InvalidContent(("keep",), "it must be 'job', 'always', or None")
    if not is_in_job:
        raise InvalidContent(("keep",), "there is no job with which it could go: save it in one")
    return "job"


def _check_owner(owner: object) -> str | None:
    if owner is None or (isinstance(owner, str) and is_short_text(owner)):
        return owner
    raise InvalidContent(("owner",), f"it must be a short text, and not {owner!r}")


def _check_origin(origin: str | None, *, is_in_job: bool) -> Origin:
    if origin is None:
        return Origin.JOB if is_in_job else Origin.CODE
    try:
        return Origin(origin)
    except ValueError:
        raise InvalidContent(("origin",), f"it must be one of {', '.join(Origin)}") from None
