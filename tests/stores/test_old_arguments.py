"""Arguments that an earlier version has written into a file."""

from pathlib import Path

import pytest

from servicekit.errors import IdempotencyConflict
from servicekit.jobs.ids import JobIds
from servicekit.jobs.options import DEFAULT_OPTIONS, changed
from servicekit.jobs.retention import Retention
from servicekit.stores.sqlite.store import SqliteStore
from servicekit.testing.stores.fakes import ManualClock, RecordingPublisher, RecordingSignals, submission
from tests.jobs.kinds import Point
from tests.stores.test_migrations import NOON, create_file


async def test_arguments_of_an_earlier_version_are_read_by_the_types_of_the_target(tmp_path: Path) -> None:
    job_id = JobIds().next_id()
    connection = create_file(tmp_path / "jobs.db", 1)
    arguments = '{"args": [{"x": 1, "y": [2]}], "kwargs": {}, "typed": [0]}'
    connection.execute(
        "INSERT INTO jobs (id, name, turn, max_restarts, runner, submitted_at, target, arguments) "
        "VALUES (?, 'read_point', 1, 1, 'coroutine', ?, 'tests.stores.test_old_arguments:read_point', ?)",
        [job_id, NOON, arguments],
    )
    connection.close()
    clock, publisher = ManualClock(), RecordingPublisher()
    store = SqliteStore(tmp_path / "jobs.db", publisher, clock, Retention())
    await store.liveness.open(RecordingSignals())
    try:
        (claim,) = await store.attempts.claim(1, ())
        assert await claim.submission.call() == Point(1, [2])
        assert (await store.reads.get_record(job_id)).restart_problem is None
    finally:
        await store.liveness.close()


async def test_an_idempotency_key_of_an_earlier_version_is_still_that_of_the_same_call(tmp_path: Path) -> None:
    ids = JobIds()
    earlier = ids.next_id()
    connection = create_file(tmp_path / "jobs.db", 1)
    arguments = '{"args": [{"x": 1, "y": [2]}], "kwargs": {}, "typed": [0]}'
    connection.execute(
        "INSERT INTO jobs (id, name, turn, max_restarts, runner, submitted_at, target, arguments, idempotency_key, "
        "fingerprint) VALUES (?, 'read_point', 1, 1, 'coroutine', ?, 'tests.stores.test_old_arguments:read_point', ?, "
        "'key', 'as it was made then')",
        [earlier, NOON, arguments],
    )
    connection.close()
    store = SqliteStore(tmp_path / "jobs.db", RecordingPublisher(), ManualClock(), Retention())
    await store.liveness.open(RecordingSignals())
    options = changed(DEFAULT_OPTIONS, {"idempotency_key": "key"})
    try:
        same = submission(ids.next_id(), target=read_point, args=(Point(1, [2]),), options=options)
        assert await store.submissions.insert(same) == earlier
        for target, point in ((read_point, Point(1, [3])), (read_another, Point(1, [2]))):
            other = submission(ids.next_id(), target=target, args=(point,), options=options)
            with pytest.raises(IdempotencyConflict):
                await store.submissions.insert(other)
    finally:
        await store.liveness.close()


async def read_another(point: Point) -> Point:
    return point


async def read_point(point: Point) -> Point:
    return point
