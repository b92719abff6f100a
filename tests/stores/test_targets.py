"""Which targets this process can import, where an import takes for ever or there is no thread for it."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from servicekit.stores.sqlite import targets
from servicekit.stores.sqlite.targets import Targets
from tests.hindering import without_threads

HANGS = "with open({!r}) as file: file.read()\ndef run(): pass\n"


@pytest.fixture
def hanging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module whose import hangs until the test is over."""
    monkeypatch.syspath_prepend(str(tmp_path))
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    name = f"hangs_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(HANGS.format(str(fifo)))
    yield f"{name}:run"
    os.close(os.open(fifo, os.O_RDWR))


async def test_an_import_that_hangs_is_a_problem_for_all_who_ask_and_holds_nobody(
    hanging: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(targets, "_PATIENCE_SECONDS", 0.01)
    found = Targets()
    for problem in await asyncio.gather(found.find_problem(hanging), found.find_problem(hanging)):
        assert problem == f"{hanging} cannot be imported so far: that has not ended for 0.01 seconds."
    assert await found.find_problem(hanging)  # its module is on Python's list by now


def test_an_import_that_hangs_does_not_keep_an_event_loop_from_its_end(
    hanging: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(targets, "_PATIENCE_SECONDS", 0.01)
    assert asyncio.run(Targets().find_problem(hanging))


async def test_an_import_that_ends_later_is_no_problem_any_more(
    hanging: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Targets()
    asked = asyncio.create_task(found.find_problem(hanging))
    writer = await asyncio.to_thread(os.open, tmp_path / "fifo", os.O_WRONLY)  # which waits for the reader
    monkeypatch.setattr(targets, "_PATIENCE_SECONDS", 0.01)
    assert await found.find_problem(hanging)
    os.close(writer)
    assert await asked is None
    assert await found.find_problem(hanging) is None


async def test_without_a_thread_it_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "imported_by_a_thread.py").write_text("def run(): pass\n")
    found = Targets()
    with without_threads():
        problem = await found.find_problem("imported_by_a_thread:run")
    assert problem == "imported_by_a_thread:run cannot be imported at the moment: can't start new thread"
    assert await found.find_problem("imported_by_a_thread:run") is None
