"""Where artifacts are, and the parts that keep them there."""

import os
import re
from pathlib import Path
from typing import Final

from servicekit.artifacts.directory import DirectoryBlobs
from servicekit.artifacts.folder import check_owner
from servicekit.artifacts.ports import ArtifactIndex, BlobStore
from servicekit.artifacts.sqlite.index import SqliteIndex
from servicekit.artifacts.storage import ArtifactStorage
from servicekit.errors import ArtifactsUnavailable, ConfigurationError

DEFAULT_DIRECTORY: Final = "artifacts"
_DATABASE: Final = "database:"
_URL: Final = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)


def check_place(place: object) -> str:
    """The place as a text: a URL as it is, a directory with its whole path. `ConfigurationError` for what is none."""
    if not isinstance(place, str | os.PathLike):
        raise ConfigurationError("place", place, 'the path of a directory, or a URL such as "s3://bucket/artifacts"')
    text = os.fspath(place)
    if not _URL.match(text):
        return str(Path(text).absolute())
    if "@" in text or "?" in text:
        sentence = "The URL of artifacts can have no password and no options: they come from the environment."
        raise ConfigurationError("place", text.partition("://")[0], sentence=sentence)
    return text


def address_of(place: str, *, is_in_database: bool) -> str:
    """What another process needs to know besides the database of its jobs. There is no password in it."""
    return f"{_DATABASE}{place}" if is_in_database else place


def read_address(address: str) -> str:
    """The place in an address."""
    return address.removeprefix(_DATABASE)


def check_chosen(place: str | None, database_url: str | None) -> None:
    """`ConfigurationError` if contents can not be kept there, with jobs in this database, or in none."""
    if place is None and database_url is not None:
        sentence = (
            "The jobs are in a database server, for many machines. Say where the contents of artifacts are, which all "
            'of them must reach: Artifacts("/mnt/shared/artifacts"), or Artifacts("s3://bucket/artifacts").'
        )
        raise ConfigurationError("place", None, sentence=sentence)
    if place is not None and _URL.match(place) and database_url is None:
        sentence = (
            f"Artifacts in {place} need their jobs in a database server, postgresql://..., where their index is too. "
            "With jobs elsewhere, use a directory."
        )
        raise ConfigurationError("place", place, sentence=sentence)


def open_storage(
    place: str, database_url: str | None, blobs: BlobStore | None, index: ArtifactIndex | None
) -> ArtifactStorage:
    """The parts for this place. `blobs` and `index` are those that the user has given."""
    if index is None and blobs is None:
        check_chosen(place, database_url)
    blobs = blobs or _create_blobs(place, is_shared=database_url is not None)
    if index is not None:
        return ArtifactStorage(blobs, index)
    if database_url is None:
        return ArtifactStorage(blobs, SqliteIndex(Path(place)))
    return ArtifactStorage(blobs, _open_index(database_url, blobs))


def _create_blobs(place: str, *, is_shared: bool) -> BlobStore:
    if _URL.match(place):
        from servicekit.artifacts.objects import ObjectBlobs  # late: it needs an extra

        return ObjectBlobs(place)
    return DirectoryBlobs(Path(place), is_shared=is_shared)


def _open_index(database_url: str, blobs: BlobStore) -> ArtifactIndex:
    # Late: it needs the driver, and a job's own process may have no use for it.
    from servicekit.artifacts.postgres.index import PostgresIndex
    from servicekit.stores.postgres.address import read_address as read_database

    if isinstance(blobs, DirectoryBlobs) and Path(blobs.location, "index.db").exists():
        reason = "it has an index of its own, index.db, of a service with jobs in a file. Use another directory."
        raise ArtifactsUnavailable(blobs.location, reason)
    index = PostgresIndex(read_database("url", database_url))
    try:
        index.check_place(blobs)
        if isinstance(blobs, DirectoryBlobs):
            check_owner(Path(blobs.location))
    except BaseException:
        index.close()
        raise
    return index
