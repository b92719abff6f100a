"""Our own places for artifacts pass the suites, and so does one that is no directory."""

import hashlib
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Self

import pytest

from servicekit.artifacts import Artifacts
from servicekit.artifacts.directory import DirectoryBlobs
from servicekit.artifacts.objects import ObjectBlobs
from servicekit.artifacts.ports import ArtifactIndex, BlobStore, StagedBlob
from servicekit.artifacts.postgres.index import PostgresIndex
from servicekit.artifacts.sqlite.index import SqliteIndex
from servicekit.stores.postgres.address import read_address
from servicekit.stores.postgres.schema import migrate
from servicekit.testing.artifacts import ArtifactIndexContract, BlobStoreContract


class TestDirectoryBlobs(BlobStoreContract):
    def create_store(self, folder: Path) -> BlobStore:
        return DirectoryBlobs(folder)


class TestSqliteIndex(ArtifactIndexContract):
    def create_index(self, folder: Path) -> ArtifactIndex:
        return SqliteIndex(folder)


class Staged:
    """A content that is in memory."""

    def __init__(self) -> None:
        self.sha256, self.size, self.content = "", 0, b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.content += bytes(data)

    def finish(self) -> None:
        self.sha256, self.size = hashlib.sha256(self.content).hexdigest(), len(self.content)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...


class Bucket:
    """A store of blobs that has no files, as an object store has none on this machine."""

    def __init__(self, blobs: dict[str, bytes]) -> None:
        self.location = "a bucket"
        self._blobs = blobs

    def stage(self) -> StagedBlob:
        return Staged()

    def place(self, staged: StagedBlob) -> None:
        assert isinstance(staged, Staged)
        self._blobs[staged.sha256] = bytes(bytearray(staged.content))  # an object of its own, as a file has a name

    def plan_removal(self, sha256: str) -> Callable[[], None]:
        planned = self._blobs.get(sha256)

        def remove() -> None:
            if self._blobs.get(sha256) is planned:
                self._blobs.pop(sha256, None)

        return remove

    def open(self, sha256: str) -> BinaryIO:
        if sha256 not in self._blobs:
            raise FileNotFoundError(sha256)
        return BytesIO(self._blobs[sha256])

    def find_path(self, sha256: str) -> Path | None: ...

    def list(self) -> Iterator[str]:
        return iter([*self._blobs])

    def sweep(self) -> int:
        return 0


class TestBucket(BlobStoreContract):
    @pytest.fixture(autouse=True)
    def _make_bucket(self) -> None:
        self.blobs: dict[str, bytes] = {}

    def create_store(self, folder: Path) -> BlobStore:
        return Bucket(self.blobs)


def test_artifacts_keep_their_contents_elsewhere(tmp_path: Path) -> None:
    blobs: dict[str, bytes] = {}
    artifacts = Artifacts(tmp_path, blobs=Bucket(blobs))
    saved = artifacts.save(b"content")
    assert (artifacts.load(saved.id), artifacts.path(saved.id)) == (b"content", None)
    assert list(blobs) == [saved.sha256]
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []
    artifacts.delete(saved.id)
    blobs["ab" * 32] = b"left by a crash"
    assert artifacts.sweep().blobs == 1
    assert blobs == {}
    artifacts.close()


class TestSharedDirectoryBlobs(BlobStoreContract):
    def create_store(self, folder: Path) -> BlobStore:
        return DirectoryBlobs(folder, is_shared=True)


class TestObjectsInMemory(BlobStoreContract):
    def create_store(self, folder: Path) -> BlobStore:
        return ObjectBlobs(f"memory://{folder.name}/artifacts")


class TestObjectsInFiles(BlobStoreContract):
    def create_store(self, folder: Path) -> BlobStore:
        return ObjectBlobs(f"file://{folder}/artifacts")


class TestObjectsInS3(BlobStoreContract):
    many = 30

    @pytest.fixture(autouse=True)
    def _make_bucket(self, s3_bucket: str) -> None:
        self.bucket = s3_bucket

    def create_store(self, folder: Path) -> BlobStore:
        return ObjectBlobs(f"s3://{self.bucket}/{folder.name}")


class TestPostgresIndex(ArtifactIndexContract):
    @pytest.fixture(autouse=True)
    def _make_tables(self, postgres_url: str) -> None:
        self.address = read_address("url", postgres_url)
        migrate(self.address)

    def create_index(self, folder: Path) -> ArtifactIndex:
        return PostgresIndex(self.address)
