"""Claims: which ready jobs a process gets. Everything here runs inside the writer's transaction.

Queues take turns: next is the queue that has the fewest running, and of several such the one that was served longest
ago. All places are found first, and then so many jobs of each queue are locked as it has places among the first. Jobs
that other processes are just taking are passed over, so that nobody waits.
"""

import json
from typing import Final

from servicekit.jobs.options import RunnerKind
from servicekit.jobs.status import JobStatus
from servicekit.stores.durable.aftermath import put_back
from servicekit.stores.durable.operations import Rank, for_all
from servicekit.stores.durable.requests import ClaimedJob, ClaimRequest, ProcessForgotten
from servicekit.stores.postgres import keys, owners
from servicekit.stores.postgres.changes import PENDING, RUNNING, rows_of, transition
from servicekit.stores.postgres.lines import READY, find_bound
from servicekit.stores.postgres.session import Session

_BUSY: Final = f"SELECT coalesce(sum(jobs), 0)::bigint FROM servicekit.counts WHERE status IN ('{RUNNING}', 'deleted')"
_MOST: Final = "(SELECT jobs FROM most)"
_IN_LINE: Final = (
    f"{READY} AND queue = line.queue AND owner = line.owner AND runner = line.runner AND -priority = line.rank "
    "AND turn {} ORDER BY turn, id"
)
_FIRST: Final = _IN_LINE.format("> %(bound)s::bigint")
_NEXT: Final = _IN_LINE.format(">= line.first")
_PLACES: Final = f"""
    process AS MATERIALIZED (
        SELECT number FROM servicekit.processes WHERE number = %(number)s::bigint AND NOT is_dead FOR SHARE
    ), lines AS MATERIALIZED (
        SELECT line.*, first, served
        FROM process CROSS JOIN servicekit.lines AS line JOIN servicekit.queues ON name = line.queue
        CROSS JOIN LATERAL (SELECT turn AS first FROM {_FIRST} LIMIT 1) AS head
        WHERE NOT is_paused AND owner IN (0, number) AND %(runners)s::jsonb ? runner
    ), most AS MATERIALIZED (
        SELECT CASE WHEN %(max_running)s::bigint IS NULL THEN wanted
                    ELSE greatest(0, least(wanted, %(max_running)s::bigint - ({_BUSY}))) END AS jobs
        FROM (SELECT CASE WHEN EXISTS (SELECT 1 FROM lines WHERE runner <> '{RunnerKind.COROUTINE}')
                          THEN %(limit)s::bigint ELSE %(most)s::bigint END AS wanted) AS each
    ), rivals AS MATERIALIZED (
        SELECT count(DISTINCT queue) > 1 AS are_there, count(*) > 1 AS have_lines FROM lines
    ), open AS MATERIALIZED (  -- each with its lines in arrays, since to join them takes their number squared
        SELECT *, least(most - running, {_MOST}) AS room FROM (
            SELECT *, CASE  -- where there is one queue without a limit, it does not matter
                WHEN most IS NOT NULL OR (SELECT are_there FROM rivals)
                THEN ({_BUSY} AND counts.queue = each.queue) ELSE 0
            END AS running FROM (
                SELECT queue, served, (%(limits)s::jsonb ->> queue)::bigint AS most, array_agg(owner) AS owners,
                       array_agg(runner) AS runners, array_agg(rank) AS ranks, array_agg(first) AS firsts
                FROM lines GROUP BY queue, served
            ) AS each OFFSET 0  -- so that it is counted once
        ) AS known WHERE most IS NULL OR running < most ORDER BY running, served, queue LIMIT {_MOST}
    ), within AS MATERIALIZED (
        SELECT queue, served, running, room, line.* FROM open
        CROSS JOIN LATERAL unnest(owners, runners, ranks, firsts) AS line (owner, runner, rank, first)
    ), places AS MATERIALIZED (
        SELECT * FROM (
            SELECT line.*, row_number() OVER (PARTITION BY queue ORDER BY rank, turn, id) - 1 AS place
            FROM within AS line CROSS JOIN LATERAL (SELECT turn, id FROM {_NEXT} LIMIT room) AS ready
            WHERE (SELECT have_lines FROM rivals)
        ) AS found WHERE place < room ORDER BY running + place, place, served, queue LIMIT {_MOST}
    ),
"""
# Materialized, since a join may run it again for each row of the other side. It would find others to lock each time.
_TAKEN: Final = f"""
    taken AS MATERIALIZED (  -- by where they are in the table: their locks keep them there
        SELECT line.queue, served, running, job.place_in_table FROM (
            SELECT queue, owner, runner, rank, first, served, running, count(*) AS jobs
            FROM places GROUP BY 1, 2, 3, 4, 5, 6, 7
            UNION ALL  -- where there is one line, all places are in it
            SELECT queue, owner, runner, rank, first, served, running, least(room, {_MOST})
            FROM within WHERE NOT (SELECT have_lines FROM rivals)
        ) AS line CROSS JOIN LATERAL (
            SELECT ctid AS place_in_table FROM {_NEXT} LIMIT jobs FOR UPDATE SKIP LOCKED
        ) AS job
    ),
"""
# Queues that another process is just serving are passed over: it would have to be waited for.
_SERVED: Final = """
    serving AS MATERIALIZED (
        SELECT name FROM servicekit.queues
        WHERE (SELECT are_there FROM rivals) AND name IN (SELECT queue FROM changed) FOR UPDATE SKIP LOCKED
    ), served AS (
        UPDATE servicekit.queues SET served = (SELECT max(served) FROM servicekit.queues) + last.place FROM (
            SELECT queue, row_number() OVER (ORDER BY running + count(*), count(*), served, queue) AS place
            FROM changed GROUP BY queue, running, served
        ) AS last WHERE name = last.queue AND name IN (SELECT name FROM serving)
    )
"""
# Not as JSON, which takes the server longer to make than this process to read so many columns.
_COLUMNS: Final = ClaimedJob._fields[1:]
_KEPT: Final = ", ".join(f"job.{name}" for name in _COLUMNS if name not in ("id", "attempt", "ready_at", "owned_by"))
_READY_AT: Final = "coalesce(job.scheduled_at, job.submitted_at) AS ready_at"
_CLAIM: Final = transition(
    f"""
    UPDATE servicekit.jobs AS job SET
        status = '{RUNNING}', version = version + 1, attempt = attempt + 1, owner = %(number)s::bigint,
        process = %(process)s, started_at = greatest(submitted_at, %(now)s::timestamptz), error_traceback = NULL
    FROM taken WHERE job.ctid = taken.place_in_table
    """,
    JobStatus.PENDING,
    _SERVED,
    first=_PLACES + _TAKEN,
    kept=f", taken.running, taken.served, -job.priority AS rank, {_KEPT}, {_READY_AT}",
    answer=f"""
    SELECT is_alive, rank, {", ".join(_COLUMNS)}
    FROM (SELECT EXISTS (SELECT 1 FROM process) AS is_alive) AS known LEFT JOIN (
        SELECT *, row_number() OVER (PARTITION BY queue ORDER BY rank, turn, id) - 1 AS place FROM changed
    ) AS each ON TRUE ORDER BY running + place, place, served, queue
    """,
)


