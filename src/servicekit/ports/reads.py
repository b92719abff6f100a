"""What is known of jobs."""

from collections.abc import Collection
from typing import Protocol

from servicekit.jobs.log_lines import LogPage
from servicekit.jobs.query import ALL_JOBS, JobCounts, JobFilter, JobPage
from servicekit.jobs.record import JobRecord
from servicekit.jobs.shown_calls import KeptCall
from servicekit.ports.suggestions import JobSuggestions


class JobReads(JobSuggestions, Protocol):
    """Tells what is known of jobs, and changes nothing. What holds for all parts is in `ports.store`.

    A read sees everything that was acknowledged before it began, whichever process did it. A record that another
    version or another program has written may make no sense here: `RecordUnreadable` for that job, and lists leave it
    out.
    """

    async def get_record(self, job_id: str) -> JobRecord:
        """The record as it is now, frozen. `JobNotFound` if there is none."""
        ...

    async def find_missing(self, job_ids: Collection[str]) -> set[str]:
        """Those of these ids for which `get_record` would raise `JobNotFound`. Its cost is that of so many look-ups."""
        ...

    async def list_calls(self, job_ids: Collection[str], most_characters: int) -> dict[str, KeptCall]:
        """The calls of those of these jobs that are kept, to be shown, by one look-up.

        Arguments that are longer than `most_characters` can be cut, but are then longer still. They are `None` if they
        are not kept, or only by another process.
        """
        ...

    async def get_result(self, job_id: str) -> object:
        """The result of a completed job. `JobNotFound`; otherwise a `ResultUnavailable` says why there is none.

        `JobNotFinished`; `JobFailed`, also for a canceled job; `ResultDropped` if it could not be written, was too
        large, or had to make room, or if `read_result` cannot read what a job's own process has written
        (`jobs.results.WrittenResult`).
        """
        ...

    async def list_records(self, wanted: JobFilter, limit: int, before: str | None) -> JobPage:
        """The newest records first, by id, of those below the id `before`; at most `limit`.

        `before` need not be a job that is kept. Owners, statuses and times are found by an index. The other conditions
        of the filter are searched for in at most `SCAN_LIMIT` jobs: a page that is short for that reason says where to
        go on: at the id of a job of the wanted owner, if there is one, so that nobody learns of another's. The cost of
        a page does not depend on how many jobs are kept.
        """
        ...

    async def list_log(self, job_id: str, after: int, limit: int) -> LogPage:
        """The lines after number `after` that are kept, at most `limit`; `JobNotFound` if there is no such job.

        A job that has said nothing has an empty log.
        """
        ...

    async def list_transitions(self, job_id: str, after_version: int) -> list[JobRecord]:
        """The record at each change of status after `after_version`, in order; `JobNotFound` if there is no job.

        They are what was published, so that a reader who was away misses none. A newly kept job has the first. The
        newest `MAX_TRANSITIONS` are kept. For a job that was started at most once none need be kept: `transitions_of`
        derives them.
        """
        ...

    async def count_by_status(self, wanted: JobFilter = ALL_JOBS) -> JobCounts:
        """How many jobs are kept, for each status. Its cost does not depend on their number.

        Those of an owner and those of a queue are counted as well, with all statuses or some. With any other filter: of
        the newest `SCAN_LIMIT` jobs that an index leads to.
        """
        ...
