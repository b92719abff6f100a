"""What lists of jobs cost a database, whatever the planner expects."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from servicekit.jobs.query import JobFilter
from servicekit.jobs.status import JobStatus
from servicekit.stores.durable.requests import ListRequest
from servicekit.stores.postgres import schema
from servicekit.stores.postgres.address import read_address
from servicekit.stores.postgres.connections import connect
from servicekit.stores.postgres.feed import read_others
from servicekit.stores.postgres.queries import list_records
from servicekit.stores.postgres.session import Session
from tests.needs import needs
from tests.postgres import shared_server

pytestmark = needs("postgresql")

JOBS = 3_000
FILL = f"""
    INSERT INTO servicekit.jobs (id, name, max_restarts, runner, submitted_at, status, owned_by)
    SELECT 'J' || lpad(n::text, 6, '0'), 'common', 1, 'coroutine', now(), 'completed', 'common'
    FROM generate_series(1, {JOBS}) AS n;
    INSERT INTO servicekit.job_tags SELECT 'common', id FROM servicekit.jobs;
    INSERT INTO servicekit.job_metadata SELECT 'kind', 'common', id FROM servicekit.jobs;
    INSERT INTO servicekit.events (writer, job_id, version, is_transition, status, at)
    SELECT 7, id, 1, TRUE, 'pending', now() FROM servicekit.jobs;
    ANALYZE
"""
FETCHED = """
    SELECT sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))::bigint FROM pg_stat_xact_user_tables
    WHERE schemaname = 'servicekit'
"""


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with shared_server().new_database() as url:
        address = read_address("url", url)
        schema.migrate(address)
        with connect(address, purpose="test") as connection:
            connection.execute(FILL, prepare=False)
            connection.prepare_threshold = 0
            yield Session(connection)


@pytest.mark.parametrize("plans", ["force_generic_plan", "force_custom_plan"])
@pytest.mark.parametrize(
    "wanted",
    [
        JobFilter(),
        JobFilter(statuses=frozenset({JobStatus.FAILED})),
        JobFilter(statuses=frozenset({JobStatus.FAILED, JobStatus.CANCELED})),
        JobFilter(statuses=frozenset({JobStatus.COMPLETED})),
        JobFilter(name="rare"),
        JobFilter(tag="rare"),
        JobFilter(metadata={"kind": "rare"}),
        JobFilter(parent="J000001"),
        JobFilter(owner="common"),
        JobFilter(owner="rare"),
        JobFilter(owner="common", statuses=frozenset({JobStatus.COMPLETED})),
        JobFilter(owner="common", statuses=frozenset({JobStatus.FAILED, JobStatus.CANCELED})),
    ],
)
def test_a_list_reads_no_more_than_it_shows(session: Session, wanted: JobFilter, plans: str) -> None:
    with session.connection.transaction():
        session.run(f"SET LOCAL plan_cache_mode = {plans}")
        ((before,),) = session.run(FETCHED)
        page = list_records(session, ListRequest(wanted, 10, None, JOBS, datetime.now(UTC)))
        ((fetched,),) = session.run(FETCHED)
    assert len(page.records) in (0, 10)
    assert fetched - before <= 40


@pytest.mark.parametrize("followed", [["J002999"], None])
def test_a_look_for_events_reads_no_more_jobs_than_have_some(session: Session, followed: list[str] | None) -> None:
    with session.connection.transaction():
        session.run("SET LOCAL enable_nestloop = off")  # as if many more events were expected
        ((before,),) = session.run(FETCHED)
        events = read_others(session, JOBS - 5, followed)
        ((fetched,),) = session.run(FETCHED)
    assert len(events) == (5 if followed is None else 1)
    assert fetched - before <= 40
