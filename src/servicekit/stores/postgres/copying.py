"""Tables of jobs that are moved elsewhere, or filled from elsewhere: see `stores/durable/copying.py`."""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any, Final

from servicekit.errors import StoreUnavailable
from servicekit.jobs.status import JobStatus
from servicekit.stores.durable.copying import OWNED_STATUSES, OWNER, TABLES, HasJobs, Kind, Marks, Row, Table, read_rows
from servicekit.stores.postgres.address import Address
from servicekit.stores.postgres.connections import connect, translated_errors
from servicekit.stores.postgres.feed import settle
from servicekit.stores.postgres.leases import TERMS
from servicekit.stores.postgres.schema import prepare
from servicekit.stores.postgres.session import Session, to_text

# A result can have megabytes, and so many rows are in memory at a time.
_FETCHED: Final = 50
_RUNNING: Final = JobStatus.RUNNING.value
_TYPES: Final = {
    Kind.TEXT: "text",
    Kind.NUMBER: "bigint",
    Kind.FLAG: "integer::boolean",
    Kind.TIME: "timestamptz",
    Kind.OWNER: "bigint",
}

# Who would join waits for this.
_KEEP_OUT: Final = """
    SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;
    SET LOCAL lock_timeout = '5s'; SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0;
    LOCK TABLE servicekit.processes IN SHARE ROW EXCLUSIVE MODE
"""
_LIVING: Final = """
    SELECT name FROM servicekit.processes
    WHERE NOT is_dead AND renewed_at > clock_timestamp() - make_interval(secs => %s) LIMIT 1
"""
_FINISH: Final = (
    f"""
    INSERT INTO servicekit.counts (queue, status, shard, jobs)
    SELECT queue, CASE WHEN is_deleted AND status = '{_RUNNING}' THEN 'deleted' ELSE status END AS counted, 0, count(*)
    FROM servicekit.jobs GROUP BY queue, counted
    """,
    """
    INSERT INTO servicekit.owner_counts (owned_by, status, shard, jobs)
    SELECT owned_by, status, 0, count(*) FROM servicekit.jobs WHERE owned_by IS NOT NULL AND NOT is_deleted
    GROUP BY owned_by, status
    """,
    "SELECT setval('servicekit.turns', greatest(max(turn), 1)) FROM servicekit.jobs",
    # It is marked as dead, and so the next process takes over what it had.
    f"""
    INSERT INTO servicekit.processes (number, name, pid, shard, started_at, renewed_at, is_dead)
    SELECT {OWNER}, 'before the move', 0, -1, clock_timestamp(), clock_timestamp(), TRUE
    """,
    "DELETE FROM servicekit.unfinished_move",
)


@contextmanager
def open_origin(address: Address) -> Iterator["DatabaseCopy"]:
    """The database of a stopped service. No service can start there until the end of the block; `StoreUnavailable`."""
    with _open(address) as session, session.connection.transaction():
        session.run(_KEEP_OUT)
        _check_nobody_works(session, address)
        yield DatabaseCopy(session, address)


@contextmanager
def open_destination(address: Address) -> Iterator["EmptyDatabase"]:
    """A database without jobs; `StoreUnavailable`. Its tables are made if they are not there."""
    prepare(address)
    with _open(address) as session:
        [(is_free,)] = session.run("SELECT pg_try_advisory_lock(%s)", [session.lock_number("move")])
        if not is_free:
            raise StoreUnavailable(address.location, "another move into it is under way.")
        _check_nobody_works(session, address)
        yield EmptyDatabase(session, address)


@contextmanager
def _open(address: Address) -> Iterator[Session]:
    with translated_errors(address), closing(connect(address, purpose="move")) as connection:
        yield Session(connection, address.schema)


def _check_nobody_works(session: Session, address: Address) -> None:
    for (name,) in session.run(_LIVING, [TERMS.death]):
        reason = (
            f"process {name} works on it. Stop the service, and its workers; if it was killed, wait for "
            f"{TERMS.death:g} seconds."
        )
        raise StoreUnavailable(address.location, reason)


