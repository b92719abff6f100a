"""Arguments that an earlier version has written into a file."""

from pathlib import Path

from servicekit.jobs.ids import JobIds
from servicekit.jobs.retention import Retention
from servicekit.stores.sqlite.store import SqliteStore
from tests.fakes import FakeClock, RecordingPublisher, RecordingSignals
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
    clock, publisher = FakeClock(), RecordingPublisher()
    store = SqliteStore(tmp_path / "jobs.db", publisher, clock, Retention())
    await store.open(RecordingSignals())
    try:
        (claim,) = await store.claim(1, ())
        assert await claim.submission.call() == Point(1, [2])
        assert (await store.get_record(job_id)).restart_problem is None
    finally:
        await store.close()


async def read_point(point: Point) -> Point:
    return point
