"""Loops that report how far they are: `track()`, and the bars of tqdm."""

import asyncio
import io
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tqdm.auto import tqdm as auto_tqdm
from tqdm.std import tqdm

from servicekit import Progress, Scheduler, report_tqdm, track
from servicekit.jobs.current import RunningJob, current
from servicekit.testing.stores.fakes import submission
from tests.fakes import QuietHost

Told = list[tuple[float, float | None, str | None]]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:
    """All that is reported, one by one, by the code of this test, which runs in a job."""
    told: Told = []

    class Job(RunningJob):
        def progress(self, done: float, total: float | None = None, message: str | None = None) -> None:
            super().progress(done, total, message)
            told.append((done, total, message))

    token = current.set(Job(submission("01JQRS7XK5N8Z3VQ2M4T6W8Y0A"), 1, QuietHost()))
    yield told
    current.reset(token)


async def progress_of(scheduler: Scheduler, target: Callable[..., Any], *args: object) -> Progress | None:
    job_id = await scheduler.add_job(target, *args)
    return (await scheduler.wait(job_id)).progress


def squares(count: int) -> list[int]:
    return [number * number for number in track(range(count), message="squaring")]


async def test_a_tracked_loop_reports_its_end(scheduler: Scheduler) -> None:
    progress = await progress_of(scheduler, squares, 1_000)
    assert progress is not None
    assert (progress.done, progress.total, progress.message) == (1_000, 1_000, "squaring")


async def test_a_tracked_loop_that_fails_has_reported_what_was_done(scheduler: Scheduler) -> None:
    async def target() -> None:
        for number in track([1, 2, 0, 4]):
            _ = 1 / number

    progress = await progress_of(scheduler, target)
    assert progress is not None
    assert (progress.done, progress.total) == (2, 4)


def test_outside_of_a_job_a_tracked_loop_only_iterates() -> None:
    assert squares(4) == [0, 1, 4, 9]


async def letters() -> AsyncIterator[str]:
    for letter in "ab":
        await asyncio.sleep(0)
        yield letter


async def test_what_comes_asynchronously_is_tracked_as_well() -> None:
    assert [letter async for letter in track(letters())] == ["a", "b"]


async def test_asynchronous_rows_report_too(scheduler: Scheduler) -> None:
    async def target() -> list[str]:
        return [letter async for letter in track(letters(), total=2)]

    progress = await progress_of(scheduler, target)
    assert progress is not None
    assert (progress.done, progress.total) == (2, 2)


class Counted:
    """Rows that know their number, but have no length."""

    def __length_hint__(self) -> int:
        return 3

    def __iter__(self) -> Iterator[int]:
        return iter([1, 2, 3])


@pytest.mark.parametrize(
    ("rows", "total"),
    [([1, 2, 3], 3), (iter([1, 2, 3]), 3), (Counted(), 3), ((number for number in range(3)), None)],
    ids=["list", "iterator", "hint", "generator"],
)
def test_the_total_is_asked_of_the_rows(told: Told, rows: Iterable[int], total: int | None) -> None:
    assert len(list(track(rows))) == 3
    assert told == [(done, total, None) for done in range(4)]


def test_a_given_total_goes_before_what_the_rows_say(told: Told) -> None:
    assert list(track([1], total=10, message="reading")) == [1]
    assert told == [(0, 10, "reading"), (1, 10, "reading")]


def test_no_rows_are_reported_as_nothing_to_do(told: Told) -> None:
    assert list(track([])) == []
    assert told == [(0, 0, None)]


def test_bars_report_their_numbers_and_description(told: Told) -> None:
    with report_tqdm():
        for _ in tqdm(range(2), desc="training", file=io.StringIO(), mininterval=0):
            pass
        with tqdm(total=10, desc="saving", file=io.StringIO(), mininterval=0) as bar:
            bar.update(4)
            bar.set_description("closing")
            bar.update(6)
    assert list(dict.fromkeys(told)) == [
        (0, 2, "training"), (1, 2, "training"), (2, 2, "training"),
        (0, 10, "saving"), (4, 10, "saving"), (4, 10, "closing"), (10, 10, "closing"),
    ]  # fmt: skip


