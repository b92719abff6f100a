"""What is kept of tasks: seen by every process, and clear about what is wrong with the file."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from unittest.mock import patch

import pytest

from servicekit.errors import TasksUnavailable
from servicekit.tasks import task_file
from servicekit.tasks.ports import Template
from servicekit.tasks.task_file import TaskFile

ADD = Template(task_type="python", command="add", parameters={"a": 1})
OTHER = Template(task_type="python", command="add", parameters={"a": 2})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tasks.db"


@pytest.fixture
async def file(path: Path) -> AsyncIterator[TaskFile]:
    file = TaskFile(path)
    yield file
    await file.close()


async def test_there_is_no_file_before_there_is_something_to_keep(file: TaskFile, path: Path) -> None:
    assert await file.read() == {}
    assert not path.exists()
    await file.set_enabled("add", is_enabled=False)
    assert path.stat().st_mode & 0o777 == 0o600


async def test_a_file_that_was_removed_is_made_anew(
    file: TaskFile, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_file, "_LOOK_SECONDS", 0)
    await file.add("mine", ADD, is_enabled=True)
    await file.read()
    for each in path.parent.iterdir():
        each.unlink()
    assert await file.read() == {}
    await file.add("other", ADD, is_enabled=True)
    assert (await file.read()).keys() == {"other"}


async def test_a_file_that_another_program_holds_is_read_and_not_written(
    file: TaskFile, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_file, "_BUSY_SECONDS", 0.01)
    await file.add("mine", ADD, is_enabled=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        assert (await file.read()).keys() == {"mine"}
        with pytest.raises(TasksUnavailable, match="locked"):
            await file.add("other", ADD, is_enabled=True)
    await file.add("other", ADD, is_enabled=True)


async def test_a_file_of_a_newer_version_is_left_alone(file: TaskFile, path: Path) -> None:
    await file.add("mine", ADD, is_enabled=True)
    await file.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 2")
    for call in (file.read(), file.set_enabled("mine", is_enabled=False)):
        with pytest.raises(TasksUnavailable, match="a newer servicekit has written the file"):
            await call


async def test_a_file_of_another_program_is_left_alone(file: TaskFile, path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE tasks (name TEXT)")
    before = path.read_bytes()
    for call in (file.read(), file.set_enabled("mine", is_enabled=False)):
        with pytest.raises(TasksUnavailable, match="another program's"):
            await call
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT sql FROM sqlite_master").fetchall() == [("CREATE TABLE tasks (name TEXT)",)]
    assert before[:16] == path.read_bytes()[:16]


@pytest.mark.parametrize("content", [b"no database at all, but a text" * 40, b""])
async def test_what_is_no_database_is_told(file: TaskFile, path: Path, content: bytes) -> None:
    path.write_bytes(content)
    if content:
        for call in (file.read(), file.set_enabled("mine", is_enabled=False)):
            with pytest.raises(TasksUnavailable, match="not a database"):
                await call
    else:
        assert await file.read() == {}


async def test_a_full_disk_is_told_and_nothing_is_changed(file: TaskFile, path: Path) -> None:
    await file.add("mine", ADD, is_enabled=True)
    connect = sqlite3.connect

    def connect_to_full_disk(*args: object, **options: object) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*args, **options)  # type: ignore[call-overload]
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")
        return connection

    large = Template(task_type="python", command="add", parameters={"a": "x" * 100_000})
    with patch("sqlite3.connect", connect_to_full_disk), pytest.raises(TasksUnavailable, match="full"):
        await file.add("large", large, is_enabled=True)
    assert (await file.read()).keys() == {"mine"}


async def test_a_folder_that_is_not_there_is_told_without_its_path(tmp_path: Path) -> None:
    file = TaskFile(tmp_path / "nowhere" / "tasks.db")
    assert await file.read() == {}
    with pytest.raises(TasksUnavailable, match="No such file or directory") as caught:
        await file.set_enabled("mine", is_enabled=False)
    assert str(tmp_path) not in str(caught.value)


async def test_a_row_that_cannot_be_read_is_told(file: TaskFile, path: Path) -> None:
    await file.add("mine", ADD, is_enabled=True)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE tasks SET template = '{}'")
    with pytest.raises(TasksUnavailable, match="'mine' is damaged"):
        await file.read()
