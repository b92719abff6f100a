"""`track()`: progress of a loop."""

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from operator import length_hint
from typing import TypeVar, overload

from servicekit.jobs.current import current

Row = TypeVar("Row")


@overload
def track(rows: Iterable[Row], total: float | None = None, message: str | None = None) -> Iterator[Row]: ...


@overload
def track(rows: AsyncIterable[Row], total: float | None = None, message: str | None = None) -> AsyncIterator[Row]: ...


def track(
    rows: Iterable[Row] | AsyncIterable[Row], total: float | None = None, message: str | None = None
) -> Iterator[Row] | AsyncIterator[Row]:
    """Iterate over `rows`, with `for` or `async for`, and report as the job's progress how many of them are done.

        for row in track(rows, message="importing"):
            import_row(row)

    If `total` is not given, it is the length of the rows, or the hint of their iterator, if they have one. Outside of a
    job this only iterates.
    """
    if total is None:
        hint = length_hint(rows, -1)
        total = hint if hint >= 0 else None
    if isinstance(rows, AsyncIterable):
        return _track_async(rows, total, message)
    return _track(rows, total, message)


def _track(rows: Iterable[Row], total: float | None, message: str | None) -> Iterator[Row]:
    job = current.get(None)
    if job is None:
        yield from rows
        return
    job.progress(0, total, message)
    for done, row in enumerate(rows, 1):
        yield row
        job.progress(done, total, message)


async def _track_async(rows: AsyncIterable[Row], total: float | None, message: str | None) -> AsyncIterator[Row]:
    job, done = current.get(None), 0
    if job is not None:
        job.progress(0, total, message)
    async for row in rows:
        yield row
        done += 1
        if job is not None:
            job.progress(done, total, message)
