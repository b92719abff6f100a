"""Events as rows."""

from typing import Final

from servicekit.stores.durable.records import EventRow
from servicekit.stores.postgres.session import Session, Values

_EVENT: Final = (
    "e.position, e.job_id, e.version, e.is_transition, e.status, e.attempt, e.at, e.started_at, e.scheduled_at, "
    "e.cancel_requested_at, e.progress, e.error, "
    "CASE WHEN e.version = j.version THEN j.error_traceback ELSE e.error_traceback END, "
    "j.name, j.submitted_at, j.tags, j.queue, j.priority, j.artifact_id, j.ended_by, j.retry_of, j.schedule, j.parent, "
    "j.metadata, CASE WHEN e.attempt = j.attempt THEN j.process END, j.attempts, j.restart_problem"
)


def read_events(session: Session, events: str, values: Values) -> list[EventRow]:
    """The events that a query selects, in order, each with what it needs of its job."""
    query = (
        f"SELECT {_EVENT} FROM ({events}) AS e "
        "LEFT JOIN servicekit.jobs AS j ON j.id = e.job_id AND NOT j.is_deleted ORDER BY e.position"
    )
    return [EventRow(*row) for row in session.run(query, values)]
