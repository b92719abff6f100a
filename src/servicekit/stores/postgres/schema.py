"""The schema of a database: the migrations that bring it up to date, and whether this process can use it.

All missing migrations are applied under an advisory lock, in one transaction with their names in the table
`migrations`. So of many processes that start at once one migrates, and a migration that fails leaves nothing behind.

A migration needs tables for itself for a moment. While it waits for a session that uses one, all others wait behind it.
So it waits for a few seconds only, lets the others go on, and tries again; then it says which session it was.
"""

import time
from contextlib import suppress
from importlib.resources import files
from typing import Final

from psycopg import errors, sql

from servicekit.errors import StoreUnavailable
from servicekit.stores.postgres.address import Address
from servicekit.stores.postgres.connections import connect, translated_errors
from servicekit.stores.postgres.session import Session

_OLDEST_SERVER: Final = 14  # the oldest that is maintained, and that the tests run

# How long others wait behind a migration, how long they then have, and how often that is tried.
_LOCK_SECONDS: Final = 3
_PAUSE_SECONDS: Final = 1.0
_TRIES: Final = 5
_BEGIN: Final = f"""
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
    SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '{_LOCK_SECONDS}s'
"""
# The session that has had a lock on one of these tables, or that of migrations, for longest.
_HOLDER: Final = """
    SELECT format('%%s of the role %%s', pid, usename), application_name,
           extract(epoch FROM clock_timestamp() - xact_start)::bigint
    FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE granted AND pid <> pg_backend_pid() AND (relation IN (
        SELECT pg_class.oid FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace WHERE nspname = %s
    ) OR (locktype = 'advisory' AND objsubid = 1 AND (classid::bigint << 32) | objid::bigint = %s))
    AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    ORDER BY xact_start NULLS LAST LIMIT 1
"""

_TABLE: Final = """
CREATE TABLE servicekit.migrations (
    name text COLLATE "C" PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
)
"""

# The tables and sequences that this role may not use as a service does: the GRANTs are in `docs/many-machines.md`.
_NOT_GRANTED: Final = """
SELECT relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE nspname = %s AND CASE
    WHEN relkind = 'S' THEN NOT (has_sequence_privilege(pg_class.oid, 'USAGE')
                                 AND has_sequence_privilege(pg_class.oid, 'SELECT'))
    WHEN relkind = 'r' THEN NOT (has_table_privilege(pg_class.oid, 'SELECT')
                                 AND has_table_privilege(pg_class.oid, 'INSERT')
                                 AND has_table_privilege(pg_class.oid, 'UPDATE')
                                 AND has_table_privilege(pg_class.oid, 'DELETE'))
END
ORDER BY relname
"""


def find_migrations() -> dict[str, str]:
    """The texts of all migrations by their names, in order."""
    folder = files("servicekit.stores.postgres") / "migrations"
    found = sorted((each for each in folder.iterdir() if each.name.endswith(".sql")), key=lambda each: each.name)
    return {each.name.removesuffix(".sql"): each.read_text(encoding="utf-8") for each in found}


def migrate(address: Address) -> list[str]:
    """Bring the schema up to date, and make it if it is not there. Return the names of what was applied.

    `StoreUnavailable`, in words, if the role of the address may not do that, if a newer servicekit was here, or if
    another session holds it up for too long. Then nothing has been changed.
    """
    with translated_errors(address), connect(address, purpose="migrate") as connection:
        session = Session(connection, address.schema)
        _check_server(session, address)
        try:
            return _migrate_patiently(session, address)
        except errors.InsufficientPrivilege as error:
            refusal, _, _ = str(error).partition("\n")
            reason = f"its role may not change the tables ({refusal}). {_tell_who_migrates(session, address)}"
            raise StoreUnavailable(address.location, reason) from error


def prepare(address: Address) -> None:
    """Bring the schema up to date if the role of the address may do that, and check that a service can use it.

    `StoreUnavailable`, in words, if not.
    """
    with translated_errors(address), connect(address, purpose="start") as connection:
        session = Session(connection, address.schema)
        _check_server(session, address)
        try:
            if _list_missing(session, address):
                _migrate_or_tell(session, address)
        except errors.InsufficientPrivilege:
            pass  # the check has the words
        check(session, address)


def check_address(address: Address) -> None:
    """`StoreUnavailable`, in words, unless a service can use the schema as it is."""
    with translated_errors(address), connect(address, purpose="check") as connection:
        check(Session(connection, address.schema), address)


