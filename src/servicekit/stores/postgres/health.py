"""What is wrong with the server while jobs are accepted and run."""

from typing import Final

from servicekit.stores.postgres.session import Session

# A report may take as long. Whoever has forgotten a transaction needs longer.
_LONG_SECONDS: Final = 300.0
# What has no time is as old as so many transactions: some minutes of a service with much to do.
_MANY_TRANSACTIONS: Final = 200_000

# Who keeps the server from removing dead rows, and for how many seconds; that is not known of a replication slot. Of
# other roles' sessions only their existence is shown, unless the role may read all (pg_read_all_stats).
_HOLDERS: Final = """
    SELECT kind, name, seconds::bigint FROM (
        SELECT 'session' AS kind, format('%%s (%%s)', pid, coalesce(nullif(application_name, ''), usename)) AS name,
               extract(epoch FROM clock_timestamp() - xact_start) AS seconds, age(backend_xmin) AS transactions
        FROM pg_stat_activity
        WHERE backend_xmin IS NOT NULL AND pid <> pg_backend_pid()
        AND (datname = current_database() OR datname IS NULL)
        UNION ALL
        SELECT 'slot', slot_name, NULL, greatest(age(xmin), age(catalog_xmin)) FROM pg_replication_slots
        UNION ALL
        SELECT 'prepared', gid, extract(epoch FROM clock_timestamp() - prepared), age(transaction)
        FROM pg_prepared_xacts WHERE database = current_database()
    ) AS holders
    WHERE seconds > %(seconds)s OR (seconds IS NULL AND transactions > %(transactions)s)
    ORDER BY seconds DESC NULLS LAST LIMIT 1
"""
_CONNECTIONS: Final = """
    SELECT sum(numbackends)::bigint, current_setting('max_connections')::bigint
           - current_setting('superuser_reserved_connections')::bigint
           - coalesce(current_setting('reserved_connections', TRUE)::bigint, 0)
    FROM pg_stat_database
    UNION ALL
    SELECT numbackends, datconnlimit FROM pg_stat_database JOIN pg_database ON pg_database.oid = datid
    WHERE pg_database.datname = current_database() AND datconnlimit >= 0
"""
# A process needs three, and one that starts must find them.
_SPARE: Final = 3

_DEAF: Final = (
    "No notifications arrive from the database server, as behind a pooler that gives each transaction another session: "
    "what other processes do is seen up to a second later. Give the address of the server, or have the pooler keep "
    "sessions."
)
_WORDS: Final = {
    "session": "session {name} has a transaction open for {minutes} minutes. End it, or pg_terminate_backend(pid)",
    "prepared": "the prepared transaction {name} is open for {minutes} minutes. Commit it or roll it back",
    "slot": "nobody reads the replication slot {name} as fast as others write. Have it read, or drop it",
}


def find_notice(session: Session, is_deaf: bool) -> str | None:
    """What an operator should look at, in words; or `None`. `is_deaf`: whether no notifications arrive."""
    notices = [_DEAF] if is_deaf else []
    values = {"seconds": _LONG_SECONDS, "transactions": _MANY_TRANSACTIONS}
    for kind, name, seconds in session.run(_HOLDERS, values):
        words = _WORDS[kind].format(name=name, minutes=(seconds or 0) // 60)
        notices.append(f"The database server cannot remove dead rows, and gets slower: {words}.")
    for used, most in session.run(_CONNECTIONS):
        if most - used < _SPARE:
            notices.append(
                f"{used} of {most} connections to the database server are in use, and each process needs three: raise "
                "max_connections (or the limit of the database), or have fewer."
            )
    return " ".join(notices) or None
