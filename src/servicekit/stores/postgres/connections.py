"""Connections to the server, and its errors in plain words."""

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Final, TypeVar

import psycopg
from psycopg import capabilities
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.errors import Diagnostic

from servicekit.errors import StoreUnavailable
from servicekit.stores.postgres.address import Address
from servicekit.stores.postgres.session import Connection

R = TypeVar("R")

# A connection whose other end has gone without a word is found dead after some seconds: well before a lease runs out.
# What the address says of these comes first.
_DEFAULTS: Final = {
    "connect_timeout": 3,
    "keepalives_idle": 3,
    "keepalives_interval": 1,
    "keepalives_count": 3,
    "tcp_user_timeout": 5_000,
}

# Times are read as the server writes them. A claim with a LIMIT of an expression would be compiled each time (JIT).
_SETTINGS: Final = {"timezone": "UTC", "datestyle": "ISO", "jit": "off"}

_CANCEL_SECONDS: Final = 1.0

_TLS: Final = "TLS"
_PARAMETER: Final = "parameter"
_STANDBY: Final = "standby"
_NO_LIMITS: Final[Mapping[str, str]] = {}

_AWAY: Final = "the server cannot be reached. Look whether it runs, and at the host and port of its address."
_RESTARTING: Final = "the server is starting, or shutting down. It is tried again."
_REASONS: Final = {
    "08": _AWAY,
    "28": "the server does not let this role in. Look at the role, its password and pg_hba.conf.",
    "3D000": "the server has no such database. Create it (createdb), or correct the address.",
    "3F000": "it has no such schema. Run `servicekit migrate URL` as its owner.",
    "42P01": "a table is missing. Run `servicekit migrate URL` as the owner of the schema.",
    "42703": "a column is missing. Run `servicekit migrate URL` as the owner of the schema.",
    "42501": "this role lacks a permission. As the owner, grant it what the documentation lists.",
    "25006": "the server can only be read: it is a standby. Add target_session_attrs=read-write to the address.",
    "25P03": "the server has ended a transaction in which this process stood still. It is tried again.",
    "40": "other processes change the same jobs at the same time. It is tried again.",
    "53100": "the disk of the server is full. Make room on it; jobs that were accepted are kept.",
    "53200": "the server is out of memory.",
    "53300": "all connections of the server are in use. Each process needs three: raise max_connections.",
    _TLS: "the server and this process do not agree on TLS. Look at sslmode and sslrootcert in the address.",
    _PARAMETER: "its address, or the environment, has a wrong value for {}. Correct it.",
    "53": "the server lacks resources.",
    "54": "something is larger than the server can keep.",
    "55P03": "another program holds its lock on the tables. It is tried again.",
    "57014": "the server needed too long, and gave up. Look at its load, and for locks of other programs.",
    "57P": _RESTARTING,
    _STANDBY: "no standby has what was written, and the server must wait for one. Look at its standbys.",
    "58": "the server reports an error of its disk.",
    "XX": "the server reports that its data is damaged. Look at its log.",
}
# What is wrong stands behind it, and may be a part of a password.
_WRONG: Final = re.compile(
    r"bad value for (\w+)|connection option \"(\w+)\"|invalid \"?(\w+)\"? value:|parameter \"([\w.]+)\"|"
    r"parse network (address)|definition of (service)"
)
# When a connection is refused, libpq tells no code.
_REFUSALS: Final = (
    (_PARAMETER, _WRONG),
    ("08001", r"refused|No such file or directory|reset by peer|closed the connection|timeout|timed out|no response|"
              r"unreachable|No route|not translate host name|Name or service not known"),
    ("28P01", r"password|authentication failed|pg_hba\.conf|role \"[^\"]*\" (does not exist|is not permitted)"),
    ("53300", r"too many (clients|connections)|connection slots|no more connections allowed|max_client_conn"),
    ("3D000", r"database \"[^\"]*\" does not exist|no such database"),
    ("25006", r"session is (not )?read-only|server is (not )?in hot standby"),
    ("57P03", r"is starting up|is shutting down|not yet accepting connections|in recovery mode"),
    ("42501", r"permission denied"),
    (_TLS, r"SSL|TLS|certificate"),
)  # fmt: skip
_ENDS: Final = ("57P01", "57P02")  # it stops, or one of its processes has crashed
_NOBODY: Final = "refused|No such file or directory"
_MANY: Final = "Multiple connection attempts"  # a name with several addresses: others may serve
_STALE: Final = "0A000"
"""A table was altered under a prepared statement. It fails until it is prepared anew, which another connection does."""
# What says that the connection, or its server, has gone.
_LOST: Final = ("08", "57P01", "57P02", "57P03", "57P04", "57P05", "25P03", "25P04", _STANDBY)
_RETRYABLE: Final = ("40", "55P03")
# No other call would fare better.
_GENERAL: Final = (*_LOST, "28", "3D", "3F", "42P01", "42501", "25006", "53", "55P03", "58", "57014", _TLS, _PARAMETER)
# Nothing that passes while a caller waits.
_LASTING: Final = ("28", "3D", "3F", "42P01", "42703", "42501", _TLS, _PARAMETER)
# What passes when a server has started, or others have.
_COMING: Final = ("08", "57P", "53300")


