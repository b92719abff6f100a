"""The index as a port."""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from servicekit.artifacts.hierarchy import Hierarchy
from servicekit.artifacts.ports import Added, Expirable, Removed
from servicekit.artifacts.record import (
    Artifact,
    ArtifactFilter,
    ArtifactPage,
    ArtifactStats,
    ArtifactTree,
    Changes,
    NewArtifact,
)
from servicekit.artifacts.sqlite import reads, writes
from servicekit.artifacts.sqlite.connections import IndexConnections


class SqliteIndex:
    """An `ArtifactIndex` in the file `index.db` of a directory."""

    def __init__(self, directory: Path) -> None:
        self.location = str(directory)
        self._file = IndexConnections(directory / "index.db")

    def declare(self, hierarchies: Sequence[Hierarchy]) -> None:
        self._file.write(lambda connection: writes.declare(connection, hierarchies))

    def add(self, new: NewArtifact, place: Callable[[], None]) -> Added:
        return self._file.write(lambda connection: writes.add(connection, new, place))

    def update(self, artifact_id: str, changes: Changes) -> Artifact:
        return self._file.write(lambda connection: writes.update(connection, artifact_id, changes))

    def remove(self, artifact_id: str, *, recursive: bool, owner: str | None = None) -> Removed:
        return self._file.write(lambda connection: writes.remove(connection, artifact_id, recursive, owner))

    def remove_kept(self, job_ids: Collection[str]) -> Removed:
        return self._file.write(lambda connection: writes.remove_kept(connection, job_ids))

    def remove_expired(self, artifact_ids: Collection[str]) -> Removed:
        return self._file.write(lambda connection: writes.remove_expired(connection, artifact_ids))

    def release(self, blobs: Collection[str], remove: Callable[[str], None]) -> int:
        # A row that is added in the same transaction may refer to one of them, so they are looked for after it.
        return self._file.write_then(lambda connection: writes.release(connection, blobs, remove))

    def get(self, artifact_id: str) -> Artifact:
        return self._file.read(lambda connection: reads.get(connection, artifact_id))

    def list(self, wanted: ArtifactFilter, limit: int, cursor: str | None) -> ArtifactPage:
        return self._file.read(lambda connection: reads.list_page(connection, wanted, limit, cursor))

    def get_tree(self, artifact_id: str, limit: int, cursor: str | None, owner: str | None = None) -> ArtifactTree:
        return self._file.read(lambda connection: reads.get_tree(connection, artifact_id, limit, cursor, owner))

    def list_ancestors(self, artifact_id: str, limit: int) -> Sequence[Artifact]:
        return self._file.read(lambda connection: reads.list_ancestors(connection, artifact_id, limit))

    def get_stats(self, owner: str | None = None) -> ArtifactStats:
        return self._file.read(lambda connection: reads.get_stats(connection, owner))

    def find_blobs(self, blobs: Collection[str]) -> set[str]:
        return self._file.read(lambda connection: reads.find_blobs(connection, blobs))

    def list_expirable(
        self, kind: str | None, *, except_kinds: Collection[str] = (), after: int = 0, limit: int
    ) -> Sequence[Expirable]:
        return self._file.read(lambda connection: reads.list_expirable(connection, kind, except_kinds, after, limit))

    def sum_bytes(self) -> dict[str, int]:
        return self._file.read(reads.sum_bytes)

    def list_job_ids(self, after: str, limit: int) -> Sequence[str]:
        return self._file.read(lambda connection: reads.list_job_ids(connection, after, limit))

    def close(self) -> None:
        self._file.close()
