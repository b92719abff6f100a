"""What every store promises of the processes that work on its jobs."""

from datetime import timedelta

from servicekit.jobs.options import RunnerKind
from servicekit.jobs.outcome import CANCELED, clip, completion, failure
from servicekit.jobs.workers import MOST_CHARACTERS, Readiness, WorkerRecord
from servicekit.ports import JobStore
from servicekit.stores.process_name import name_of_process
from servicekit.testing.stores.base import StoreSetting, StoreTests
from servicekit.testing.stores.fakes import RecordingSignals

FREE = Readiness((RunnerKind.COROUTINE, RunnerKind.RAY))
HINDERED = Readiness(FREE.runners, {RunnerKind.RAY: "The cluster 'K\u00f6ln' is away:\nno route."})
SPELLED_OUT = Readiness(FREE.runners, {RunnerKind.RAY: clip("\udcff" * MOST_CHARACTERS, MOST_CHARACTERS)})
"""The longest text that there can be."""


def readiness_of(worker: WorkerRecord) -> Readiness | None:
    return None if worker.runners is None else Readiness(worker.runners, worker.problems)


class WorkerContract(StoreTests):
    """What every store promises of the list of processes."""

    async def test_the_process_at_work_is_listed_with_what_it_runs(self, store: JobStore) -> None:
        (worker,) = await store.queues.list_workers()
        assert (worker.name, worker.is_this) == (name_of_process(), True)
        assert worker.started_at.utcoffset() == timedelta(0)
        assert (worker.is_stopping, worker.runs_jobs, worker.running) == (False, False, 0)
        assert await self.claim_ids(store) == []
        assert [(each.runs_jobs, each.running) for each in await store.queues.list_workers()] == [(True, 0)]
        await self.insert(store, 5)
        first, second, third = await store.attempts.claim(3, ())
        await store.attempts.end_attempt(first, completion(None))
        await store.submissions.delete(second.submission.id)  # it runs until it is heard that it has stopped
        await store.submissions.request_cancel(third.submission.id)
        assert [each.running for each in await store.queues.list_workers()] == [2]
        await store.attempts.end_attempt(second, CANCELED)
        await store.attempts.end_attempt(third, failure(ValueError()))
        (after,) = await store.queues.list_workers()
        assert (after.running, after.started_at, after.name) == (0, worker.started_at, worker.name)
        await store.liveness.retire()
        assert [each.is_stopping for each in await store.queues.list_workers()] == [True]

    async def test_what_a_process_can_run_is_listed_as_it_changes(self, setting: StoreSetting) -> None:
        signals = RecordingSignals()
        signals.readiness = HINDERED
        async with self.open_store(setting, signals) as store:
            assert [readiness_of(each) for each in await store.queues.list_workers()] == [HINDERED]
            for told in (FREE, HINDERED, SPELLED_OUT, Readiness()):
                signals.readiness = told
                await store.liveness.rescue()
                assert [readiness_of(each) for each in await store.queues.list_workers()] == [told]

    async def test_a_process_that_has_stopped_is_listed_no_more(self, setting: StoreSetting) -> None:
        store = self.create_store(setting)
        for _ in range(2):
            await store.liveness.open(RecordingSignals())
            try:
                assert [each.is_stopping for each in await store.queues.list_workers()] == [False]
            finally:
                await store.liveness.close()
            if not store.liveness.is_durable:  # a database that is closed answers nothing
                assert await store.queues.list_workers() == []
