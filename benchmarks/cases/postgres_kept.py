"""How long a claim takes in PostgreSQL when many jobs are kept, and when an old snapshot keeps all that was removed."""

from collections.abc import Iterator, Sequence

import psycopg

from benchmarks.contestants import Contestants
from benchmarks.figures import OURS, Figure, Target, percentile
from benchmarks.postgres import Database, on_postgres, run

_NOTE = "one after the other, with the commit"

# Their ids sort before those of today. An event of each, its end, is kept as well.
_FILL = """
    WITH numbers AS (
        SELECT number, '01000000' || lpad(number::text, 18, '0') AS id, now() - interval '1 day' AS at
        FROM generate_series(1, {count}) AS number
    ), counted AS (
        INSERT INTO servicekit.counts (queue, status, shard, jobs) VALUES ('default', 'completed', 1000000, {count})
    ), logged AS (
        INSERT INTO servicekit.events (writer, job_id, version, is_transition, status, attempt, at)
        SELECT 0, id, 3, true, 'completed', 1, at FROM numbers
    )
    INSERT INTO servicekit.jobs
        (id, name, turn, status, version, attempt, max_restarts, runner, target, arguments,
         submitted_at, started_at, finished_at)
    SELECT id, 'noop', number, 'completed', 3, 1, 1, 'coroutine', 'benchmarks.targets:noop',
           '{{"args": [], "kwargs": {{}}}}', at, at, at
    FROM numbers
"""


@on_postgres
def measure(database: Database, contestants: Contestants, *, quick: bool) -> Iterator[Figure]:
    ours, claims, kept, ran = contestants.ours, *((20, 1_000, 300) if quick else (1_000, 2_000_000, 100_000))
    for finished in (kept,) if quick else (0, kept):
        with database.new_database() as url:
            ours.run("benchmarks.served", "create", url)
            run(url, _FILL.format(count=finished))
            run(url, "VACUUM ANALYZE")
            yield from figures_of(f"{finished:,} jobs kept", ours.run("benchmarks.served", "claims", url, claims))
    with database.new_database() as url, psycopg.connect(url) as reader:
        # As long as it is open, no vacuum removes what came to an end later.
        reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        reader.execute("SELECT count(*) FROM pg_class")
        ours.run("benchmarks.served", "lives", url, database.pid, 0, ran)
        seconds = ours.run("benchmarks.served", "claims", url, claims)
    yield from figures_of(f"an old snapshot held over {ran:,} jobs", seconds)


def figures_of(circumstances: str, seconds: Sequence[float]) -> Iterator[Figure]:
    name, note = f"claim one in PostgreSQL, {circumstances}", f"{_NOTE}; worst {max(seconds) * 1000:.1f} ms"
    for percent, label, targets in ((50, "median", ()), (99, "p99", (Target(15),))):
        yield Figure(f"{name}: {label}", "ms", {OURS: [percentile(seconds, percent) * 1000]}, targets, note)
