"""Blobs and index together: the order in which they are written, see `ports`."""

import logging
from collections.abc import Collection, Iterable, Iterator
from io import BytesIO
from itertools import islice
from typing import BinaryIO, Final

from servicekit.artifacts.ports import ArtifactIndex, BlobStore, Removed, StagedBlob
from servicekit.artifacts.record import Artifact, NewArtifact, Swept
from servicekit.errors import ArtifactNotFound, ArtifactsUnavailable

# So many blobs are looked up at once: neither the memory nor the lock of the index is held for long.
_AT_ONCE: Final = 500

_log = logging.getLogger("servicekit.artifacts")


class ArtifactStorage:
    """Keeps artifacts in one process: the parts, and what takes both. It may be used from any thread."""

    def __init__(self, blobs: BlobStore, index: ArtifactIndex) -> None:
        self.blobs = blobs
        self.index = index

    def add(self, new: NewArtifact, staged: StagedBlob | None) -> Artifact:
        """Save an artifact whose content is in `new`, or staged and finished."""
        placing = _Placing(self.blobs, staged)
        try:
            artifact, released = self.index.add(new, placing)
        except BaseException:
            if placing.has_begun:  # it may be there already, and its row not
                self._release([new.sha256])
            raise
        self._release(released)
        return artifact

    def remove(self, artifact_id: str, *, recursive: bool, owner: str | None = None) -> int:
        """Remove an artifact, and what is below it, for this owner. Return how many there were."""
        return self._finish(self.index.remove(artifact_id, recursive=recursive, owner=owner))

    def remove_kept(self, job_ids: Collection[str]) -> int:
        """Remove what was saved with `keep="job"` by these jobs, and what is below it. Return how many there were."""
        return self._finish(self.index.remove_kept(job_ids))

    def remove_expired(self, artifact_ids: Collection[str]) -> int:
        """Remove those of these that are not pinned and have no children. Return how many there were."""
        return self._finish(self.index.remove_expired(artifact_ids))

    def open_content(self, artifact: Artifact) -> BinaryIO:
        """The content, open for reading. `ArtifactNotFound` if the artifact was deleted meanwhile."""
        for _ in range(2):
            if artifact.json_text is not None:
                return BytesIO(artifact.json_text.encode())
            try:
                return self.blobs.open(artifact.sha256)
            except FileNotFoundError:
                found = self.index.get(artifact.id)  # it raises if the artifact was deleted
                if found.sha256 == artifact.sha256:
                    raise ArtifactsUnavailable(self.blobs.location, f"the blob {found.sha256} is missing.") from None
                artifact = found  # a later attempt of its job has saved it again
        raise ArtifactNotFound(artifact.id)

    def sweep(self) -> Swept:
        """Remove what a crash has left: temporary files of dead processes, and blobs without a row."""
        files = self.blobs.sweep()
        blobs = 0
        for some in _batches(self.blobs.list(), _AT_ONCE):
            unknown = set(some) - self.index.find_blobs(some)
            if unknown:  # asked once more under the lock: they may be saved just now
                blobs += self._remove_unused(unknown)
        return Swept(files, blobs)

    def _finish(self, removed: Removed) -> int:
        self._release(removed.released)
        return removed.count

    def _release(self, blobs: Collection[str]) -> None:
        """Remove the blobs to which no row refers. What the caller wanted is committed by then, and has not failed."""
        if blobs:
            try:
                self._remove_unused(blobs)
            except ArtifactsUnavailable as error:
                _log.warning("What no artifact has any more is left for the next sweep: %s", error)

    def _remove_unused(self, blobs: Collection[str]) -> int:
        # Planned before the index is asked: by then, whatever was placed has its row, or never will.
        removals = {each: self.blobs.plan_removal(each) for each in blobs}
        return self.index.release(blobs, lambda sha256: removals[sha256]())


class _Placing:
    """Places a content when the index calls it; `None` if the content is in the row."""

    def __init__(self, blobs: BlobStore, staged: StagedBlob | None) -> None:
        self.has_begun = False
        self._blobs = blobs
        self._staged = staged

    def __call__(self) -> None:
        if self._staged is not None:
            self.has_begun = True
            self._blobs.place(self._staged)


def _batches(blobs: Iterable[str], size: int) -> Iterator[list[str]]:
    iterator = iter(blobs)
    while some := list(islice(iterator, size)):
        yield some
