"""Queues: their pauses, and how many jobs they have."""

from typing import Final

from servicekit.jobs.queues import QueueRecord
from servicekit.jobs.status import Transition, move_of
from servicekit.stores.durable.operations import Rank, for_each
from servicekit.stores.durable.requests import Pause
from servicekit.stores.postgres import keys
from servicekit.stores.postgres.session import Session

_CLAIM: Final = move_of(Transition.CLAIM)
_PENDING: Final = _CLAIM.sources[0].value
_RUNNING: Final = _CLAIM.target.value

_QUEUES: Final = f"""
    SELECT name, bool_or(is_paused), sum(pending)::bigint, sum(running)::bigint FROM (
        SELECT queue AS name, FALSE AS is_paused, CASE WHEN status = '{_PENDING}' THEN jobs ELSE 0 END AS pending,
               CASE WHEN status = '{_PENDING}' THEN 0 ELSE jobs END AS running
        FROM servicekit.counts WHERE status IN ('{_PENDING}', '{_RUNNING}', 'deleted')
        UNION ALL SELECT name, TRUE, 0, 0 FROM servicekit.queues WHERE is_paused
    ) AS known
    GROUP BY name HAVING bool_or(is_paused) OR sum(pending) > 0 OR sum(running) > 0 ORDER BY name
"""


def list_queues(session: Session, _: None) -> list[QueueRecord]:
    """The queues that have jobs pending or running, or are paused."""
    return [
        QueueRecord(name, is_paused, pending, running) for name, is_paused, pending, running in session.run(_QUEUES)
    ]


@for_each(Rank.SETTING)
def set_paused(session: Session, pause: Pause) -> None:
    """Pause or resume a queue."""
    session.run(
        "INSERT INTO servicekit.queues (name, is_paused) VALUES (%s, %s) "
        "ON CONFLICT (name) DO UPDATE SET is_paused = EXCLUDED.is_paused",
        pause,
    )
    keys.pass_on(session, {}, of_all=True)
    session.is_ready = True  # other processes shall look as well
