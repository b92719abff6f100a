"""The index as a port."""

from collections.abc import Callable, Collection, Sequence

from servicekit.artifacts.hierarchy import Hierarchy
from servicekit.artifacts.ports import Added, BlobStore, Expirable, Removed
from servicekit.artifacts.postgres import marks, reads, writes
from servicekit.artifacts.record import (
    Artifact,
    ArtifactFilter,
    ArtifactPage,
    ArtifactStats,
    ArtifactTree,
    Changes,
    NewArtifact,
)
from servicekit.errors import ArtifactsUnavailable, StoreUnavailable
from servicekit.stores.postgres.address import Address
from servicekit.stores.postgres.pool import ConnectionPool
from servicekit.stores.postgres.schema import prepare


class PostgresIndex:
    """An `ArtifactIndex` in the tables of a database."""

    def __init__(self, address: Address) -> None:
        self.location = address.location
        self._address = address
        self._pool = ConnectionPool(address, purpose="artifacts", refuse=ArtifactsUnavailable)

    def declare(self, hierarchies: Sequence[Hierarchy]) -> None:
        self._pool.write(lambda session: writes.declare(session, hierarchies))

    def add(self, new: NewArtifact, place: Callable[[], None]) -> Added:
        return self._pool.write(lambda session: writes.add(session, new, place))

    def update(self, artifact_id: str, changes: Changes) -> Artifact:
        return self._pool.write(lambda session: writes.update(session, artifact_id, changes))

    def remove(self, artifact_id: str, *, recursive: bool, owner: str | None = None) -> Removed:
        return self._pool.write(lambda session: writes.remove(session, artifact_id, recursive, owner))

    def remove_kept(self, job_ids: Collection[str]) -> Removed:
        return self._pool.write(lambda session: writes.remove_kept(session, job_ids))

    def remove_expired(self, artifact_ids: Collection[str]) -> Removed:
        return self._pool.write(lambda session: writes.remove_expired(session, artifact_ids))

    def release(self, blobs: Collection[str], remove: Callable[[str], None]) -> int:
        return self._pool.write(lambda session: writes.release(session, blobs, remove))

    def get(self, artifact_id: str) -> Artifact:
        return self._pool.read(lambda session: reads.get(session, artifact_id))

    def list(self, wanted: ArtifactFilter, limit: int, cursor: str | None) -> ArtifactPage:
        return self._pool.read(lambda session: reads.list_page(session, wanted, limit, cursor))

    def get_tree(self, artifact_id: str, limit: int, cursor: str | None, owner: str | None = None) -> ArtifactTree:
        return self._pool.read(lambda session: reads.get_tree(session, artifact_id, limit, cursor, owner))

    def list_ancestors(self, artifact_id: str, limit: int) -> Sequence[Artifact]:
        return self._pool.read(lambda session: reads.list_ancestors(session, artifact_id, limit))

    def get_stats(self, owner: str | None = None) -> ArtifactStats:
        return self._pool.read(lambda session: reads.get_stats(session, owner))

    def find_blobs(self, blobs: Collection[str]) -> set[str]:
        return self._pool.read(lambda session: writes.find_blobs(session, blobs))

    def list_expirable(
        self, kind: str | None, *, except_kinds: Collection[str] = (), after: int = 0, limit: int
    ) -> Sequence[Expirable]:
        return self._pool.read(lambda session: reads.list_expirable(session, kind, except_kinds, after, limit))

    def sum_bytes(self) -> dict[str, int]:
        return self._pool.read(reads.sum_bytes)

    def list_job_ids(self, after: str, limit: int) -> Sequence[str]:
        return self._pool.read(lambda session: reads.list_job_ids(session, after, limit))

    def check_place(self, blobs: BlobStore) -> None:
        """`ArtifactsUnavailable` unless this is the place of this index's blobs. An empty place can become it once."""
        if not self._pool.read(marks.has_table):
            self._make_tables()
        mark = self._pool.read(marks.find_mark) or self._pool.write(marks.add_mark)
        if not mark.is_placed:
            self._pool.write(lambda session: marks.place_mark(session, blobs))
        elif not marks.has_mark(blobs, mark):
            raise marks.refuse_place(blobs)

    def _make_tables(self) -> None:
        """As a service does when it starts: a script may be the first that uses a database."""
        try:
            prepare(self._address)
        except StoreUnavailable as error:
            raise ArtifactsUnavailable(error.place, error.reason) from error

    def close(self) -> None:
        self._pool.close()