class DatabaseCopy:
    """An `Origin` in a database."""

    def __init__(self, session: Session, address: Address) -> None:
        self._session = session
        self.location = address.location

    def read_marks(self) -> Marks:
        [(forgotten,)] = self._session.run("SELECT position FROM servicekit.forgotten")
        names = self._session.run("SELECT name FROM servicekit.service")
        return Marks(settle(self._session), forgotten, names[0][0] if names else None)

    def count(self, table: Table) -> int:
        [(count,)] = self._session.run(f"SELECT count(*) FROM servicekit.{table.name}")
        return int(count)

    def read(self, table: Table, after: Row = ()) -> Iterator[Row]:
        keys = list(table.columns)[: table.key_length]
        columns = ", ".join(_expression(name, kind) for name, kind in table.columns.items())
        beyond = f"WHERE ({', '.join(keys)}) > ({', '.join(['%s'] * len(keys))})" if after else ""
        query = f"SELECT {columns} FROM servicekit.{table.name} {beyond} ORDER BY {', '.join(keys)}"
        return read_rows(self.location, table, self._fetch(query, after))

    def _fetch(self, query: str, values: Row) -> Iterator[tuple[Any, ...]]:
        connection = self._session.connection
        with connection.transaction(), connection.cursor(name="rows") as cursor:
            cursor.itersize = _FETCHED
            yield from cursor.execute(self._session.text_of(query), values)


def _expression(name: str, kind: Kind) -> str:
    return f"status IN {OWNED_STATUSES} AND {name} <> 0" if kind is Kind.OWNER else name


class EmptyDatabase(DatabaseCopy):
    """A `Destination` in the tables of a database. While a row of `unfinished_move` is there, no service starts."""

    def begin(self, origin: str, position: int) -> None:
        begun = self._session.run("SELECT location, position FROM servicekit.unfinished_move")
        if begun == [(origin, position)]:
            return
        if begun and begun[0][0] != origin:
            reason = f"the move of {begun[0][0]} into it is not finished. Go on with that, or use another database."
            raise StoreUnavailable(self.location, reason)
        if not begun and self._session.run("SELECT 1 FROM servicekit.jobs LIMIT 1"):
            raise HasJobs(self.location, "it has jobs already. Use another database, or ?schema=.")
        self.clear()
        self._session.run("INSERT INTO servicekit.unfinished_move VALUES (%s, %s)", [origin, position])

    def find_last(self, table: Table) -> Row:
        keys = list(table.columns)[: table.key_length]
        order = ", ".join(f"{key} DESC" for key in keys)
        rows = self._session.run(f"SELECT {', '.join(keys)} FROM servicekit.{table.name} ORDER BY {order} LIMIT 1")
        return rows[0] if rows else ()

    def write(self, table: Table, rows: list[Row]) -> None:
        names, values = list(table.columns), _values_of(table)
        if table.name == "events":
            names, values = [*names, "writer"], [*values, "0"]
        prepared = [[to_text(value) if isinstance(value, str) else value for value in row] for row in rows]
        self._session.run(
            f"INSERT INTO servicekit.{table.name} ({', '.join(names)}) SELECT {', '.join(values)} "
            "FROM json_array_elements(%s::json) AS rows (value) ON CONFLICT DO NOTHING",
            [json.dumps(prepared)],
        )

    def clear(self) -> None:
        with self._session.connection.transaction():
            for name in (
                *(table.name for table in TABLES),
                "counts",
                "owner_counts",
                "processes",
                "service",
                "unfinished_move",
            ):
                self._session.run(f"DELETE FROM servicekit.{name}")

    def finish(self, marks: Marks) -> None:
        with self._session.connection.transaction():
            for statement in _FINISH:
                self._session.run(statement)
            values = [max(marks.position, 1), marks.position > 0]
            self._session.run("SELECT setval('servicekit.positions', %s, %s)", values)
            self._session.run("UPDATE servicekit.forgotten SET position = %s", [marks.forgotten])
            if marks.service is not None:
                self._session.run("INSERT INTO servicekit.service VALUES (%s)", [marks.service])
        self._session.run("ANALYZE servicekit.jobs, servicekit.events")  # else it takes a minute, and claims are slow


def _values_of(table: Table) -> list[str]:
    return [f"(value ->> {index})::{_TYPES[kind]}" for index, kind in enumerate(table.columns.values())]
