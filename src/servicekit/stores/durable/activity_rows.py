"""What was counted of jobs, as rows of a database."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from servicekit.jobs.activity import ActivityMinute, Counts, Group
from servicekit.stores.durable.nonsense import lenient

EVERYBODY: Final = ""
"""In the place of an owner: all jobs. No owner is called that."""


class ActivityRow(NamedTuple):
    """A row of `activity`."""

    minute: int
    source: str
    owned_by: str
    groups: str
    """JSON: for each group its name and queue, four counts, and the buckets of waits and runs, each bucket before its
    count."""


class NewActivity(NamedTuple):
    """Rows to keep. Those of minutes before the first and after the last one are dropped."""

    rows: Sequence[ActivityRow]
    first: int
    last: int


class ActivityRequest(NamedTuple):
    owned_by: str
    since: int


def row_of(counted: ActivityMinute) -> ActivityRow:
    groups = [
        (*group, counts.submitted, counts.completed, counts.failed, counts.canceled,
         _flat(counts.waits), _flat(counts.runs))
        for group, counts in counted.groups.items()
    ]  # fmt: skip
    text = json.dumps(groups, separators=(",", ":"))
    return ActivityRow(counted.minute, counted.source, EVERYBODY if counted.owner is None else counted.owner, text)


def _flat(buckets: Mapping[int, int]) -> list[int]:
    return [number for pair in buckets.items() for number in pair]


def _read_minute(row: ActivityRow) -> ActivityMinute | None:
    groups = dict(_read_group(*values) for values in json.loads(row.groups))
    return ActivityMinute(row.minute, row.source, row.owned_by or None, groups)


def _read_group(
    name: Any, queue: Any, submitted: Any, completed: Any, failed: Any, canceled: Any, waits: Any, runs: Any
) -> tuple[Group, Counts]:
    # There can be thousands, and each is read for every answer of a process that has just started.
    if {type(name), type(queue)} not in _NAMES or set(map(type, (submitted, completed, failed, canceled))) != _NUMBERS:
        raise TypeError(name)
    return Group(name, queue), Counts(submitted, completed, failed, canceled, _buckets(waits), _buckets(runs))


def _buckets(flat: Any) -> dict[int, int]:
    if not set(map(type, flat)) <= _NUMBERS:
        raise TypeError(flat)
    return dict(zip(flat[::2], flat[1::2], strict=True))


_NAMES: Final = ({str}, {type(None)})
_NUMBERS: Final = {int}
_NO_MINUTE: Final[ActivityMinute | None] = None
find_minute: Final = lenient(_read_minute, _NO_MINUTE)
"""The minute of a row; `None` if it makes no sense."""
