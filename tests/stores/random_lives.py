"""A process whose threads do random things to the jobs in one place, and then dies: see `test_random_lives.py`.

    python -m tests.stores.random_lives <file, or URL of a database> <seed> <operations>

Each thread has an event loop and a store of its own. What the store has acknowledged is written on the standard output,
a line of JSON each.
"""

import asyncio
import json
import os
import random
import sys
import threading
from collections.abc import Collection
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from servicekit.engine.clock import SystemClock
from servicekit.errors import IdempotencyConflict, JobNotFound
from servicekit.jobs.endings import GIVEN_BACK
from servicekit.jobs.ids import JobIds
from servicekit.jobs.log_lines import NewLine
from servicekit.jobs.options import JobOptions, RunnerKind
from servicekit.jobs.outcome import CANCELED, completion, failure, not_begun
from servicekit.jobs.query import ALL_JOBS
from servicekit.jobs.record import JobRecord, Progress
from servicekit.jobs.retention import Retention
from servicekit.jobs.submission import Claim
from servicekit.jobs.workers import Readiness
from servicekit.stores.postgres.address import read_address
from servicekit.stores.postgres.store import PostgresStore
from servicekit.stores.sqlite import writer
from servicekit.stores.sqlite.store import SqliteStore
from servicekit.testing.stores.fakes import RecordingPublisher, submission
from tests.fakes import noop

THREADS = 3
OUTCOMES = [completion("result"), completion(None), failure(ValueError("Invalid input")), CANCELED]


class Signals:
    """An engine that does not listen."""

    def wake(self) -> None:
        pass

    is_stopping = False
    readiness = Readiness()

    def is_running(self, job_id: str, attempt: int) -> bool:
        return True

    def hear_of_failure(self, record: JobRecord) -> None:
        pass

    def cancel(self, job_id: str) -> None:
        pass

    def keep_only(self, held: Collection[tuple[str, int]]) -> None:
        pass

    def stop_attempts(self, *, are_lost: bool) -> None:
        pass


def create_store(place: str) -> SqliteStore | PostgresStore:
    """A store for the jobs in this file, or in the database of this URL."""
    if place.startswith("postgresql:"):
        return PostgresStore(read_address("url", place), RecordingPublisher(), SystemClock(), Retention())
    return SqliteStore(Path(place), RecordingPublisher(), SystemClock(), Retention())


def abandon(store: SqliteStore | PostgresStore) -> None:
    """Let the store look to others as if its process had ended without a word."""
    if isinstance(store, PostgresStore):
        store.database.stop()
    else:
        assert store.file.registration.lock is not None
        store.file.registration.lock.close()
        store.file.stop()


