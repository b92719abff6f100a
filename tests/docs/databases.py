"""The PostgreSQL server of the pages: what they call `db.example`, and what it has in it."""

from contextlib import ExitStack
from pathlib import Path

from tests.postgres import PostgresServer, run_postgres

PRINTED_HOST = "db.example"
EMPTY = "empty"


class Database:
    """The server as a section sees it: a database `jobs`, unless the section creates that itself."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._host = f"127.0.0.1:{server.port}"
        self.url = server.url("jobs")
        self.programs: Path = server.version.folder

    def hide(self, text: str) -> str:
        """What was printed, as if it came from the page's server."""
        return text.replace(self._host, PRINTED_HOST)

    def show(self, text: str) -> str:
        """A block, with the real place of the server."""
        return text.replace(PRINTED_HOST, self._host)


class DatabaseServers:
    """One server for all sections, started for the first one."""

    def __init__(self, started: ExitStack) -> None:
        self._started = started
        self._server: PostgresServer | None = None

    def empty(self, content: str) -> Database:
        """The server without what an earlier section has left."""
        if self._server is None:
            self._server = self._started.enter_context(run_postgres())
        for (name,) in self._server.execute("SELECT datname FROM pg_database WHERE datname = 'jobs'"):
            self._server.execute(f"DROP DATABASE {name} WITH (FORCE)")
        for (role,) in self._server.execute("SELECT rolname FROM pg_roles WHERE rolname !~ '^pg_|^postgres$'"):
            self._server.execute(f"DROP ROLE {role}")
        if content != EMPTY:
            self._server.execute("CREATE DATABASE jobs")
        return Database(self._server)
