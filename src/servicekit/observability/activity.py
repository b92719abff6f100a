"""Counts what becomes of jobs in this process, minute by minute.

Each submission, first start and end is counted once, by the process that has done it. It is part of the way of every
job, so it does little: it looks up a group, and counts. Everything else is done every few seconds, when the counts are
collected to be kept.
"""

import os
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from secrets import token_hex
from typing import Final

from servicekit.jobs.activity import BOUNDS, STEP_SECONDS, ActivityMinute, Counts, Group, add_up, minute_of
from servicekit.jobs.options import JobOptions
from servicekit.jobs.record import JobRecord
from servicekit.jobs.status import JobStatus, Transition
from servicekit.jobs.submission import Claim

# Names, queues and owners can be made of what clients send, in any number. What comes beyond is counted in one group.
_MOST_GROUPS: Final = 500
_MOST_OWNERS: Final = 100  # of one minute, each of which is a row in the store
_MOST_UNWRITTEN: Final = 2_000  # rows: what a store that is away may cost in memory

# To measure a job costs more than to count it. So of many jobs one in eight is measured, and counts as eight: of those
# that start in a minute after the first thousand, and of those that a group completes in it after a thousand.
_SAMPLE: Final = 8
_MEASURED: Final = 1_000
_COMPLETE: Final = Transition.COMPLETE

_Key = tuple[str | None, str | None, str | None]  # name, queue, owner
_BEYOND: Final[_Key] = (None, None, None)


class ActivityRecorder:
    """Counts what this process does with jobs. `now` is the time of the store."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self.begin()

    def begin(self) -> None:
        """Begin anew in a process that was forked: what was counted before belongs to its parent."""
        self._pid = os.getpid()
        self._source = token_hex(8)
        self._minute = 0
        self._begin_minute()
        self._unwritten: dict[tuple[str, int, str | None], ActivityMinute] = {}

    def _begin_minute(self) -> None:
        self._groups: dict[_Key, Counts] = {}
        self._written: dict[str | None, ActivityMinute] = {}
        """What is kept of this minute, by owner."""
        self._name: str | None = None
        self._options: JobOptions | None = None
        self._counts = Counts()
        """Those of the jobs with this name and these options."""
        self._started = 0

    @property
    def is_inherited(self) -> bool:
        return self._pid != os.getpid()

    def submitted(self, name: str, options: JobOptions) -> None:
        """A job was accepted."""
        if options is self._options and name == self._name:
            self._counts.submitted += 1
        else:
            self._find(name, options).submitted += 1

    def submitted_record(self, record: JobRecord) -> None:
        """The same of a job of which only the record is known."""
        self._get(record.name, record.queue, record.owner).submitted += 1

    def started(self, claims: Sequence[Claim], now: datetime) -> None:
        """These attempts start. Only the first start of a job counts as the end of its wait.

        Of very many that start in one minute, not all are measured.
        """
        before = self._started
        self._started = before + len(claims)
        step = 1
        if before > _MEASURED:
            step, claims = _SAMPLE, claims[-before % _SAMPLE :: _SAMPLE]
        for claim in claims:
            if claim.ready_at is not None:
                waits = self._find(claim.submission.name, claim.submission.options).waits
                bucket = bisect_right(BOUNDS, (now - claim.ready_at).total_seconds())
                waits[bucket] = waits.get(bucket, 0) + step

    def ended(self, claim: Claim, written: Transition | None, seconds: float) -> None:
        """An attempt has ended after so many seconds; `written` says what that means for the job.

        If the job is pending again, or is not kept any more, it has not ended. All are counted. Of a group that
        completes very many in one minute, not all are measured.
        """
        submission = claim.submission
        if submission.options is self._options and submission.name == self._name:
            counts = self._counts
        else:
            counts = self._find(submission.name, submission.options)
        weight = 1
        if written is _COMPLETE:
            counts.completed = completed = counts.completed + 1
            if completed > _MEASURED:
                if completed % _SAMPLE:
                    return
                weight = _SAMPLE
        elif written is Transition.FAIL:
            counts.failed += 1
        elif written is Transition.CANCEL:
            counts.canceled += 1
        else:
            return
        bucket = bisect_right(BOUNDS, seconds)
        runs = counts.runs
        runs[bucket] = runs.get(bucket, 0) + weight

    def ended_record(self, record: JobRecord) -> None:
        """A job has ended that did not end in an attempt of this process."""
        counts = self._get(record.name, record.queue, record.owner)
        counts.failed += record.status is JobStatus.FAILED
        counts.canceled += record.status is JobStatus.CANCELED
        if record.elapsed_seconds is not None:
            bucket = bisect_right(BOUNDS, record.elapsed_seconds)
            counts.runs[bucket] = counts.runs.get(bucket, 0) + 1

    def canceled(self, record: JobRecord | None) -> None:
        """A job was asked to stop, and this is its record then. If it ran, its attempt counts its end."""
        if record is not None and record.status is JobStatus.CANCELED and record.started_at is None:
            self.ended_record(record)

    def collect(self) -> list[ActivityMinute]:
        """What was counted and is not kept yet."""
        self.look_at_clock()
        self._take()
        return list(self._unwritten.values())

    def note_written(self, minutes: Iterable[ActivityMinute]) -> None:
        """These are kept."""
        for each in minutes:
            key = (each.source, each.minute, each.owner)
            if self._unwritten.get(key) is each:
                del self._unwritten[key]

    def _find(self, name: str, options: JobOptions) -> Counts:
        """The counts of these jobs. Those that were asked for last are found without a look: most jobs are alike."""
        if options is not self._options or name != self._name:
            self._counts = self._get(name, options.queue, options.owner)
            self._name, self._options = name, options
        return self._counts

    def _get(self, name: str, queue: str, owner: str | None) -> Counts:
        return self._groups.get((name, queue, owner)) or self._add((name, queue, owner))

    def _add(self, key: _Key) -> Counts:
        return self._groups.setdefault(key if len(self._groups) < _MOST_GROUPS else _BEYOND, Counts())

    def look_at_clock(self) -> float:
        """Begin another minute if it is time. Return how many seconds this one will last.

        It is called at the end of each minute, and not for each job, since a look at the clock costs as much as to
        count.
        """
        now = self._now()
        minute = minute_of(now)
        if minute != self._minute:
            self._take()
            self._begin_minute()
            if minute < self._minute:  # the clock was set back: what this minute has had must not be replaced
                self._source = token_hex(8)
            self._minute = minute
        return STEP_SECONDS - now.timestamp() % STEP_SECONDS

    def _take(self) -> None:
        """Put what was counted in this minute to what is to be written, if it has changed."""
        for row in self._rows():
            if self._written.get(row.owner) != row:
                self._written[row.owner] = row
                self._unwritten[row.source, row.minute, row.owner] = row
        while len(self._unwritten) > _MOST_UNWRITTEN:
            del self._unwritten[next(iter(self._unwritten))]

    def _rows(self) -> Iterator[ActivityMinute]:
        by_owner: dict[str | None, dict[Group, Counts]] = {}
        for (name, queue, owner), counts in self._groups.items():
            if owner is not None and (owner in by_owner or len(by_owner) < _MOST_OWNERS):
                by_owner.setdefault(owner, {})[Group(name, queue)] = counts
        every = [(Group(name, queue), counts) for (name, queue, _), counts in self._groups.items()]
        if every:
            yield ActivityMinute(self._minute, self._source, None, add_up(every))
        for owner, groups in by_owner.items():
            yield ActivityMinute(self._minute, self._source, owner, add_up(groups.items()))
