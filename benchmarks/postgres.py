"""A PostgreSQL server for one case, and what it can do without any of the contestants."""

import functools
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any, Final

import psycopg

from benchmarks.contestants import Contestants, on_all_cores
from benchmarks.disk import find_place
from benchmarks.figures import Figure
from benchmarks.meter import cpu_seconds_of_tree
from tools.postgres_server import PostgresServer, ServerUnavailableError, find_programs, running_server

SETTINGS: Final = {
    "fsync": "on",
    "synchronous_commit": "on",
    "max_connections": "200",
    # Debian's own, of 128 MB and of 1 GB, are for a machine with less memory than any that has millions of jobs.
    "shared_buffers": "512MB",
    "max_wal_size": "4GB",
    "shared_preload_libraries": "pg_stat_statements",
}

_STATEMENTS: Final = """
    SELECT coalesce(sum(calls), 0) FROM pg_stat_statements
    JOIN pg_database ON pg_database.oid = dbid WHERE datname = '{database}'
"""
_BARE: Final = "INSERT INTO bare (text) VALUES ('as little as there can be');\n"
_TRANSACTIONS_PER_SECOND: Final = re.compile(r"^tps = ([\d.]+)", re.MULTILINE)


class Database:
    """A server, and the databases on it. All contestants of a case have the same server, and a database each."""

    def __init__(self, server: PostgresServer) -> None:
        self.pid = server.pid
        self._server = server
        self._numbers = count()
        self._count_statements("none")  # to count them costs something

    @contextmanager
    def new_database(self) -> Iterator[str]:
        """The address of an empty database, which is dropped at the end of the block."""
        name = f"bench{next(self._numbers)}"
        self.run("postgres", f"CREATE DATABASE {name}")
        try:
            yield self._server.url(name)
        finally:
            self.run("postgres", f"DROP DATABASE {name} WITH (FORCE)")

    def run(self, database: str, statement: str) -> list[tuple[Any, ...]]:
        """The rows of one statement, made in a connection of its own."""
        return run(self._server.url(database), statement)

    def cpu_seconds(self) -> float:
        """Of all processes of the server, from its start."""
        return cpu_seconds_of_tree(self.pid)

    def version(self) -> str:
        ((text,),) = self.run("postgres", "SHOW server_version")
        return str(text)

    def count_statements(self, url: str, seconds: float) -> int:
        """How many statements clients run in this database in so many seconds, `BEGIN` and its like included."""
        self.run("postgres", "CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        self._count_statements("top")
        self.run("postgres", "SELECT pg_stat_statements_reset()")
        time.sleep(seconds)
        ((number,),) = self.run("postgres", _STATEMENTS.format(database=url.rpartition("/")[2]))
        self._count_statements("none")
        return int(number)

    def _count_statements(self, which: str) -> None:
        self.run("postgres", f"ALTER SYSTEM SET pg_stat_statements.track = '{which}'")
        self.run("postgres", "SELECT pg_reload_conf()")

    def bare_transactions_per_second(self, clients: int, seconds: float) -> float:
        """What pgbench reaches: a synced transaction for each row."""
        with self.new_database() as url, tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
            run(url, "CREATE TABLE bare (id bigserial PRIMARY KEY, text text NOT NULL)")
            script.write(_BARE)
            script.flush()
            options = [f"--client={clients}", "--jobs=1", f"--time={max(round(seconds), 1)}", f"--file={script.name}"]
            found = _TRANSACTIONS_PER_SECOND.search(self._server.run("pgbench", "--no-vacuum", *options, url))
        assert found
        return float(found[1])


def run(url: str, statement: str) -> list[tuple[Any, ...]]:
    """The rows of one statement, made in a connection of its own."""
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


Measure = Callable[..., Iterator[Figure]]


def on_postgres(measure: Measure) -> Measure:
    """A case that is given a `Database` first, on a server of its own. Without a server it says why, on stderr."""

    @functools.wraps(measure)
    def measure_there(contestants: Contestants, *, quick: bool) -> Iterator[Figure]:
        try:
            programs = find_programs()
        except ServerUnavailableError as error:
            print(f"Left out: {error}.", file=sys.stderr)
            return
        with on_all_cores(), running_server(programs, place=find_place(), settings=SETTINGS) as server:
            yield from measure(Database(server), contestants, quick=quick)

    return measure_there
