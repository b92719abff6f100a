"""What can go wrong with the directory does: the sentence says what it is, and nothing is half done."""

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from importlib.resources import files
from pathlib import Path

import pytest

from servicekit.artifacts import Artifacts
from servicekit.artifacts.sqlite import connections, database
from servicekit.artifacts.sqlite.database import find_migrations
from servicekit.artifacts.sqlite.index import SqliteIndex
from servicekit.errors import ArtifactNotFound, ArtifactsUnavailable
from tests.artifacts.files import check_files, list_staged
from tests.disks import fill, remount, small_disk
from tests.hindering import without_descriptors, without_threads

HEADER_BYTES = 96  # two copies of what is known of the log: https://www.sqlite.org/walformat.html


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_PATIENCE_SECONDS", 0.05)


def index_of(artifacts: Artifacts) -> Path:
    return Path(artifacts.address, "index.db")


def test_another_program_holds_the_index(artifacts: Artifacts) -> None:
    saved = artifacts.save(b"before")
    with closing(sqlite3.connect(index_of(artifacts), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        calls: list[Callable[[], object]] = [lambda: artifacts.save(b"meanwhile"), lambda: artifacts.delete(saved.id)]
        for call in calls:
            with pytest.raises(ArtifactsUnavailable, match="another program holds its lock"):
                call()
        assert artifacts.load(saved.id) == b"before"
    artifacts.save(b"after")
    assert artifacts.stats().count == 2
    check_files(artifacts)
    assert list_staged(artifacts) == []


def test_the_disk_is_full(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "4m") as disk:
        artifacts = Artifacts(disk / "artifacts")
        saved = artifacts.save(b"before")
        ballast = fill(disk)
        with pytest.raises(ArtifactsUnavailable, match="disk is full"):
            artifacts.save(b"x" * 1_000_000)
        with pytest.raises(ArtifactsUnavailable, match="disk is full"):
            artifacts.save(["x" * 60_000])
        assert artifacts.load(saved.id) == b"before"
        ballast.unlink()
        artifacts.save(b"after")
        assert artifacts.stats().count == 2
        check_files(artifacts)
        assert list_staged(artifacts) == []
        artifacts.close()


def save_many(artifacts: Artifacts) -> None:
    for number in range(1_000):
        artifacts.save(str(number).encode(), metadata={"large": "x" * 10_000})


def test_an_index_that_cannot_grow_keeps_no_blob(artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch) -> None:
    artifacts.save(b"before")

    def connect_to_small(path: Path) -> object:
        connection = database.connect(path)
        connection.execute("PRAGMA max_page_count = 1")
        return connection

    artifacts.close()
    with monkeypatch.context() as patch:
        patch.setattr(connections, "connect", connect_to_small)
        with pytest.raises(ArtifactsUnavailable, match="disk is full"):
            save_many(artifacts)
    check_files(artifacts)
    assert list_staged(artifacts) == []
    artifacts.close()
    artifacts.save(b"after")


def test_a_disk_that_is_read_only(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "4m") as disk:
        artifacts = Artifacts(disk / "artifacts")
        saved = artifacts.save(b"before")
        artifacts.close()
        remount(disk, "ro")
        with pytest.raises(ArtifactsUnavailable, match="read-only"):
            artifacts.save(b"meanwhile")
        remount(disk, "rw")
        assert artifacts.load(saved.id) == b"before"
        artifacts.close()


def test_a_place_that_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ArtifactsUnavailable, match=str(place)):
            Artifacts(place).save(1)


def test_a_folder_that_everybody_can_write_to(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(ArtifactsUnavailable, match="chmod o-w"):
        Artifacts(tmp_path).save(1)


def write_nonsense(path: Path) -> None:
    path.write_bytes(b"this is no database, for sure, " * 200)


def set_newer_schema(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")


def be_of_another_program(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA application_id = 7")
        connection.commit()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (write_nonsense, "not an SQLite database"),
        (set_newer_schema, "newer servicekit"),
        (be_of_another_program, "database of another program"),
        (Path.unlink, "the index is missing"),
    ],
)
def test_an_index_that_cannot_be_used(artifacts: Artifacts, spoil: Callable[[Path], None], reason: str) -> None:
    saved = artifacts.save(b"before")
    artifacts.close()
    kept = index_of(artifacts).read_bytes()
    spoil(index_of(artifacts))
    calls: list[Callable[[], object]] = [
        lambda: artifacts.save(b"meanwhile"),
        lambda: artifacts.get(saved.id),
        artifacts.sweep,
    ]
    for call in calls:
        with pytest.raises(ArtifactsUnavailable, match=reason):
            call()
    index_of(artifacts).write_bytes(kept)
    assert artifacts.load(saved.id) == b"before"
    check_files(artifacts)


def test_an_index_that_is_removed_while_it_is_used(artifacts: Artifacts) -> None:
    saved = artifacts.save(b"before")
    index_of(artifacts).rename(f"{index_of(artifacts)}.aside")
    calls: list[Callable[[], object]] = [lambda: artifacts.save(b"meanwhile"), lambda: artifacts.get(saved.id)]
    for call in calls:
        for _ in range(2):
            with pytest.raises(ArtifactsUnavailable, match="the index was removed"):
                call()
    Path(f"{index_of(artifacts)}.aside").rename(index_of(artifacts))
    assert artifacts.load(saved.id) == b"before"
    artifacts.save(b"after")


def test_a_blob_that_is_not_what_it_was(artifacts: Artifacts, tmp_path: Path) -> None:
    saved = artifacts.save(b"content")
    path = artifacts.path(saved.id)
    assert path is not None
    path.write_bytes(b"changed")
    with pytest.raises(ArtifactsUnavailable, match="damaged"):
        artifacts.load(saved.id)
    path.unlink()
    with pytest.raises(ArtifactsUnavailable, match="is missing"):
        artifacts.open(saved.id)
    (tmp_path / "secret").write_bytes(b"content")
    path.symlink_to(tmp_path / "secret")
    with pytest.raises(ArtifactsUnavailable, match="cannot be opened"):
        artifacts.load(saved.id)
    path.unlink()
    folder = path.parent.rename(tmp_path / "folder")
    shutil.copy(tmp_path / "secret", folder / path.name)
    path.parent.symlink_to(folder)
    with pytest.raises(ArtifactsUnavailable, match="cannot be opened"):
        artifacts.load(saved.id)
    path.parent.unlink()
    artifacts.save(b"content")
    assert artifacts.load(saved.id) == b"content"


def test_no_more_files_can_be_opened(artifacts: Artifacts) -> None:
    saved = artifacts.save(b"before")
    with without_descriptors():
        with pytest.raises(ArtifactsUnavailable, match="Too many open files"):
            artifacts.save(b"meanwhile")
        with pytest.raises(ArtifactsUnavailable, match="Too many open files"):
            artifacts.open(saved.id)
    assert artifacts.load(saved.id) == b"before"
    check_files(artifacts)


async def test_the_system_gives_no_more_threads(artifacts: Artifacts) -> None:
    with without_threads(), pytest.raises(ArtifactsUnavailable, match="no more threads"):
        await artifacts.aio.save(1)
    assert (await artifacts.aio.save(1)).data == 1


class Gathering:
    """Calls of the index that wait, to be done in one transaction with the next one."""

    def __init__(self, artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        index = artifacts.storage.index
        assert isinstance(index, SqliteIndex)
        self.file = index._file
        self.calls: list[connections._Call] = []

    @contextmanager
    def gather(self) -> Iterator[None]:
        def wait(_: object, operation: connections.Operation[object], *, is_last: bool) -> None:
            self.calls.append(connections._Call(operation, is_last))
            self.file._waiting.append(self.calls[-1])

        with self._monkeypatch.context() as patch:
            patch.setattr(connections.IndexConnections, "_write", wait)
            yield


def test_one_call_that_fails_does_not_harm_those_of_its_transaction(
    artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = [artifacts.save(number) for number in range(3)]
    gathering = Gathering(artifacts, monkeypatch)
    index = artifacts.storage.index
    with gathering.gather():
        for artifact_id in (saved[0].id, "unknown", saved[1].id):
            index.remove(artifact_id, recursive=False)
    assert artifacts.update(saved[2].id, tags=["done"]).tags == ("done",)
    assert [type(call.error) for call in gathering.calls] == [type(None), ArtifactNotFound, type(None)]
    assert [each.id for each in artifacts.list().artifacts] == [saved[2].id]


def test_a_deletion_that_is_not_committed_keeps_its_blob(artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch) -> None:
    """A blob is removed in the transaction in which the last artifact that has it is deleted, and that fails."""
    first, second = artifacts.save(b"content"), artifacts.save(b"content")
    gathering = Gathering(artifacts, monkeypatch)
    index = artifacts.storage.index
    index.remove(first.id, recursive=False)
    with gathering.gather():
        index.remove(second.id, recursive=False)
        index.release([second.sha256], lambda sha256: artifacts.storage.blobs.plan_removal(sha256)())

    def die(_: sqlite3.Connection) -> None:
        raise SystemExit

    with pytest.raises(SystemExit):
        gathering.file.write(die)
    assert [type(call.error) for call in gathering.calls] == [ArtifactsUnavailable, ArtifactsUnavailable]
    assert artifacts.load(second.id) == b"content"


def test_migrations_are_numbered_and_every_older_index_is_read(tmp_path: Path) -> None:
    folder = files("servicekit.artifacts.sqlite") / "migrations"
    numbers = sorted(int(each.name.partition("_")[0]) for each in folder.iterdir() if each.name.endswith(".sql"))
    assert numbers == list(range(1, len(numbers) + 1))
    for schema in numbers:
        artifacts = Artifacts(tmp_path / str(schema))
        (tmp_path / str(schema)).mkdir()
        with closing(sqlite3.connect(index_of(artifacts))) as connection:
            for migration in find_migrations()[:schema]:
                connection.executescript(migration)
            connection.execute(f"PRAGMA user_version = {schema}")
            connection.execute(f"PRAGMA application_id = {0x53764B61}")
            connection.execute(
                "INSERT INTO artifacts (id, level, kind, media_type, is_table, size, sha256, metadata, tags, origin, "
                "created_at, updated_at, json_text) VALUES ('01ARZ3NDEKTSV4RRFFQ69G5FAV', 0, 'artifact', "
                "'application/json', 0, 2, x'00', '{}', '[]', 'code', 0, 0, '17')"
            )
            connection.commit()
        assert artifacts.load("01ARZ3NDEKTSV4RRFFQ69G5FAV") == 17
        assert artifacts.save(18).data == 18
        artifacts.close()


def test_a_row_whose_process_was_killed_while_it_was_committed_does_not_come_back_without_its_blob(
    artifacts: Artifacts, tmp_path: Path
) -> None:
    """Its record is in the write-ahead log, and nobody sees it until the log is read anew, when all have died."""
    kept = artifacts.save(b"kept" * 10_000)
    shared = index_of(artifacts).with_name("index.db-shm")
    with open(shared, "rb") as file:
        told = file.read(HEADER_BYTES)
    lost = artifacts.save(b"lost" * 10_000)
    with open(shared, "r+b") as file:  # where SQLite tells all processes of a commit, after it has been synced
        file.write(told)
    with pytest.raises(ArtifactNotFound):
        artifacts.get(lost.id)
    assert artifacts.sweep().blobs == 1
    after = tmp_path / "after"
    shutil.copytree(artifacts.address, after, ignore=shutil.ignore_patterns("*-shm"))
    with closing(Artifacts(after)) as survived:
        assert [each.id for each in survived.list().artifacts] == [kept.id]
        check_files(survived)