class NoAnswer(psycopg.OperationalError):
    """The server has not answered in time. What becomes of the statement is not known."""


class NoStandby(psycopg.OperationalError):
    """What was committed is at this server alone, though it was to wait for a standby."""

    sqlstate = _STANDBY


class _BoundedConnection(psycopg.Connection[tuple[Any, ...]]):
    answer_seconds: float | None = None
    """How long to wait for the answer to one statement."""
    has_standby = True
    """Whether each commit has waited for the standbys that it was to wait for."""
    was_ended = False
    """Whether the server has said that it ends this connection."""

    def wait(self, gen: PQGen[R], *args: Any, **options: Any) -> R:
        if self.answer_seconds is not None:
            gen = _bounded(gen, self.answer_seconds)
        return super().wait(gen, *args, **options)


def _bounded(steps: PQGen[R], seconds: float) -> PQGen[R]:
    """The same steps, given up after so long: a server that stands still keeps its connections open."""
    deadline = time.monotonic() + seconds
    try:
        wanted = next(steps)
        while True:
            is_ready = yield wanted
            if not is_ready and time.monotonic() > deadline:  # libpq is asked ten times a second
                raise NoAnswer(f"the server has not answered for {seconds:g} seconds")
            wanted = steps.send(is_ready)
    except StopIteration as end:
        answer: R = end.value
        return answer


def _heed(connection: _BoundedConnection, said: Diagnostic) -> None:
    """Note what the server says by itself.

    A commit whose wait for a standby is canceled has succeeded all the same, with no more than a warning.
    """
    if said.source_function == "SyncRepWaitForLSN":
        connection.has_standby = False
    elif said.sqlstate in _ENDS:  # before the connection is closed, and also to one that has not asked anything
        connection.was_ended = True


def commit(connection: Connection, *, keeps: bool = True) -> None:
    """Commit. `NoStandby` if what was written may be lost with this server, though others shall have it as well.

    `keeps`: whether anything has to be kept. Else nobody waits for the disk.
    """
    connection.execute("COMMIT" if keeps else "SET LOCAL synchronous_commit = off; COMMIT")
    if isinstance(connection, _BoundedConnection) and not connection.has_standby:
        raise NoStandby("the commit has waited for a standby in vain")


def connect(
    address: Address, *, purpose: str, limits: Mapping[str, str] = _NO_LIMITS, answer_seconds: float | None = None
) -> Connection:
    """A connection, for statements that are transactions of their own until one begins. `StoreUnavailable`.

    `limits` are settings of the server that hold for all of them; behind a pooler see `set_locally`. `answer_seconds`
    is how long to wait for the answer to one statement.
    """
    with translated_errors(address):
        given = conninfo_to_dict(address.conninfo)
        options = {name: value for name, value in _DEFAULTS.items() if name not in given}
        connection = _BoundedConnection.connect(
            make_conninfo(address.conninfo, **options), autocommit=True, application_name=f"servicekit {purpose}"
        )
        try:
            connection.answer_seconds = answer_seconds
            connection.add_notice_handler(partial(_heed, connection))
            _set_up(connection, limits)
        except BaseException:
            connection.close()
            raise
    return connection


def _set_up(connection: Connection, limits: Mapping[str, str]) -> None:
    [(number,)] = connection.execute("SELECT pg_backend_pid()").fetchall()
    # A pooler tells clients a number of its own. Behind it each transaction may go to another session of the server.
    if number != connection.info.backend_pid:
        connection.prepare_threshold = None
    else:
        connection.execute("; ".join(f"SET {name} = '{value}'" for name, value in {**_SETTINGS, **limits}.items()))


def is_pooled(connection: Connection) -> bool:
    """Whether there is a pooler in between, so that nothing can be set for longer than a transaction."""
    return connection.prepare_threshold is None


def set_locally(connection: Connection, limits: Mapping[str, str] = _NO_LIMITS) -> str:
    """What each transaction has to begin with, where nothing can be set for longer; else nothing."""
    if not is_pooled(connection):
        return ""
    return "".join(f"SET LOCAL {name} = '{value}'; " for name, value in {**_SETTINGS, **limits}.items())


@contextmanager
def set_up(connection: Connection, limits: Mapping[str, str] = _NO_LIMITS) -> Iterator[None]:
    """Have the settings hold for the statements of the block, which make one transaction where that is needed."""
    if not is_pooled(connection):
        yield
        return
    connection.execute(f"BEGIN; {set_locally(connection, limits)}", prepare=False)
    try:
        yield
    finally:
        if not connection.closed:
            connection.execute("COMMIT")  # after an error, that is a ROLLBACK