def check(session: Session, address: Address) -> None:
    """`StoreUnavailable`, in words, unless the schema is there and up to date, and this role may use it."""
    _check_server(session, address)
    try:
        missing = _list_missing(session, address)
        not_granted = [name for (name,) in session.run(_NOT_GRANTED, [address.schema])]
    except errors.InsufficientPrivilege:
        missing, not_granted = [], ["anything"]
    if missing:
        lacks = "has no tables yet" if len(missing) == len(find_migrations()) else f"lacks {', '.join(missing)}"
        reason = f"its schema {address.schema!r} {lacks}. {_tell_who_migrates(session, address)}"
        raise StoreUnavailable(address.location, reason)
    if not_granted:
        raise StoreUnavailable(address.location, _tell_grants(session, address, not_granted))


def _migrate_patiently(session: Session, address: Address) -> list[str]:
    for _ in range(_TRIES - 1):
        with suppress(errors.LockNotAvailable):
            return _migrate(session, address)
        time.sleep(_PAUSE_SECONDS)
    return _migrate_or_tell(session, address)


def _migrate_or_tell(session: Session, address: Address) -> list[str]:
    try:
        return _migrate(session, address)
    except errors.LockNotAvailable as error:
        reason = f"{_tell_holder(session, address)}. Nothing was changed. End that session, or wait for its end."
        raise StoreUnavailable(address.location, reason) from error


def _tell_holder(session: Session, address: Address) -> str:
    for name, program, seconds in session.run(_HOLDER, [address.schema, session.lock_number("migrations")]):
        age = "" if seconds is None else f", whose transaction began {seconds} seconds ago"
        return f"the migration waits for the session {name}{f' ({program})' if program else ''}{age}"
    return "the migration waits for a lock of another session, which has ended meanwhile"


def _migrate(session: Session, address: Address) -> list[str]:
    with session.connection.transaction():
        # Whatever the role's settings are: a process waits here for another that migrates, and then sees what it did.
        session.run(_BEGIN)
        session.run("SELECT pg_advisory_xact_lock(%s)", [session.lock_number("migrations")])
        # Not by IF NOT EXISTS, which asks for the right to make something also if it is there.
        if not session.run("SELECT 1 FROM pg_namespace WHERE nspname = %s", [address.schema]):
            session.connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(address.schema)))
        if not _has_table(session):
            session.run(_TABLE)
        missing = _list_missing(session, address)
        for name in missing:
            try:
                session.run(find_migrations()[name])
            except errors.DuplicateTable as error:
                reason = f"its schema {address.schema!r} has tables of another program. Choose another: ?schema=jobs."
                raise StoreUnavailable(address.location, reason) from error
            session.run("INSERT INTO servicekit.migrations (name) VALUES (%s)", [name])
    return missing


def _has_table(session: Session) -> bool:
    [(is_there,)] = session.run("SELECT to_regclass('servicekit.migrations') IS NOT NULL")
    return bool(is_there)


def _list_missing(session: Session, address: Address) -> list[str]:
    """The migrations that are not applied. `StoreUnavailable` if one is that this version does not know."""
    known = find_migrations()
    applied = (
        {name for (name,) in session.run("SELECT name FROM servicekit.migrations")} if _has_table(session) else set()
    )
    if applied - known.keys():
        reason = (
            f"its schema {address.schema!r} was migrated by a newer servicekit (to {max(applied)}; this one knows "
            f"{max(known)}). Install that version again, or use another schema or database."
        )
        raise StoreUnavailable(address.location, reason)
    return [name for name in known if name not in applied]


def _check_server(session: Session, address: Address) -> None:
    information = session.connection.info
    version = information.server_version // 10_000
    if version < _OLDEST_SERVER:
        reason = f"it needs PostgreSQL {_OLDEST_SERVER} or newer; this server is PostgreSQL {version}."
        raise StoreUnavailable(address.location, reason)
    encoding = information.parameter_status("server_encoding")
    if encoding not in ("UTF8", None):  # some poolers do not tell
        reason = f"its encoding is {encoding}. Use a database that was made with ENCODING 'UTF8'."
        raise StoreUnavailable(address.location, reason)


def _tell_who_migrates(session: Session, address: Address) -> str:
    [(database, owner)] = session.run(
        "SELECT current_database(), (SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = %s)",
        [address.schema],
    )
    role = f"the role {owner!r}, which owns it" if owner else f"a role that may create schemas in {database!r}"
    return f"Run `servicekit migrate URL` with a URL for {role}."


def _tell_grants(session: Session, address: Address, names: list[str]) -> str:
    [(role,)] = session.run("SELECT current_user")
    schema, grantee = (sql.Identifier(name).as_string(session.connection) for name in (address.schema, role))
    return (
        f"the role {role!r} may not use {', '.join(names)} of its schema {address.schema!r}. As its owner, run "
        f"GRANT USAGE ON SCHEMA {schema} TO {grantee}; "
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {grantee}; "
        f"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA {schema} TO {grantee};"
    )
