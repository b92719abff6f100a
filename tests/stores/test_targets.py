"""Which targets this process can import, where an import takes for ever or there is no thread for it."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from servicekit import Every, create_scheduler
from servicekit.stores.durable import targets
from servicekit.stores.durable.targets import Targets
from tests.fakes import noop
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


async def test_only_the_first_who_ask_wait_for_an_import_that_hangs(
    hanging: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(targets, "_PATIENCE_SECONDS", 0.01)
    found = Targets()
    assert await found.find_problem(hanging)
    times: list[float | None] = []
    wait = asyncio.wait

    async def note_time(futures: list[asyncio.Future[object]], timeout: float | None = None) -> object:
        times.append(timeout)
        return await wait(futures, timeout=timeout)

    monkeypatch.setattr(asyncio, "wait", note_time)
    assert await found.find_problem(hanging)
    assert times == [0]


async def test_an_import_that_fails_late_is_told_of_and_is_not_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(targets, "_PATIENCE_SECONDS", 0.01)
    os.mkfifo(tmp_path / "fifo")
    fails = f"with open({str(tmp_path / 'fifo')!r}) as file: file.read()\nraise ValueError('too late')\n"
    (tmp_path / "fails_late.py").write_text(fails)
    found = Targets()
    assert "not ended" in str(await found.find_problem("fails_late:run"))
    _, importing = found._imports["fails_late:run"]
    os.close(await asyncio.to_thread(os.open, tmp_path / "fifo", os.O_WRONLY))
    await asyncio.wait([importing])
    assert "too late" in str(await found.find_problem("fails_late:run"))


async def test_all_schedules_of_a_list_are_examined_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each waits until all have begun."""
    barrier = asyncio.Barrier(3)

    async def find_problem(_: Targets, reference: str) -> str | None:
        await barrier.wait()
        return None

    async with create_scheduler(f"sqlite:///{tmp_path / 'jobs.db'}", run_jobs=False) as scheduler:
        for name in ("one", "two", "three"):
            await scheduler.schedules.add(name, Every(3600), noop)
        monkeypatch.setattr(Targets, "find_problem", find_problem)
        async with asyncio.timeout(20):
            assert len(await scheduler.schedules.list()) == 3


async def test_without_a_thread_it_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "imported_by_a_thread.py").write_text("def run(): pass\n")
    found = Targets()
    with without_threads():
        problem = await found.find_problem("imported_by_a_thread:run")
    assert problem == "imported_by_a_thread:run cannot be imported at the moment: can't start new thread"
    assert await found.find_problem("imported_by_a_thread:run") is None
