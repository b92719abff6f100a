"""Reads of the jobs of a store."""

from collections.abc import Collection

from servicekit.jobs.log_lines import LogPage
from servicekit.jobs.query import ALL_JOBS, JobCounts, JobFilter, JobPage
from servicekit.jobs.record import JobRecord
from servicekit.jobs.shown_calls import KeptCall, keep_call
from servicekit.jobs.suggestions import Suggestion, SuggestionRequest
from servicekit.stores.durable.requests import (
    CallsRequest,
    CountRequest,
    ListRequest,
    LogRequest,
    RecordRequest,
    SuggestRequest,
    TransitionsRequest,
)
from servicekit.stores.durable.session import StoreSession


class DurableReads:
    """The `JobReads` of a database."""

    def __init__(self, session: StoreSession, scan_limit: int) -> None:
        self._session = session
        self._database = session.database
        self._queries = session.statements.queries
        self._scan_limit = scan_limit

    async def get_record(self, job_id: str) -> JobRecord:
        return await self._database.read(self._queries.get_record, RecordRequest(job_id, self._session.now()))

    async def find_missing(self, job_ids: Collection[str]) -> set[str]:
        return await self._database.read(self._queries.find_missing, list(job_ids))

    async def list_calls(self, job_ids: Collection[str], most_characters: int) -> dict[str, KeptCall]:
        request = CallsRequest(list(job_ids), most_characters)
        found = await self._database.read(self._queries.list_calls, request)
        for job_id, call in found.items():
            if call.target is None and (submission := self._session.local.find(job_id)) is not None:
                found[job_id] = keep_call(submission)
        return found

    async def get_result(self, job_id: str) -> object:
        return await self._database.read(self._queries.get_result, job_id)

    async def list_records(self, wanted: JobFilter, limit: int, before: str | None) -> JobPage:
        request = ListRequest(wanted, limit, before, self._scan_limit, self._session.now())
        return await self._database.read(self._queries.list_records, request)

    async def suggest(self, request: SuggestionRequest) -> list[Suggestion]:
        suggest = self._session.statements.suggestions.suggest
        return await self._database.read(suggest, SuggestRequest(request, self._scan_limit))

    async def list_log(self, job_id: str, after: int, limit: int) -> LogPage:
        request = LogRequest(job_id, after, limit)
        return await self._database.read(self._session.statements.log_lines.list_log, request)

    async def list_transitions(self, job_id: str, after_version: int) -> list[JobRecord]:
        return await self._database.read(self._queries.list_transitions, TransitionsRequest(job_id, after_version))

    async def count_by_status(self, wanted: JobFilter = ALL_JOBS) -> JobCounts:
        if wanted.is_counted:
            return await self._database.read(self._queries.count_by_status, wanted)
        return await self._database.read(self._queries.count_wanted, CountRequest(wanted, self._scan_limit))
