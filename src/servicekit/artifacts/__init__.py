"""Artifacts: contents of any size with what is known of them, kept by code, by jobs and by clients.

    from servicekit.artifacts import Artifacts

    artifacts = Artifacts("artifacts")
    model = artifacts.save(Path("model.bin"), kind="model", metadata={"rmse": 0.3})
    artifacts.save({"rows": 17}, parent=model)

Guarantees. What was saved is on the disk when the caller is told. A row is the truth: each has its content, whichever
process died at whatever moment. The same content is kept once, and its space is free when the last artifact that has
it is deleted. Content never changes.

In the directory: `index.db`, the rows, and JSON up to 64 KiB in them; `blobs/ab/abcdef…`, all other contents by their
SHA-256; `staging/`, what is being written; `lock.db`, the lock of writers. All of it is for its owner alone (modes 0700
and 0600).

Any number of processes of one machine may use a directory at once. `servicekit.artifacts.ports` draws in which order
they write. Everything here but the routes needs the standard library alone, since a job's own process imports it.
"""

from servicekit.artifacts.artifacts import Artifacts
from servicekit.artifacts.hierarchy import Hierarchy
from servicekit.artifacts.ports import StagedBlob
from servicekit.artifacts.record import (
    Artifact,
    ArtifactPage,
    ArtifactStats,
    ArtifactTree,
    Keep,
    KindStats,
    Origin,
    Swept,
)
from servicekit.artifacts.retention import ArtifactBounds, ArtifactRetention
from servicekit.artifacts.table import Table
from servicekit.errors import (
    ArtifactConflict,
    ArtifactNotFound,
    ArtifactsUnavailable,
    ContentTooLarge,
    InvalidArtifactId,
    InvalidContent,
)

__all__ = [
    "Artifact",
    "ArtifactBounds",
    "ArtifactConflict",
    "ArtifactNotFound",
    "ArtifactPage",
    "ArtifactRetention",
    "ArtifactStats",
    "ArtifactTree",
    "Artifacts",
    "ArtifactsUnavailable",
    "ContentTooLarge",
    "Hierarchy",
    "InvalidArtifactId",
    "InvalidContent",
    "Keep",
    "KindStats",
    "Origin",
    "StagedBlob",
    "Swept",
    "Table",
]
