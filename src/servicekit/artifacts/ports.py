"""The seams of artifacts: where the content is, and where it is written what there is.

    Artifacts ──▶ ArtifactStorage ──▶ BlobStore       the content, by its hash
                        └──────────▶ ArtifactIndex   the rows, which are the truth

A blob exists for as long as a row refers to it. Both orders below keep that, whatever process dies at any moment:

    save      content, synced ──▶ [lock: the blob gets its name ──▶ the row] ──▶ commit
    delete    the row ──▶ commit ──▶ removal planned ──▶ [lock: if no row refers to the blob ──▶ it is removed]

The lock is that of the index for this content, of all processes. So nobody can find a blob and refer to it while
somebody else removes it. That no row refers to it is committed before it is removed: else a row could come back that a
killed process was about to commit. A lock that a server holds can be lost while its process goes on. So a removal is
planned before the lock is taken, and removes only what was there then: not what another process has saved since.

A crash leaves a blob without a row, or a temporary file; `sweep` removes them. It never leaves a row without its blob.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol, Self, runtime_checkable

from servicekit.artifacts.hierarchy import Hierarchy
from servicekit.artifacts.record import (
    Artifact,
    ArtifactFilter,
    ArtifactPage,
    ArtifactStats,
    ArtifactTree,
    Changes,
    NewArtifact,
)


@runtime_checkable
class StagedBlob(Protocol):
    """Content on its way in, which nobody sees until it is placed. At the end of its `with` block it is given up."""

    sha256: str
    size: int

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Add to the content."""
        ...

    def finish(self) -> None:
        """The content is complete: sync it to the disk, and set `sha256` and `size`. It may be called twice."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class BlobStore(Protocol):
    """Keeps contents by their SHA-256, in hexadecimal digits. `ArtifactsUnavailable` if it cannot.

    `place`, and a planned removal, are called while others wait for the index, so they must be quick. What takes long,
    such as sending the content over a network, belongs into `write` and `finish`.
    """

    @property
    def location(self) -> str:
        """Where it is, for people."""
        ...

    def stage(self) -> StagedBlob:
        """Room for new content."""
        ...

    def place(self, staged: StagedBlob) -> None:
        """Give the finished content its name; then it is durable. A blob of the same content is replaced.

        It may be called again. `ArtifactsUnavailable` if the content was removed since.
        """
        ...

    def plan_removal(self, sha256: str) -> Callable[[], None]:
        """What removes the blob as it is there now, if it still is. One that is placed later is left alone.

        Who has it open can read on.
        """
        ...

    def open(self, sha256: str) -> BinaryIO:
        """The blob, open for reading. `FileNotFoundError` if it is not there. Links are not followed."""
        ...

    def find_path(self, sha256: str) -> Path | None:
        """The file of the blob; `None` if it is not in a file of this machine."""
        ...

    def list(self) -> Iterator[str]:
        """All blobs, also those that no row refers to, in any order."""
        ...

    def sweep(self) -> int:
        """Remove what processes that have died were writing. Return how many there were."""
        ...


class Added(NamedTuple):
    """A saved artifact, and the blob that is perhaps not needed any more, since it took another's place."""

    artifact: Artifact
    released: list[str]


@dataclass(frozen=True, slots=True)
class Removed:
    """How many artifacts were removed, and the blobs that perhaps nobody refers to any more."""

    count: int
    released: list[str]


class Expirable(NamedTuple):
    """What retention must know of an artifact that is not pinned."""

    number: int
    """In the order of saving."""
    id: str
    size: int
    created_at: datetime
    has_children: bool


class ArtifactWrites(Protocol):
    """Changes the index. Every call is atomic and durable, also while others write, in any process."""

    def declare(self, hierarchies: Sequence[Hierarchy]) -> None:
        """These hierarchies hold from now on, for all processes; others of the same name or with their kinds do not."""
        ...

    def add(self, new: NewArtifact, place: Callable[[], None]) -> Added:
        """Call `place`, then add the row. `ArtifactNotFound` if there is no parent; `ArtifactConflict`.

        Meanwhile nobody releases a blob of this content, in any process. `place` can be called again, if what was
        written with it is lost.

        If the id is that of an artifact of the same job's earlier attempt, the new one takes its place.
        """
        ...

    def update(self, artifact_id: str, changes: Changes) -> Artifact:
        """Change what can be changed. `ArtifactNotFound`."""
        ...

    def remove(self, artifact_id: str, *, recursive: bool, owner: str | None = None) -> Removed:
        """Remove a row, with `recursive` and all below it. `ArtifactNotFound`; `ArtifactConflict` for a parent.

        With an `owner`, `ArtifactNotFound` also for what is another's, and `ArtifactConflict` if any of what is below
        it is.
        """
        ...

    def remove_kept(self, job_ids: Collection[str]) -> Removed:
        """Remove what was saved with `keep="job"` by these jobs, and all that stands below it."""
        ...

    def remove_expired(self, artifact_ids: Collection[str]) -> Removed:
        """Remove those of these that are not pinned by now, and have no children."""
        ...

    def release(self, blobs: Collection[str], remove: Callable[[str], None]) -> int:
        """Call `remove` for each of these blobs to which no row refers, and none can meanwhile, in any process.

        Return how many there were.
        """
        ...


class ArtifactReads(Protocol):
    """Reads the index. A read sees all that was saved before it began, by any process."""

    def get(self, artifact_id: str) -> Artifact:
        """The artifact, with its content if that is in the index. `ArtifactNotFound`."""
        ...

    def list(self, wanted: ArtifactFilter, limit: int, cursor: str | None) -> ArtifactPage:
        """The newest first."""
        ...

    def get_tree(self, artifact_id: str, limit: int, cursor: str | None, owner: str | None = None) -> ArtifactTree:
        """The artifact and what stands below it. `ArtifactNotFound`.

        With an `owner`, for whom what is another's is not there, nor what stands below that.
        """
        ...

    def list_ancestors(self, artifact_id: str, limit: int) -> Sequence[Artifact]:
        """The nearest artifacts above it and itself, the root first. `ArtifactNotFound`."""
        ...

    def get_stats(self, owner: str | None = None) -> ArtifactStats:
        """How much there is, or how much an owner has, by kind. The same content counts once."""
        ...

    def find_blobs(self, blobs: Collection[str]) -> set[str]:
        """Those of these blobs to which a row refers."""
        ...


class ArtifactUpkeep(Protocol):
    """What retention asks. What is pinned (`keep="always"`) is left out."""

    def list_expirable(
        self, kind: str | None, *, except_kinds: Collection[str] = (), after: int = 0, limit: int
    ) -> Sequence[Expirable]:
        """The oldest of a kind, or of all but some kinds, with a number above `after`."""
        ...

    def sum_bytes(self) -> Mapping[str, int]:
        """The sizes of all artifacts together, by kind. The same content counts as often as it was saved."""
        ...

    def list_job_ids(self, after: str, limit: int) -> Sequence[str]:
        """The ids, above `after`, of jobs that have saved something with `keep="job"`, in order."""
        ...


class ArtifactIndex(ArtifactWrites, ArtifactReads, ArtifactUpkeep, Protocol):
    """The rows. `ArtifactsUnavailable`, with what is wrong, if it cannot be read or written; nothing is half done.

    It is opened by the first call. It may be used from any thread.
    """

    @property
    def location(self) -> str:
        """Where it is, for people."""
        ...

    def close(self) -> None:
        """Give back what is open. The next call opens it again."""
        ...