@contextmanager
def translated_errors(address: Address) -> Iterator[None]:
    """Turn errors of the server, and of the way to it, into `StoreUnavailable`, with what can be done about it."""
    try:
        yield
    except psycopg.Error as error:
        raise StoreUnavailable(address.location, _describe(error)) from error


def code_of(error: object) -> str:
    """The SQLSTATE of an error, or of that behind a `StoreUnavailable`; \"\" if it has none."""
    if isinstance(error, StoreUnavailable):
        error = error.__cause__
    if not isinstance(error, psycopg.Error):
        return ""
    if error.sqlstate == "0A000" and "during recovery" in str(error):
        return "25006"
    if error.sqlstate is None and isinstance(error, psycopg.ProgrammingError):  # not found by libpq, but by psycopg
        return _PARAMETER if _WRONG.search(str(error)) else ""
    if error.sqlstate is None and isinstance(error, psycopg.OperationalError):
        return next((code for code, words in _REFUSALS if re.search(words, str(error))), "08000")
    return error.sqlstate or ""


def is_lost(error: object) -> bool:
    """Whether the connection has gone, or the server, and what was sent may have been done or not."""
    return isinstance(error, psycopg.InterfaceError) or code_of(error).startswith((*_LOST, _STALE))


def was_ended(connection: Connection, error: object) -> bool:
    """Whether the server itself has ended the connection, with which this error has come."""
    return code_of(error) in _ENDS or (isinstance(connection, _BoundedConnection) and connection.was_ended)


def is_down(error: object, address: Address, *, was_ended: bool) -> bool:
    """Whether the server of this address is down for everybody, if nothing is in between (`leads_to_server`).

    It says that it is starting or shutting down; or nobody listens there, after it has ended the last connection
    itself: else a firewall may refuse this process alone. And there is no other server in the address.
    """
    hosts = conninfo_to_dict(address.conninfo)
    if "," in f"{hosts.get('host', '')}{hosts.get('hostaddr', '')}":
        return False
    said = str(error.__cause__) if isinstance(error, StoreUnavailable) else ""
    is_refused = was_ended and re.search(_NOBODY, said) is not None and _MANY not in said
    return is_refused or code_of(error) == "57P03"


def leads_to_server(connection: Connection) -> bool:
    """Whether the server has the very address that was connected to: a proxy, a pooler or a router may have another.

    What is in between can be down for this process alone.
    """
    if is_pooled(connection):
        return False
    [(host, port)] = connection.execute("SELECT host(inet_server_addr()), inet_server_port()").fetchall()
    info = connection.info
    return info.host.startswith("/") if host is None else (host, port) == (info.hostaddr, info.port)


def is_elsewhere(error: object) -> bool:
    """Whether this server is none that can be written, and another one of the address may be."""
    return code_of(error) == "25006"


def end_wait(connection: Connection, error: object) -> None:
    """Have the server give up a statement that has not been answered in time.

    A commit that waits for a standby would go on with that, and keep its connection and its locks, when we have gone.
    """
    is_late = isinstance(error, StoreUnavailable) and isinstance(error.__cause__, NoAnswer)
    if is_late and capabilities.has_cancel_safe():  # without that, it could take as long as the network likes
        with suppress(psycopg.Error):
            connection.cancel_safe(timeout=_CANCEL_SECONDS)


def is_retryable(error: object) -> bool:
    """Whether the same transaction may succeed at once."""
    return code_of(error).startswith(_RETRYABLE)


def is_locked(error: object) -> bool:
    """Whether the only problem is a lock that another program holds."""
    return code_of(error) == "55P03"


def is_general(error: object) -> bool:
    """Whether every other call would fail as well."""
    return code_of(error).startswith(_GENERAL)


def is_lasting(error: object) -> bool:
    """Whether somebody has to do something before it can succeed."""
    return code_of(error).startswith(_LASTING)


def may_come(error: object) -> bool:
    """Whether the server may be there in a moment: it does not run yet, or others that start have its connections."""
    return code_of(error).startswith(_COMING)


def _describe(error: psycopg.Error) -> str:
    code = code_of(error)
    if code == _PARAMETER:
        found = _WRONG.search(str(error))
        return _REASONS[code].format(found[found.lastindex or 0] if found else "a parameter")
    known = next((_REASONS[code[:length]] for length in (5, 3, 2) if code[:length] in _REASONS), None)
    if error.sqlstate is None:  # libpq's own words name the host, which clients of the service need not know
        return f"{known or _AWAY} [{code}]"
    # Not the details: they can be values of jobs.
    said = (error.diag.message_primary or "").rstrip(".")
    return f"{known} [{code}: {said}]" if known else f"{said}. [{code}]"
