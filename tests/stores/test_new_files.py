"""Files that several processes set up at the same time."""

import asyncio
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from servicekit.artifacts.sqlite.database import connect as connect_index
from servicekit.stores.sqlite.database import connect as connect_jobs
from servicekit.tasks.task_file import TaskFile


def open_jobs(path: Path) -> None:
    connect_jobs(path).close()


def open_index(path: Path) -> None:
    connect_index(path).close()


def open_tasks(path: Path) -> None:
    asyncio.run(TaskFile(path).set_enabled("add", is_enabled=False))


@pytest.mark.parametrize("open_file", [open_jobs, open_index, open_tasks])
def test_whoever_opens_a_new_file_waits_for_another_one_that_sets_it_up(
    open_file: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "new.db"
    path.touch(mode=0o600)
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            other.execute("COMMIT")

    monkeypatch.setattr(time, "sleep", wait)
    open_file(path)
    other.close()
    assert len(waits) == 3