class RandomUser:
    """Does one thing after the other, several of them at a time."""

    def __init__(self, place: str, seed: int) -> None:
        self._place = place
        self._random = random.Random(seed)
        self._seed = seed
        self._ids = JobIds()
        self._claims: list[Claim] = []
        self._is_stopped = False
        self._actions = [self._insert, self._claim, self._finish, self._release, self._progress, self._cancel,
                         self._delete, self._rescue, self._look, self._claim_and_leave, self._retry, self._log,
                         self._make_due]  # fmt: skip
        self._weights = [10, 8, 12, 2, 4, 3, 2, 1, 2, 1, 5, 3, 3]

    async def work(self, operations: int) -> None:
        await self._open()
        for _ in range(operations):
            group = self._random.choices(self._actions, self._weights, k=self._random.randint(1, 4))
            for result in await asyncio.gather(*(action() for action in group), return_exceptions=True):
                if isinstance(result, BaseException) and not isinstance(result, JobNotFound | IdempotencyConflict):
                    raise result
            if self._random.random() < 0.03:
                await self._begin_again()
        if self._random.random() < 0.3:
            await self._store.liveness.retire()
            for claim in self._claims:
                await self._release_claim(claim)
            await self._store.liveness.close()

    async def _open(self) -> None:
        self._store = create_store(self._place)
        await self._store.liveness.open(Signals())

    async def _begin_again(self) -> None:
        """Die without a word, and come back as another; the claims of the dead are good for nothing."""
        abandon(self._store)
        await self._open()

    async def _insert(self) -> None:
        async def local() -> None:
            """Nobody else can import this."""

        key = f"key {self._random.randint(1, 40)}" if self._random.random() < 0.2 else None
        options = JobOptions(
            idempotency_key=key,
            max_restarts=self._random.randint(0, 2),
            owner=self._random.choice([None, "ana", "ben"]),
            tags=tuple(self._random.sample(["a", "b", "c"], self._random.randint(0, 2))),
            queue=self._random.choice(["default", "default", "other"]),
            priority=self._random.randint(-1, 1),
            delay=self._random.choice([0, 0, 0, 0.01]),
            queue_timeout=self._random.choice([None, None, 0.1]),
            concurrency_key=self._random.choice([None, None, "x", "y"]),
            concurrency_limit=2,
        )
        target = local if self._random.random() < 0.3 else noop
        new = submission(self._ids.next_id(), self._random.choice(list(RunnerKind)), target=target, options=options)
        job_id = await self._store.submissions.insert(new)
        tell("inserted", job_id=job_id, key=key and f"{key} of {options.owner}")

    async def _claim(self) -> None:
        max_running = self._random.choice([None, None, 30])
        queue_limits = self._random.choice([None, {"other": 10}])
        for claim in await self._store.attempts.claim(self._random.randint(1, 5), (), max_running, queue_limits):
            tell("claimed", job_id=claim.submission.id, attempt=claim.attempt)
            self._claims.append(claim)

    async def _claim_and_leave(self) -> None:
        claiming = asyncio.ensure_future(self._store.attempts.claim(3, ()))
        await asyncio.sleep(self._random.choice([0, 0.001]))
        claiming.cancel()
        with suppress(asyncio.CancelledError):
            for claim in await claiming:
                tell("claimed", job_id=claim.submission.id, attempt=claim.attempt)
                self._claims.append(claim)

    async def _finish(self) -> None:
        if self._claims:
            # Not taken out of the list: an attempt may be said to have ended twice.
            claim, outcome = self._random.choice(self._claims), self._random.choice(OUTCOMES)
            if await self._store.attempts.end_attempt(claim, outcome):
                tell("finished", job_id=claim.submission.id, attempt=claim.attempt, transition=outcome.transition)

    async def _release(self) -> None:
        if self._claims:
            await self._release_claim(self._random.choice(self._claims))

    async def _release_claim(self, claim: Claim) -> None:
        ending = self._random.choice([GIVEN_BACK, not_begun("no room")])
        if await self._store.attempts.end_attempt(claim, ending):
            tell("released", job_id=claim.submission.id, attempt=claim.attempt)

    async def _retry(self) -> None:
        if self._claims:
            claim = self._random.choice(self._claims)
            scheduled_at = datetime.now(UTC) + timedelta(seconds=self._random.choice([0, 0.01]))
            if await self._store.attempts.end_attempt(claim, OUTCOMES[2].to_be_retried(scheduled_at)):
                tell("retried", job_id=claim.submission.id, attempt=claim.attempt)

    async def _make_due(self) -> None:
        await self._store.attempts.make_due()

    async def _log(self) -> None:
        if self._claims:
            line = NewLine(datetime.now(UTC), "info", "log", "a line")
            await self._store.attempts.append_log(self._random.choice(self._claims), [line])

    async def _progress(self) -> None:
        if self._claims:
            await self._store.attempts.report_progress(
                self._random.choice(self._claims), Progress(self._random.random())
            )

    async def _cancel(self) -> None:
        await self._store.submissions.request_cancel(await self._any_job())

    async def _delete(self) -> None:
        job_id = await self._any_job()
        tell("deleting", job_id=job_id)
        await self._store.submissions.delete(job_id)

    async def _any_job(self) -> str:
        records = (await self._store.reads.list_records(ALL_JOBS, 50, None)).records
        if not records:
            raise JobNotFound("any")
        return self._random.choice(records).id

    async def _rescue(self) -> None:
        await self._store.liveness.rescue()

    async def _look(self) -> None:
        job_id = await self._any_job()
        told = await self._store.reads.list_transitions(job_id, 0)
        versions = [record.version for record in told]
        assert versions == sorted(set(versions)), told
        assert versions[0] == 1, told


_lock = threading.Lock()


def tell(what: str, **facts: object) -> None:
    with _lock:
        print(json.dumps({"what": what, **facts}), flush=True)


def main(place: str, seed: int, operations: int) -> None:
    # On a busy machine a thread may wait long for its turn.
    writer._PATIENCE_SECONDS = writer._LAST_PATIENCE_SECONDS = 60.0  # type: ignore[misc]
    users = [RandomUser(place, seed * THREADS + number) for number in range(THREADS)]
    failed: list[BaseException] = []

    def run(user: RandomUser) -> None:
        try:
            asyncio.run(user.work(operations))
        except BaseException as error:
            failed.append(error)
            raise

    threads = [threading.Thread(target=run, args=[user]) for user in users]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os._exit(1 if failed else 0)  # as if it were killed: nothing is closed or given back


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
