"""Records and events as rows."""

from typing import Final

from servicekit.errors import JobNotFound
from servicekit.jobs.record import JobRecord
from servicekit.stores.durable.records import RECORD_COLUMNS, EventRow, read_record
from servicekit.stores.durable.requests import RecordRequest
from servicekit.stores.postgres.session import Session, Values

_EVENT: Final = (
    "e.position, e.job_id, e.version, e.is_transition, e.status, e.attempt, e.at, e.started_at, e.scheduled_at, "
    "e.cancel_requested_at, e.progress, e.error, "
    "CASE WHEN e.version = j.version THEN j.error_traceback ELSE e.error_traceback END, "
    "j.name, j.submitted_at, j.tags, j.queue, j.priority, j.artifact_id, j.ended_by, j.retry_of, j.schedule, j.parent, "
    "coalesce(e.owned_by, j.owned_by), j.metadata, CASE WHEN e.attempt = j.attempt THEN j.process END, j.attempts, "
    "j.restart_problem, j.runner"
)


def read_events(session: Session, events: str, values: Values) -> list[EventRow]:
    """The events that a query selects, in order, each with what it needs of its job.

    The jobs are looked up one by one. A join would be planned for a full page, and read all jobs for one event.
    """
    query = (
        f"SELECT {_EVENT} FROM ({events}) AS e LEFT JOIN LATERAL "
        "(SELECT * FROM servicekit.jobs WHERE id = e.job_id AND NOT is_deleted OFFSET 0) AS j ON TRUE "
        "ORDER BY e.position"
    )
    return [EventRow(*row) for row in session.run(query, values)]


def get_record(session: Session, request: RecordRequest) -> JobRecord:
    query = f"SELECT {RECORD_COLUMNS} FROM servicekit.jobs WHERE id = %s AND NOT is_deleted"
    rows = session.run(query, [request.id])
    if not rows:
        raise JobNotFound(request.id)
    return read_record(rows[0], request.now)
