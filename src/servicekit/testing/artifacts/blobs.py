"""What every store of blobs promises, as tests."""

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

import pytest

from servicekit.artifacts.ports import BlobStore
from servicekit.errors import ArtifactsUnavailable
from servicekit.testing.suite import Suite


class BlobStoreContract(Suite):
    """What every store of blobs promises."""

    many: ClassVar = 300
    """How many blobs are many; for a store that needs long for each, less."""

    def create_store(self, folder: Path) -> BlobStore:
        """A store in the place of this folder, which is empty at first. It may derive a name from the folder's."""
        raise NotImplementedError(f"{type(self).__name__} has no create_store. Name the class that has it first.")

    @pytest.fixture
    def store(self, tmp_path: Path) -> BlobStore:
        """The store under test."""
        return self.create_store(tmp_path)

    @pytest.fixture
    def other(self, tmp_path: Path) -> BlobStore:
        """A store at the same place, as another process has it."""
        return self.create_store(tmp_path)

    @pytest.mark.parametrize("pieces", [[], [b"a"], [b"a", b"", b"bc"], [b"x" * 3_000_000, b"y"]], ids=len)
    def test_a_content_is_read_by_its_hash(self, store: BlobStore, other: BlobStore, pieces: list[bytes]) -> None:
        sha256 = put(store, *pieces)
        content = b"".join(pieces)
        assert sha256 == hashlib.sha256(content).hexdigest()
        with other.open(sha256) as file:
            assert file.read() == content
            file.seek(len(content) // 2)
            assert file.read(3) == content[len(content) // 2 :][:3]
        path = store.find_path(sha256)
        assert path is None or path.read_bytes() == content
        assert list(other.list()) == [sha256]

    def test_nobody_sees_a_content_before_it_is_placed(self, store: BlobStore) -> None:
        with store.stage() as staged:
            staged.write(b"content")
            staged.finish()
            assert list(store.list()) == []
            with pytest.raises(FileNotFoundError):
                store.open(staged.sha256)
        with pytest.raises(FileNotFoundError):
            store.open(staged.sha256)

    def test_to_finish_twice_does_no_harm(self, store: BlobStore) -> None:
        with store.stage() as staged:
            staged.write(bytearray(b"con"))
            staged.write(memoryview(b"tent"))
            staged.finish()
            staged.finish()
            assert (staged.size, staged.sha256) == (7, hashlib.sha256(b"content").hexdigest())
            store.place(staged)
        assert list(store.list()) == [staged.sha256]

    def test_the_same_content_is_one_blob(self, store: BlobStore, other: BlobStore) -> None:
        sha256 = put(store, b"content")
        with store.open(sha256) as file:
            assert put(other, b"con", b"tent") == sha256
            assert file.read() == b"content"
        assert list(store.list()) == [sha256]

    def test_a_removed_blob_is_gone_for_all_but_who_reads_it(self, store: BlobStore, other: BlobStore) -> None:
        sha256, kept = put(store, b"content"), put(store, b"kept")
        with other.open(sha256) as file:
            store.plan_removal(sha256)()
            assert file.read() == b"content"
        with pytest.raises(FileNotFoundError):
            other.open(sha256)
        store.plan_removal(sha256)()
        assert list(store.list()) == [kept]
        assert put(other, b"content") == sha256
        assert set(store.list()) == {sha256, kept}

    def test_a_removal_leaves_what_was_placed_after_it_was_planned(self, store: BlobStore, other: BlobStore) -> None:
        planned_too_early = store.plan_removal(hashlib.sha256(b"content").hexdigest())
        sha256 = put(other, b"content")
        planned = store.plan_removal(sha256)
        assert put(other, b"content") == sha256
        for removal in (planned_too_early, planned):
            removal()
            assert list(other.list()) == [sha256]
            with other.open(sha256) as file:
                assert file.read() == b"content"

    def test_what_is_placed_twice_is_there(self, store: BlobStore) -> None:
        with store.stage() as staged:
            staged.write(b"content")
            staged.finish()
            store.place(staged)
            store.place(staged)
        with store.open(staged.sha256) as file:
            assert file.read() == b"content"

    def test_what_was_removed_is_not_placed_again_in_silence(self, store: BlobStore, other: BlobStore) -> None:
        with store.stage() as staged:
            staged.write(b"content")
            staged.finish()
            store.place(staged)
            other.plan_removal(staged.sha256)()
            with suppress(ArtifactsUnavailable):
                store.place(staged)
                with store.open(staged.sha256) as file:
                    assert file.read() == b"content"

    def test_many_blobs_are_listed_once_each(self, store: BlobStore) -> None:
        blobs = sorted(put(store, str(number).encode()) for number in range(self.many))
        assert sorted(store.list()) == blobs

    def test_a_sweep_leaves_what_is_there_and_what_is_on_its_way(self, store: BlobStore, other: BlobStore) -> None:
        sha256 = put(store, b"content")
        with store.stage() as staged:
            staged.write(b"on its way")
            assert other.sweep() == 0
            staged.finish()
            assert other.sweep() == 0
            store.place(staged)
        assert other.sweep() == 0
        assert set(store.list()) == {sha256, staged.sha256}


def put(store: BlobStore, *pieces: bytes) -> str:
    """Store a content, and return its hash."""
    with store.stage() as staged:
        for piece in pieces:
            staged.write(piece)
        staged.finish()
        store.place(staged)
    return staged.sha256
