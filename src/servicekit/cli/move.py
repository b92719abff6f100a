"""`servicekit move`: copies all jobs of a stopped service to another file or database."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from servicekit.engine.urls import Place, StoreKind, hide_password, read_url
from servicekit.errors import ConfigurationError, StoreUnavailable
from servicekit.stores.durable.copying import TABLES, Destination, HasJobs, Origin, Row, Table, digest

# A page is one transaction, and what is done again if the move is interrupted. Results can be large.
_PAGE_ROWS: Final = 1_000
_PAGE_CHARACTERS: Final = 4_000_000
_LEFT: Final = (
    "Not moved, if there are any: artifacts, and what clients have decided about tasks. Download what is needed from "
    "the service with SOURCE, and upload it to the one with TARGET."
)


def run_move(source: str, target: str) -> None:
    """Copy all jobs from the source to the target; go on if that was interrupted. Print what was moved, or was before.

    `ConfigurationError` for URLs that make no sense; `StoreUnavailable` if a process works on one of the two, if the
    target has other jobs, or if what was copied is not the same in the end.
    """
    places = [_read_place("SOURCE", source), _read_place("TARGET", target)]
    if places[0] == places[1]:
        raise ConfigurationError("TARGET", hide_password(target), "another place than SOURCE")
    with _open_origin(places[0]) as origin:
        try:
            with _open_destination(places[1]) as destination:
                counts = copy_all(origin, destination)
                done = f"Moved {origin.location} to {destination.location}"
        except HasJobs:
            with _open_origin(places[1]) as found:
                if not is_same(origin, found):
                    raise
                counts = {table.name: found.count(table) for table in TABLES}
                done = f"{origin.location} was moved to {found.location} before"
    told = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items())
    print(f"{done}, and compared all rows: {told}.")
    print(_LEFT, file=sys.stderr)


def _read_place(option: str, url: str) -> Place:
    place = read_url(option, url)
    if place.kind is StoreKind.MEMORY:
        raise ConfigurationError(option, url, "a file or a database")
    return place


def _open_origin(place: Place) -> AbstractContextManager[Origin]:
    if place.kind is StoreKind.FILE:
        from servicekit.stores.sqlite import copying as files

        return files.open_origin(Path(place.where).resolve())
    from servicekit.stores.postgres import copying as databases
    from servicekit.stores.postgres.address import read_address

    return databases.open_origin(read_address("SOURCE", place.where))


def _open_destination(place: Place) -> AbstractContextManager[Destination]:
    if place.kind is StoreKind.FILE:
        from servicekit.stores.sqlite import copying as files

        return files.open_destination(Path(place.where).resolve())
    from servicekit.stores.postgres import copying as databases
    from servicekit.stores.postgres.address import read_address

    return databases.open_destination(read_address("TARGET", place.where))


def copy_all(origin: Origin, destination: Destination) -> dict[str, int]:
    """Copy all tables, compare them, and make the destination a store. Return how many rows each table has."""
    marks = origin.read_marks()
    destination.begin(origin.location, marks.position)
    for table in TABLES:
        _copy(table, origin, destination)
    counts = {table.name: _compare(table, origin, destination) for table in TABLES}
    destination.finish(marks)
    return counts


def _copy(table: Table, origin: Origin, destination: Destination) -> None:
    progress = Progress(table.name, origin.count(table))
    progress.show(destination.count(table))
    for page in _pages(origin.read(table, destination.find_last(table))):
        destination.write(table, page)
        progress.show(progress.done + len(page))
    progress.end()


def _pages(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """The rows in pages that are neither too long nor too large."""
    page, characters = list[Row](), 0
    for row in rows:
        page.append(row)
        characters += sum(len(value) for value in row if isinstance(value, str))
        if len(page) >= _PAGE_ROWS or characters >= _PAGE_CHARACTERS:
            yield page
            page, characters = [], 0
    if page:
        yield page


def is_same(origin: Origin, other: Origin) -> bool:
    """Whether the other place has what this one has: it was moved there, and nothing was done since."""
    if origin.read_marks() != other.read_marks():
        return False
    return all(wanted == found for wanted, found in (_digest_both(table, origin, other) for table in TABLES))


def _digest_both(table: Table, origin: Origin, other: Origin) -> tuple[tuple[int, int], tuple[int, int]]:
    progress = Progress(f"comparing {table.name}, in both places", origin.count(table) * 2)
    digests = digest(progress.watch(origin.read(table))), digest(progress.watch(other.read(table)))
    progress.end()
    return digests


def _compare(table: Table, origin: Origin, destination: Destination) -> int:
    """How many rows the table has. `StoreUnavailable` if they are not the same in both places."""
    wanted, found = _digest_both(table, origin, destination)
    if wanted != found:
        destination.clear()
        reason = (
            f"its {table.name} are not those of {origin.location}: {found[0]:,} rows, and {wanted[0]:,} there. The "
            "source was changed since an earlier move was interrupted, or somebody has written to the target. What was "
            "copied is removed: move again."
        )
        raise StoreUnavailable(destination.location, reason)
    return wanted[0]


class Progress:
    """Tells on standard error how far a table is: in one line that changes, or in one line at the end."""

    def __init__(self, name: str, total: int) -> None:
        self.done = 0
        self._name = name
        self._total = total
        self._is_shown = sys.stderr.isatty()

    def show(self, done: int) -> None:
        self.done = done
        if self._is_shown:
            print(f"\r{self._name}: {done:,} of {self._total:,}\x1b[K", end="", file=sys.stderr, flush=True)

    def watch(self, rows: Iterable[Row]) -> Iterator[Row]:
        """The same rows, counted."""
        for row in rows:
            yield row
            self.done += 1
            if self.done % _PAGE_ROWS == 0:
                self.show(self.done)

    def end(self) -> None:
        if self._is_shown:
            self.show(self.done)
        print("" if self._is_shown else f"{self._name}: {self.done:,}", file=sys.stderr, flush=True)
