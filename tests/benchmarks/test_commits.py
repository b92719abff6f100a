"""Transactions are really counted: a count of none would meet every bar."""

import sqlite3
from pathlib import Path

import pytest

from benchmarks.commits import Commits
from servicekit import create_scheduler
from tests.fakes import noop


async def test_the_transactions_of_a_store_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "connect", sqlite3.connect)  # to have it back
    commits = Commits.watched()
    async with create_scheduler(f"sqlite:///{tmp_path / 'jobs.db'}") as scheduler:
        before = commits.count
        for number in range(3):
            await scheduler.wait(await scheduler.add_job(noop))
            assert commits.count >= before + 2 * (number + 1)
