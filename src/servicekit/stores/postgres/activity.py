"""What was counted of jobs."""

from typing import Final

from servicekit.stores.durable.activity_rows import ActivityRequest, ActivityRow, NewActivity
from servicekit.stores.durable.operations import Rank, for_each
from servicekit.stores.postgres.session import Session

_PUT: Final = """
    INSERT INTO servicekit.activity (minute, source, owned_by, groups)
    SELECT * FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[])
    ON CONFLICT (owned_by, minute, source) DO UPDATE SET groups = EXCLUDED.groups
"""
# Rows that another process is just removing are passed over, so that nobody waits.
_FORGET: Final = """
    DELETE FROM servicekit.activity WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM servicekit.activity WHERE minute < %s OR minute > %s FOR UPDATE SKIP LOCKED
    ))
"""
_LIST: Final = "SELECT minute, source, owned_by, groups FROM servicekit.activity WHERE owned_by = %s AND minute >= %s"


@for_each(Rank.COUNT)
def put(session: Session, new: NewActivity) -> None:
    """Keep rows, and drop those that are too old."""
    if new.rows:
        session.run(_PUT, [list(column) for column in zip(*new.rows, strict=True)])
    session.run(_FORGET, [new.first, new.last])


def list_activity(session: Session, request: ActivityRequest) -> list[ActivityRow]:
    return [ActivityRow(*row) for row in session.run(_LIST, request)]
