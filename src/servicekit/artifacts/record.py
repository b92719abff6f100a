"""What is known of artifacts."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final, Literal

MAX_INLINE_BYTES: Final = 64 * 1024  # a row of the index; larger JSON is a blob, so that rows are read fast

Keep = Literal["job", "always"]
"""`job`: the artifact goes when its job is deleted or dropped. `always`: it is pinned, so retention leaves it alone."""


class Origin(StrEnum):
    """Who has saved an artifact. What a client has uploaded must never be loaded as code."""

    JOB = "job"
    UPLOAD = "upload"
    CODE = "code"


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """What is known of one artifact at one moment. Its content never changes; metadata, tags and `keep` can."""

    id: str
    """A ULID."""
    parent_id: str | None
    level: int
    """How many artifacts stand above it."""
    level_label: str | None
    """The name of the level in its hierarchy; `None` if its kind stands in no hierarchy."""
    kind: str
    name: str | None
    media_type: str
    size: int
    """In bytes."""
    sha256: str
    """Of the content, in hexadecimal digits."""
    metadata: Mapping[str, object] = field(hash=False)
    tags: tuple[str, ...]
    job_id: str | None
    """The job that has saved it; `None` outside of one."""
    attempt: int | None
    origin: Origin
    keep: Keep | None
    created_at: datetime
    updated_at: datetime
    is_table: bool = False
    """Whether it was saved as a `Table`: `load` gives one then."""
    owner: str | None = None
    """Whose it is; `None` if it is nobody's. It never changes."""
    json_text: str | None = field(default=None, repr=False, compare=False)
    """The content, where it is JSON of at most 64 KiB. Lists and trees never have it."""

    @property
    def data(self) -> object:
        """The content as a new value, where it is JSON of at most 64 KiB; else `None`: see `Artifacts.load`."""
        return None if self.json_text is None else json.loads(self.json_text)

    @property
    def is_json(self) -> bool:
        """Whether the media type is one of JSON."""
        return is_json(self.media_type)

    @property
    def is_pinned(self) -> bool:
        """Whether retention leaves it alone."""
        return self.keep == "always"


@dataclass(frozen=True, slots=True)
class ArtifactPage:
    """Some artifacts, the newest first, without their content."""

    artifacts: tuple[Artifact, ...]
    next_cursor: str | None
    """Where the next page begins; `None` if there is none."""


@dataclass(frozen=True, slots=True)
class ArtifactTree:
    """An artifact and what stands below it, level by level, so that a parent stands before its children."""

    artifacts: tuple[Artifact, ...]
    next_cursor: str | None
    """Where the next page begins; `None` if there is none."""


@dataclass(frozen=True, slots=True)
class KindStats:
    """How much there is of one kind."""

    count: int
    bytes: int
    """The same content counts once for each kind."""


@dataclass(frozen=True, slots=True)
class ArtifactStats:
    """How much there is."""

    count: int
    bytes: int
    """The same content counts once."""
    by_kind: Mapping[str, KindStats]


@dataclass(frozen=True, slots=True)
class ArtifactFilter:
    """Which artifacts are meant: those that fit everything that is given."""

    kind: str | None = None
    parent_id: str | None = None
    job_id: str | None = None
    tag: str | None = None
    owner: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewArtifact:
    """An artifact that is to be saved. Everything in it was checked, except for what stands in the index."""

    id: str
    parent_id: str | None
    kind: str
    name: str | None
    media_type: str
    size: int
    sha256: str
    metadata: str
    """As JSON."""
    tags: tuple[str, ...]
    job_id: str | None
    attempt: int | None
    origin: Origin
    keep: Keep | None
    is_table: bool
    json_text: str | None
    """The content, if it is kept in the index; else it is a blob."""
    owner: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What changes of an artifact; `None` leaves it as it is."""

    metadata: str | None = None
    tags: tuple[str, ...] | None = None
    is_pinned: bool | None = None


@dataclass(frozen=True, slots=True)
class Swept:
    """What `sweep` has removed: what a crash has left."""

    temporary_files: int
    blobs: int


def is_json(media_type: str) -> bool:
    """Whether a media type is one of JSON: `application/json`, or one that ends with `+json`."""
    essence = media_type.partition(";")[0].strip().lower()
    return essence == "application/json" or essence.endswith("+json")
