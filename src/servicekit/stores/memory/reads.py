"""What is known of jobs in memory."""

from collections.abc import Collection
from typing import Final

from servicekit.errors import ResultDropped
from servicekit.jobs.log_lines import LogPage
from servicekit.jobs.query import ALL_JOBS, SCAN_LIMIT, JobCounts, JobFilter, JobPage
from servicekit.jobs.record import JobRecord
from servicekit.jobs.results import WrittenResult, check_completed, read_result
from servicekit.jobs.shown_calls import KeptCall
from servicekit.jobs.suggestions import Suggestion, SuggestionRequest
from servicekit.jobs.threads import call_in_thread
from servicekit.stores.memory.job import DROPPED, Job
from servicekit.stores.memory.kept_jobs import KeptJobs

_LARGE_RESULT: Final = 100_000  # to read it takes a millisecond


class MemoryReads:
    """The `JobReads` of a store in memory."""

    def __init__(self, kept: KeptJobs, scan_limit: int = SCAN_LIMIT) -> None:
        self._kept = kept
        self._now = kept.now
        self._scan_limit = scan_limit

    async def get_record(self, job_id: str) -> JobRecord:
        return self._kept.get(job_id).record(self._now())

    async def find_missing(self, job_ids: Collection[str]) -> set[str]:
        return {job_id for job_id in job_ids if job_id not in self._kept.by_id}

    async def list_calls(self, job_ids: Collection[str], most_characters: int) -> dict[str, KeptCall]:  # noqa: ARG002
        found = self._kept.by_id
        return {job_id: found[job_id].call_to_show() for job_id in job_ids if job_id in found}

    async def get_result(self, job_id: str) -> object:
        job = self._kept.get(job_id)
        check_completed(job_id, job.status, job.error)
        if type(job.result) is WrittenResult:
            return await self._read_result(job, job.result)
        if job.result is DROPPED:
            raise ResultDropped(job_id, job.status)
        return job.result

    async def _read_result(self, job: Job, result: WrittenResult) -> object:
        if result.text is None:
            raise ResultDropped(job.id, job.status)
        try:
            if len(result.text) < _LARGE_RESULT:
                return read_result(result.text)
            return await call_in_thread(read_result, result.text)
        except ValueError as reason:
            raise ResultDropped(job.id, job.status) from reason

    async def list_records(self, wanted: JobFilter, limit: int, before: str | None) -> JobPage:
        now = self._now()
        jobs, next_before = self._kept.index.newest(wanted, limit, before, self._scan_limit)
        return JobPage([job.record(now) for job in jobs], next_before)

    async def suggest(self, request: SuggestionRequest) -> list[Suggestion]:
        return self._kept.index.suggest(request, self._scan_limit)

    async def list_log(self, job_id: str, after: int, limit: int) -> LogPage:
        log = self._kept.get(job_id).log
        return LogPage([], is_last=True, dropped=0) if log is None else log.read(after, limit)

    async def list_transitions(self, job_id: str, after_version: int) -> list[JobRecord]:
        life = self._kept.get(job_id).list_transitions(self._now())
        return [record for record in life if record.version > after_version]

    async def count_by_status(self, wanted: JobFilter = ALL_JOBS) -> JobCounts:
        return self._kept.index.count(wanted, self._scan_limit)
