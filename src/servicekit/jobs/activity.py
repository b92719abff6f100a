"""What has become of jobs, minute by minute, in numbers whose size does not depend on how many jobs there were.

Durations are counted in buckets, each a fifth longer than the one before. A percentile is the middle of its bucket, so
it is at most 10 % off. Counts of several processes, minutes and groups are added up, bucket by bucket: nothing is lost
by that.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import ceil, sqrt
from typing import Annotated, Final, NamedTuple

from pydantic import Field

MAX_MINUTES: Final = 120
"""The most minutes that are asked for at once."""
KEPT_MINUTES: Final = MAX_MINUTES + 60
"""What is older is forgotten. An hour more than anybody asks for, since the clocks of processes can differ."""
MAX_GROUPS: Final = 100
"""The most groups of one minute. The least active ones beyond that are one group, without a name and a queue."""
STEP_SECONDS: Final = 60

_SHORTEST_SECONDS: Final = 0.0001
_GROWTH: Final = 1.2  # the middle of a bucket is then within 9.6 % of all that is in it
_BUCKETS: Final = 125  # the last one begins at 7.6 days
BOUNDS: Final = tuple(_SHORTEST_SECONDS * _GROWTH**index for index in range(_BUCKETS))
"""Where the buckets after the first one begin. `bisect_right(BOUNDS, seconds)` is the bucket of a duration."""

Buckets = dict[int, int]
"""How many durations are in each bucket that has any."""


def bucket_of(seconds: float) -> int:
    """The bucket of a duration."""
    return bisect_right(BOUNDS, seconds)


def seconds_of_bucket(bucket: int) -> float:
    """The middle of a bucket: at most 10 % off the durations in it, or a tenth of a millisecond."""
    if bucket <= 0:
        return _SHORTEST_SECONDS / 2
    if bucket >= _BUCKETS:
        return BOUNDS[-1]
    middle = sqrt(BOUNDS[bucket - 1] * BOUNDS[bucket])
    return float(f"{middle:.4g}")


def percentile(buckets: Mapping[int, int], share: float) -> float | None:
    """The shortest duration that at least this share of all do not exceed; `None` if there are none."""
    left = ceil(sum(buckets.values()) * share)
    for bucket in sorted(buckets):
        left -= buckets[bucket]
        if left <= 0:
            return seconds_of_bucket(bucket)
    return None


@dataclass(slots=True)
class Counts:
    """What has become of some jobs. They can be added up."""

    submitted: int = 0
    completed: int = 0
    failed: int = 0
    canceled: int = 0
    waits: Buckets = field(default_factory=dict)
    """How long jobs have waited for their first start."""
    runs: Buckets = field(default_factory=dict)
    """How long the attempts took with which jobs have ended."""

    @property
    def ended(self) -> int:
        return self.completed + self.failed + self.canceled

    def add(self, other: "Counts") -> None:
        self.submitted += other.submitted
        self.completed += other.completed
        self.failed += other.failed
        self.canceled += other.canceled
        for ours, theirs in ((self.waits, other.waits), (self.runs, other.runs)):
            for bucket, count in theirs.items():
                ours[bucket] = ours.get(bucket, 0) + count


class Group(NamedTuple):
    """Jobs of one name in one queue; the rest of all jobs if both are `None`."""

    name: str | None
    queue: str | None


REST: Final = Group(None, None)


class ActivityMinute(NamedTuple):
    """What one process has counted in one minute. What it writes later replaces what it wrote before."""

    minute: int
    """Since the beginning of 1970, in UTC."""
    source: str
    """Who has counted: a text that no other process has, nor this one after a restart."""
    owner: str | None
    """Whose jobs were counted; `None`: all jobs."""
    groups: Mapping[Group, Counts]


def minute_of(moment: datetime) -> int:
    return int(moment.timestamp() // STEP_SECONDS)


def add_up(counted: Iterable[tuple[Group, Counts]]) -> dict[Group, Counts]:
    """The sums of each group, in objects of their own. The most active groups, and the rest in one."""
    sums: dict[Group, Counts] = {}
    for group, counts in counted:
        sums.setdefault(group, Counts()).add(counts)
    if len(sums) <= MAX_GROUPS:
        return sums
    rest = sums.pop(REST, Counts())
    ranked = sorted(sums, key=lambda group: -_activity(sums[group]))
    for group in ranked[MAX_GROUPS - 1 :]:
        rest.add(sums.pop(group))
    return {**sums, REST: rest}


def _activity(counts: Counts) -> int:
    return counts.ended + counts.submitted


@dataclass(frozen=True, slots=True)
class ActivityFigures:
    """What has become of some jobs in some time."""

    submitted: Annotated[int, Field(description="How many jobs were submitted.", examples=[12])]
    completed: Annotated[int, Field(description="How many have finished.", examples=[10])]
    failed: Annotated[int, Field(description="How many have failed.", examples=[1])]
    canceled: Annotated[int, Field(description="How many were canceled.", examples=[0])]
    wait_p50: Annotated[
        float | None,
        Field(
            description="Half of the jobs that started have waited for at most so many seconds: since they were "
            "submitted, or since their `scheduled_at`. `null` if none started.",
            examples=[0.41],
        ),
    ]
    wait_p95: Annotated[float | None, Field(description="The same of 95 % of the jobs.", examples=[2.2])]
    run_p50: Annotated[
        float | None,
        Field(description="Half of the jobs that ended have run for at most so many seconds.", examples=[3.1]),
    ]
    run_p95: Annotated[float | None, Field(description="The same of 95 % of the jobs.", examples=[41.4])]


@dataclass(frozen=True, slots=True)
class ActivityPoint(ActivityFigures):
    """One minute."""

    at: Annotated[datetime, Field(description="When the minute begins (UTC).")]


@dataclass(frozen=True, slots=True)
class ActivityTotal(ActivityFigures):
    """All minutes together."""

    per_minute: Annotated[float, Field(description="How many jobs have ended in a minute.", examples=[42.1])]
    failure_share: Annotated[
        float | None,
        Field(description="The share of failed jobs among those that ended; `null` if none did.", examples=[0.012]),
    ]


@dataclass(frozen=True, slots=True)
class ActivityGroup(ActivityTotal):
    """All minutes of the jobs of one name in one queue."""

    name: Annotated[
        str | None,
        Field(description="The name of the jobs; `null`: all that are in no other group.", examples=["sync"]),
    ]
    queue: Annotated[str | None, Field(description="Their queue.", examples=["default"])]


@dataclass(frozen=True, slots=True)
class ActivityQueue(ActivityTotal):
    """All minutes of the jobs in one queue."""

    queue: Annotated[
        str | None,
        Field(description="The queue; `null`: all jobs that are in no other one of these.", examples=["gpu"]),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """What has become of jobs in the last minutes."""

    since: Annotated[datetime, Field(description="When the first minute begins (UTC).", serialization_alias="from")]
    until: Annotated[datetime, Field(description="The time of this answer (UTC).", serialization_alias="to")]
    step_seconds: Annotated[int, Field(description="The time from one point to the next.", examples=[60])]
    points: Annotated[list[ActivityPoint], Field(description="Each minute; the last one has not ended.")]
    total: Annotated[ActivityTotal, Field(description="All minutes together.")]
    groups: Annotated[
        list[ActivityGroup],
        Field(
            description="The same for each name and queue, the most active first; at most 100, with the rest in one."
        ),
    ]
    queues: Annotated[list[ActivityQueue], Field(description="The same for each queue.")]


def summarize(
    counted: Iterable[ActivityMinute], minutes: int, now: datetime, *, name: str | None = None, queue: str | None = None
) -> Activity:
    """The last `minutes` minutes, of jobs of this name and in this queue if they are given."""
    last = minute_of(now)
    first = last - minutes + 1
    points = [Counts() for _ in range(minutes)]
    groups: dict[Group, Counts] = {}
    for row in counted:
        if first <= row.minute <= last:
            for group, counts in _wanted(row, name, queue):
                points[row.minute - first].add(counts)
                groups.setdefault(group, Counts()).add(counts)
    total = Counts()
    for counts in groups.values():
        total.add(counts)
    since = datetime.fromtimestamp(first * STEP_SECONDS, UTC)
    lasted = max(1.0, (now - since) / timedelta(minutes=1))
    by_queue = add_up((Group("", group.queue) if group.queue else REST, counts) for group, counts in groups.items())
    return Activity(
        since=since,
        until=now,
        step_seconds=STEP_SECONDS,
        points=[
            ActivityPoint(*_figures(counts), since + timedelta(minutes=index)) for index, counts in enumerate(points)
        ],
        total=ActivityTotal(*_figures(total), *_rates(total, lasted)),
        groups=[
            ActivityGroup(*_figures(counts), *_rates(counts, lasted), *group)
            for group, counts in _rank(add_up(groups.items()))
        ],
        queues=[
            ActivityQueue(*_figures(counts), *_rates(counts, lasted), group.queue) for group, counts in _rank(by_queue)
        ],
    )


def _rank(sums: Mapping[Group, Counts]) -> list[tuple[Group, Counts]]:
    """The most active groups first, and the rest last."""
    return sorted(sums.items(), key=lambda item: (item[0] == REST, -_activity(item[1]), item[0]))


def _wanted(row: ActivityMinute, name: str | None, queue: str | None) -> Iterator[tuple[Group, Counts]]:
    for group, counts in row.groups.items():
        if name in (None, group.name) and queue in (None, group.queue):
            yield group, counts


def _figures(
    counts: Counts,
) -> tuple[int, int, int, int, float | None, float | None, float | None, float | None]:
    return (
        counts.submitted, counts.completed, counts.failed, counts.canceled,
        percentile(counts.waits, 0.5), percentile(counts.waits, 0.95),
        percentile(counts.runs, 0.5), percentile(counts.runs, 0.95),
    )  # fmt: skip


def _rates(counts: Counts, minutes: float) -> tuple[float, float | None]:
    share = round(counts.failed / counts.ended, 4) if counts.ended else None
    return round(counts.ended / minutes, 2) if counts.ended else 0.0, share
