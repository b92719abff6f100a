"""What was counted of jobs, as rows of a database."""

import json
from collections.abc import Sequence
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
    """For each group its name and queue, four counts, and the buckets of waits and runs as pairs: JSON."""


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
        (*group, counts.submitted, counts.completed, counts.failed, counts.canceled, [*counts.waits.items()],
         [*counts.runs.items()])
        for group, counts in counted.groups.items()
    ]  # fmt: skip
    text = json.dumps(groups, separators=(",", ":"))
    return ActivityRow(counted.minute, counted.source, EVERYBODY if counted.owner is None else counted.owner, text)


def _read_minute(row: ActivityRow) -> ActivityMinute | None:
    groups = dict(_read_group(*values) for values in json.loads(row.groups))
    return ActivityMinute(row.minute, row.source, row.owned_by or None, groups)


def _read_group(name: Any, queue: Any, *values: Any) -> tuple[Group, Counts]:
    *numbers, waits, runs = values
    submitted, completed, failed, canceled = map(int, numbers)
    if not all(isinstance(text, str | None) for text in (name, queue)) or (name is None) != (queue is None):
        raise TypeError(name)
    return Group(name, queue), Counts(submitted, completed, failed, canceled, _read_buckets(waits), _read_buckets(runs))


def _read_buckets(pairs: Any) -> dict[int, int]:
    return {int(bucket): int(count) for bucket, count in pairs}


_NO_MINUTE: Final[ActivityMinute | None] = None
find_minute: Final = lenient(_read_minute, _NO_MINUTE)