def test_bars_that_print_nothing_report_all_the_same(told: Told) -> None:
    with report_tqdm():
        assert list(tqdm(range(2), file=io.StringIO(), disable=None)) == [0, 1]
        bar = tqdm(total=5, disable=True)
        bar.update(3)
    assert list(dict.fromkeys(told)) == [(0, 2, None), (1, 2, None), (2, 2, None), (0, 5, None), (3, 5, None)]


@pytest.mark.parametrize("is_silent", [True, False])
def test_bars_that_are_set_and_refreshed_report_before_they_close(told: Told, is_silent: bool) -> None:
    with report_tqdm():
        bar = tqdm(total=5, file=io.StringIO(), mininterval=1_000, disable=is_silent)
        for number in (2, 2, 4):
            bar.n = number
            bar.refresh()
        bar.reset(total=9)
        bar.refresh()
    assert told == [(0, 5, None), (2, 5, None), (4, 5, None), (0, 9, None)]


@pytest.mark.parametrize("is_silent", [True, False])
def test_of_nested_bars_the_outermost_reports(told: Told, is_silent: bool) -> None:
    with report_tqdm():
        for _ in tqdm(range(2), file=io.StringIO(), mininterval=0, disable=is_silent):
            for _ in auto_tqdm(range(50), file=io.StringIO(), mininterval=0, disable=is_silent):
                pass
        for _ in tqdm(range(1), file=io.StringIO(), mininterval=0, disable=is_silent):
            pass
    assert list(dict.fromkeys(told)) == [(0, 2, None), (1, 2, None), (2, 2, None), (0, 1, None), (1, 1, None)]


def test_a_bar_may_be_updated_by_other_threads(told: Told) -> None:
    with (
        report_tqdm(),
        tqdm(total=100, file=io.StringIO(), mininterval=0) as bar,
        ThreadPoolExecutor(4) as threads,
    ):
        list(threads.map(lambda _: bar.update(), range(100)))
    assert told[-1] == (100, 100, None)


def test_bars_with_odd_numbers_do_no_harm(told: Told) -> None:
    with report_tqdm():
        bar = tqdm(total=float("nan"), disable=True)
        bar.update()
        bar.close()
        bar.close()
    assert told == []


def test_bars_outside_of_the_block_or_of_a_job_are_not_touched(told: Told) -> None:
    with report_tqdm():
        pass
    before = tqdm(total=3, file=io.StringIO(), mininterval=0)
    with report_tqdm():
        before.update(1)
    assert list(tqdm(range(3), file=io.StringIO(), mininterval=0)) == [0, 1, 2]
    thread = threading.Thread(target=count_with_bar)  # it is in no job
    thread.start()
    thread.join()
    assert told == []


@report_tqdm()
def count_with_bar() -> int:
    return sum(tqdm(range(3), desc="counting", file=io.StringIO(), mininterval=0))


@report_tqdm()
async def count_with_bar_in_coroutine() -> int:
    total = 0
    async for number in auto_tqdm(range(3), desc="counting", file=io.StringIO(), mininterval=0):
        await asyncio.sleep(0)
        total += number
    return total


@pytest.mark.parametrize("target", [count_with_bar, count_with_bar_in_coroutine])
async def test_a_decorated_target_reports_its_bars(scheduler: Scheduler, target: Callable[[], Any]) -> None:
    job_id = await scheduler.add_job(target)
    record = await scheduler.wait(job_id)
    assert await scheduler.get_result(job_id) == 3
    assert record.name == target.__name__
    assert record.progress is not None
    assert (record.progress.done, record.progress.total, record.progress.message) == (3, 3, "counting")
