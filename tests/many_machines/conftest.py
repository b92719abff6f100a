from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.crash.journal import Run, read_runs
from tests.many_machines.members import Member

Start = Callable[..., Member]
ReadRuns = Callable[[], list[Run]]


@pytest.fixture
def start(postgres_url: str) -> Iterator[Start]:
    """Starts processes, which work on the jobs of this test's database unless they are told another."""
    with ExitStack() as stack:

        def start(url: str | None = None, **options: Any) -> Member:
            member = Member(url or postgres_url, **options)
            stack.callback(member.kill)
            return member

        yield start


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Where attempts note their start and their end."""
    return tmp_path / "journal"


@pytest.fixture
def runs(journal: Path) -> ReadRuns:
    """Reads the journal: no attempt was in two places."""

    def read() -> list[Run]:
        problems: list[str] = []
        found = read_runs(journal, problems)
        assert problems == []
        return found

    return read
