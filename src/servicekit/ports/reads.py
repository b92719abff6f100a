"""What is known of jobs."""

from typing import Protocol

from servicekit.jobs.log_lines import LogPage
from servicekit.jobs.query import ALL_JOBS, JobFilter, JobPage
from servicekit.jobs.record import JobRecord
from servicekit.jobs.status import JobStatus


class JobReads(Protocol):
    """Tells what is known of jobs. Nothing is changed by that.

    A read sees everything that was acknowledged before it began, whichever process did it. `StoreUnavailable` if the
    store does not answer; `RecordUnreadable` for a record that another version or another program has written and that
    makes no sense here: lists leave such a job out.
    """

    async def get_record(self, job_id: str) -> JobRecord:
        """`JobNotFound` if there is none."""
        ...

    async def get_result(self, job_id: str) -> object:
        """The result of a completed job; else `JobNotFound`, or `ResultUnavailable`: `JobNotFinished`, `JobFailed`.

        `ResultDropped`, which is one as well, if it could not be kept or was too large to be.
        """
        ...

    async def list_records(self, wanted: JobFilter, limit: int, before: str | None) -> JobPage:
        """The newest records first, of those submitted before the job `before`; at most `limit`.

        Looks at no more than `SCAN_LIMIT` jobs: a page that is short for that reason says where to go on.
        """
        ...

    async def list_log(self, job_id: str, after: int, limit: int) -> LogPage:
        """The lines after number `after`, at most `limit`; `JobNotFound` if there is no such job."""
        ...

    async def list_transitions(self, job_id: str, after_version: int) -> list[JobRecord]:
        """The record as it was at each change of status after `after_version`; `JobNotFound` if there is no job.

        The newest `MAX_TRANSITIONS` of them: a job may be tried again, or not begin, without end.
        """
        ...

    async def count_by_status(self, wanted: JobFilter = ALL_JOBS) -> dict[JobStatus, int]:
        """How many jobs are kept, for each status. Its cost does not depend on their number.

        With a filter, of the newest `SCAN_LIMIT` jobs that an index leads to.
        """
        ...
