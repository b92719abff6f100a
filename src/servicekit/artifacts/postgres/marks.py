"""The mark by which a process knows that it has the blobs of the index before it, and not a folder of its own machine.

It is a blob like others. Without it, a machine whose shared directory is not mounted would save where no other reads,
and two indexes with the same place would each take the blobs of the other for those that a crash has left.
"""

import hashlib
import secrets
from itertools import islice
from typing import NamedTuple

from servicekit.artifacts.ports import BlobStore
from servicekit.errors import ArtifactsUnavailable
from servicekit.stores.postgres.session import Session


class Mark(NamedTuple):
    """The content of the mark, and whether it is where the blobs are."""

    text: str
    is_placed: bool


def has_table(session: Session) -> bool:
    [(is_there,)] = session.run("SELECT to_regclass('servicekit.artifact_marks') IS NOT NULL")
    return bool(is_there)


def find_mark(session: Session) -> Mark | None:
    rows = session.run("SELECT mark, is_placed FROM servicekit.artifact_marks")
    return Mark(*rows[0]) if rows else None


def add_mark(session: Session) -> Mark:
    """Make a mark, unless another process has just done so. It is committed before anything is placed."""
    session.run("SELECT pg_advisory_xact_lock(%s)", [session.lock_number("artifact mark")])
    mark = find_mark(session)
    if mark is None:
        mark = Mark(f"servicekit artifacts {secrets.token_hex(32)}\n", is_placed=False)
        values = [mark.text, bytes.fromhex(_hash_of(mark.text))]
        session.run("INSERT INTO servicekit.artifact_marks (mark, sha256) VALUES (%s, %s)", values)
    return mark


def place_mark(session: Session, blobs: BlobStore) -> None:
    """Place the mark where the blobs will be. `ArtifactsUnavailable` if others are there."""
    session.run("SELECT 1 FROM servicekit.artifact_marks FOR UPDATE")
    mark = find_mark(session)
    assert mark is not None
    if not has_mark(blobs, mark):
        if mark.is_placed:
            raise refuse_place(blobs)
        if list(islice(blobs.list(), 1)):
            reason = "there are contents of other artifacts. Use a place that is empty."
            raise ArtifactsUnavailable(blobs.location, reason)
        with blobs.stage() as staged:
            staged.write(mark.text.encode())
            staged.finish()
            blobs.place(staged)
    session.run("UPDATE servicekit.artifact_marks SET is_placed = true")


def has_mark(blobs: BlobStore, mark: Mark) -> bool:
    try:
        blobs.open(_hash_of(mark.text)).close()
    except FileNotFoundError:
        return False
    return True


def refuse_place(blobs: BlobStore) -> ArtifactsUnavailable:
    """The error for a place without the mark."""
    reason = (
        "it is not where the contents of these artifacts are. All machines need the same place: a directory that each "
        "has mounted at this path, or an object store."
    )
    return ArtifactsUnavailable(blobs.location, reason)


def _hash_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
