"""What every store promises of the logs of jobs."""

import asyncio
from collections.abc import Sequence

import pytest

from servicekit.errors import JobNotFound
from servicekit.jobs.log_lines import LogLine, NewLine
from servicekit.jobs.outcome import completion, failure
from servicekit.jobs.record import Progress
from servicekit.jobs.status import JobStatus
from servicekit.jobs.submission import Claim
from servicekit.ports import JobStore
from servicekit.testing.stores.base import StoreTests
from servicekit.testing.stores.fakes import ManualClock, RecordingPublisher


class LogContract(StoreTests):
    """What every store promises of the logs of jobs."""

    def lines(self, clock: ManualClock, *texts: str) -> Sequence[NewLine]:
        return [NewLine(clock.now(), "info", "stdout", text) for text in texts]

    async def texts(self, store: JobStore, claim: Claim) -> list[str]:
        return [line.text for line in (await store.reads.list_log(claim.submission.id, 0, 1_000)).lines]

    async def test_a_log_has_the_lines_in_order_and_says_when_they_were_written(
        self, store: JobStore, clock: ManualClock
    ) -> None:
        claim = await self.start(store)
        began = clock.now()
        await store.attempts.append_log(
            claim, [NewLine(began, "info", "stdout", "epoch 1"), NewLine(began, "error", "x", "")]
        )
        clock.advance(1)
        await store.attempts.append_log(claim, [NewLine(clock.now(), "info", "stderr", "Ä\t" * 500)])
        page = await store.reads.list_log(claim.submission.id, 0, 10)
        assert page.lines == [
            LogLine(1, began, 1, "info", "stdout", "epoch 1"),
            LogLine(2, began, 1, "error", "x", ""),
            LogLine(3, clock.now(), 1, "info", "stderr", "Ä\t" * 500),
        ]
        assert (page.is_last, page.dropped) == (True, 0)

    async def test_a_log_is_read_in_pages(self, store: JobStore, clock: ManualClock) -> None:
        claim = await self.start(store)
        await store.attempts.append_log(claim, self.lines(clock, *"abcde"))
        pages = [await store.reads.list_log(claim.submission.id, after, 2) for after in (0, 2, 4, 5, 9)]
        assert ["".join(line.text for line in page.lines) for page in pages] == ["ab", "cd", "e", "", ""]
        assert [page.is_last for page in pages] == [False, False, True, True, True]

    async def test_a_job_that_says_nothing_has_an_empty_log(self, store: JobStore) -> None:
        job_id = await self.submit(store)
        assert await store.reads.list_log(job_id, 0, 10) == ([], True, 0)
        await store.attempts.append_log(await self.claim(store), [])
        assert await store.reads.list_log(job_id, 0, 10) == ([], True, 0)

    async def test_there_is_no_log_without_a_job(self, store: JobStore, clock: ManualClock) -> None:
        with pytest.raises(JobNotFound):
            await store.reads.list_log(self.ids.next_id(), 0, 10)
        claim = await self.start(store)
        await store.attempts.append_log(claim, self.lines(clock, "a"))
        await store.submissions.delete(claim.submission.id)
        with pytest.raises(JobNotFound):
            await store.reads.list_log(claim.submission.id, 0, 10)
        await store.attempts.append_log(claim, self.lines(clock, "b"))
        with pytest.raises(JobNotFound):
            await store.reads.list_log(claim.submission.id, 0, 10)

    async def test_only_the_attempt_that_runs_can_write(
        self, store: JobStore, clock: ManualClock, publisher: RecordingPublisher
    ) -> None:
        claim = await self.start(store)
        await store.attempts.append_log(Claim(claim.submission, claim.attempt - 1), self.lines(clock, "stale"))
        await store.attempts.end_attempt(claim, completion(None))
        await store.attempts.append_log(claim, self.lines(clock, "late"))
        assert await self.texts(store, claim) == []
        assert claim.submission.id not in publisher.logs  # `None` says of no job that it has new lines

    async def test_a_log_is_kept_when_its_job_has_ended(self, store: JobStore, clock: ManualClock) -> None:
        claim = await self.start(store)
        await store.attempts.append_log(claim, self.lines(clock, "a"))
        await store.attempts.end_attempt(claim, completion(None))
        assert await self.texts(store, claim) == ["a"]

    async def test_what_was_said_before_the_end_is_kept_if_nobody_waits_in_between(
        self, store: JobStore, clock: ManualClock
    ) -> None:
        claim = await self.start(store)
        await asyncio.gather(
            store.attempts.report_progress(claim, Progress(3, 4, None)),
            store.attempts.append_log(claim, self.lines(clock, "a", "b")),
            store.attempts.end_attempt(claim, completion(None)),
        )
        assert await self.texts(store, claim) == ["a", "b"]
        record = await store.reads.get_record(claim.submission.id)
        assert record.progress is not None
        assert (record.status, record.progress.done) == (JobStatus.COMPLETED, 3)

    async def test_all_attempts_write_into_one_log(self, store: JobStore, clock: ManualClock) -> None:
        first = await self.start(store)
        await store.attempts.append_log(first, self.lines(clock, "a"))
        await store.attempts.end_attempt(first, failure(ValueError()).to_be_retried(clock.now()))
        second = await self.claim(store)
        await store.attempts.append_log(first, self.lines(clock, "stale"))
        await store.attempts.append_log(second, self.lines(clock, "b"))
        lines = (await store.reads.list_log(second.submission.id, 0, 10)).lines
        assert [(line.number, line.attempt, line.text) for line in lines] == [(1, 1, "a"), (2, 2, "b")]

    async def test_logs_of_different_jobs_are_different(self, store: JobStore, clock: ManualClock) -> None:
        await self.insert(store, 2)
        first, second = await store.attempts.claim(2, ())
        await store.attempts.append_log(first, self.lines(clock, "a"))
        await store.attempts.append_log(second, self.lines(clock, "b"))
        await store.attempts.append_log(first, self.lines(clock, "c"))
        assert (await self.texts(store, first), await self.texts(store, second)) == (["a", "c"], ["b"])

    async def test_who_follows_a_log_is_told_and_nobody_else(
        self, store: JobStore, clock: ManualClock, publisher: RecordingPublisher
    ) -> None:
        claim = await self.start(store)
        before, position = await store.reads.get_record(claim.submission.id), await store.changes.get_position()
        events = len(publisher.events)
        await store.attempts.append_log(claim, self.lines(clock, "a"))
        # `None` is about all jobs: a store that hears of other processes may say so at any time.
        assert [job_id for job_id in publisher.logs if job_id is not None] == [claim.submission.id]
        assert await store.reads.get_record(claim.submission.id) == before
        assert (await store.changes.get_position(), len(publisher.events)) == (position, events)
