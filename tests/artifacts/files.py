"""What is in the directory of artifacts, as `ls` and `sqlite3` see it."""

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path

from servicekit.artifacts import Artifacts


def list_blobs(artifacts: Artifacts) -> set[str]:
    """The names of all blobs."""
    return {path.name for path in Path(artifacts.address, "blobs").glob("*/*")}


def list_staged(artifacts: Artifacts) -> list[Path]:
    """The temporary files."""
    return sorted(Path(artifacts.address, "staging").glob("*"))


def list_needed(artifacts: Artifacts) -> set[str]:
    """The blobs to which a row refers."""
    with closing(sqlite3.connect(Path(artifacts.address, "index.db"))) as connection:
        rows = connection.execute("SELECT DISTINCT hex(sha256) FROM artifacts WHERE json_text IS NULL").fetchall()
    return {text.lower() for (text,) in rows}


def check_files(artifacts: Artifacts) -> None:
    """Every row has its blob, with the right content, and there is no other blob."""
    assert list_blobs(artifacts) == list_needed(artifacts)
    check_blobs(artifacts)


def check_blobs(artifacts: Artifacts) -> None:
    """Every row has its blob, and every blob has the content that its name says."""
    assert list_needed(artifacts) <= list_blobs(artifacts)
    for path in Path(artifacts.address, "blobs").glob("*/*"):
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