@for_all(Rank.CLAIM)
def claim(session: Session, requests: list[ClaimRequest]) -> list[list[ClaimedJob] | Exception]:
    """Set the first ready jobs running that a process can run; `ProcessForgotten` if it counts as dead."""
    keys.settle(session)
    return [_claim(session, request) for request in requests]


claim.abandoned(put_back)


def _claim(session: Session, request: ClaimRequest) -> list[ClaimedJob] | Exception:
    if request.is_first:
        session.run("UPDATE servicekit.processes SET runs_jobs = TRUE WHERE number = %s", [request.process])
    bound = find_bound(session)
    if request.max_running is not None or request.queue_limits:
        # A statement of its own: the next one sees what was committed until it has the lock.
        session.run("SELECT pg_advisory_xact_lock(%s)", [session.lock_number("claims")])
    jobs = _take(session, request, bound)
    if jobs is not None and bound >= 0 and len(jobs) < request.limit:
        jobs += _take(session, _rest_of(request, jobs), -1) or []
    # Ready jobs that cannot start, say in a paused queue, may hold slots of keys for which jobs elsewhere wait. They
    # are passed on after the claim, to jobs that can start; then there may be more to claim.
    if jobs is not None and keys.pass_on(session, request.queue_limits) and len(jobs) < request.limit:
        jobs += _take(session, _rest_of(request, jobs), -1) or []
    return ProcessForgotten() if jobs is None else jobs


def _rest_of(request: ClaimRequest, jobs: list[ClaimedJob]) -> ClaimRequest:
    return request._replace(limit=request.limit - len(jobs), most=request.most - len(jobs))


def _take(session: Session, request: ClaimRequest, bound: int) -> list[ClaimedJob] | None:
    """Set the first jobs running; `None` if the process counts as dead."""
    runners = [runner.value for runner in RunnerKind if runner not in request.excluding]
    values = {
        "number": request.process, "shard": session.shard, "process": request.process_name, "now": request.now,
        "limit": request.limit, "most": max(request.most, request.limit),
        "max_running": request.max_running, "limits": rows_of(dict(request.queue_limits)),
        "runners": json.dumps(runners), "bound": bound,
    }  # fmt: skip
    rows = session.run(_CLAIM, values)
    jobs = [ClaimedJob._make(row[1:]) for row in rows if row[2] is not None]
    session.is_changed |= bool(jobs)
    for job in jobs:
        if job.owned_by is not None:
            owners.note(session, job.owned_by, PENDING, RUNNING)
    return jobs if rows[0][0] else None
