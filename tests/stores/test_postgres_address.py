"""Addresses of PostgreSQL databases: what is taken from them, and what is said of the rest."""

import pytest
from psycopg.conninfo import conninfo_to_dict

from servicekit.errors import ConfigurationError
from servicekit.stores.postgres.address import read_address


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGUSER", "PGSERVICE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("url", "values"),
    [
        ("postgresql://ada:hush@db/jobs", {"user": "ada", "password": "hush", "host": "db", "dbname": "jobs"}),
        ("postgres://db:5433/jobs", {"host": "db", "port": "5433", "dbname": "jobs"}),
        ("postgresql://", {}),
        (
            "postgresql://db1:5433,db2:5434/jobs?target_session_attrs=read-write",
            {"host": "db1,db2", "port": "5433,5434", "dbname": "jobs", "target_session_attrs": "read-write"},
        ),
        (
            "postgresql://db/jobs?sslmode=verify-full&sslrootcert=/etc/ca.pem",
            {"host": "db", "dbname": "jobs", "sslmode": "verify-full", "sslrootcert": "/etc/ca.pem"},
        ),
        ("postgresql:///jobs?host=/run/postgresql", {"host": "/run/postgresql", "dbname": "jobs"}),
        ("postgresql://%2Frun%2Fpostgresql/jobs", {"host": "/run/postgresql", "dbname": "jobs"}),
        ("postgresql://[::1]:5433/jobs", {"host": "::1", "port": "5433", "dbname": "jobs"}),
        ("postgresql://ada:h%40%2F%3Ah@db", {"user": "ada", "password": "h@/:h", "host": "db"}),
        ("postgresql://ada:h&?h@db/?schema=x&port=1", {"user": "ada", "password": "h&?h", "host": "db", "port": "1"}),
        ("postgresql://?service=jobs", {"service": "jobs"}),
    ],
)  # fmt: skip
def test_libpq_reads_the_whole_of_an_address(url: str, values: dict[str, str]) -> None:
    assert conninfo_to_dict(read_address("url", url).conninfo) == values


@pytest.mark.parametrize(
    ("query", "rest"),
    [
        ("?schema=ours", {}),
        ("?schema=ours&sslmode=require", {"sslmode": "require"}),
        ("?sslmode=require&schema=ours", {"sslmode": "require"}),
        ("?sslmode=require&schema=ours&connect_timeout=3", {"sslmode": "require", "connect_timeout": "3"}),
        ("?schema=%6Furs", {}),
    ],
)
def test_a_schema_is_taken_and_libpq_is_told_the_rest(query: str, rest: dict[str, str]) -> None:
    address = read_address("url", f"postgresql://db/jobs{query}")
    assert address.schema == "ours"
    assert conninfo_to_dict(address.conninfo) == {"host": "db", "dbname": "jobs", **rest}


@pytest.mark.parametrize(
    "query",
    ["?schema=", "?schema=a&schema=b", "?schema=a%22b", "?schema=a.b", "?schema=a%25sb", "?schema=pg_jobs",
     "?schema=information_schema", "?schema=1a", f"?schema={'a' * 64}"],
)  # fmt: skip
def test_a_name_that_is_no_schema_is_refused(query: str) -> None:
    with pytest.raises(ConfigurationError, match="SERVICEKIT_JOBS_URL must name one schema"):
        read_address("SERVICEKIT_JOBS_URL", f"postgresql://ada:hush@db/jobs{query}")


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("postgresql://db/jobs?sslmod=require", 'invalid URI query parameter: "sslmod"'),
        ("postgresql://ada:hush@db/jobs?ssl", "missing key/value separator"),
        ("postgresql://ada:hush%zz@db/jobs", "invalid percent-encoded token"),
        ("postgresql://ada:hush@[::1/jobs", "end of string reached"),
        ("postgresql://ada:hush@db:many/jobs", "a port is a number"),
        ("postgresql://ada:hush@db:70000/jobs", "a port is a number"),
        ("postgresql://ada:hu@sh@db/jobs", "write @ as %40"),
        ("postgresql://ada:hu/sh@db/jobs", "/ as %2F"),
        ("postgresql://ada:1/hush?hush=1@db/jobs", "invalid URI query parameter"),
        ("postgresql://ada:hush@db/\ud800", "a character that is none"),
    ],
)
def test_an_address_that_makes_no_sense_is_refused_without_its_password(url: str, fault: str) -> None:
    with pytest.raises(ConfigurationError, match="url must be a URL as libpq reads it") as caught:
        read_address("url", url)
    shown = f"{caught.value} {caught.value.value} {caught.value.__cause__}"
    assert fault in shown
    assert "hu" not in shown
    assert "sh@" not in shown


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("postgresql://ada:hush@db/jobs?password=hush&sslpassword=hush", "postgresql://ada@db/jobs"),
        ("postgres://db1:5433,db2/jobs?target_session_attrs=read-write",
         "postgresql://db1:5433,db2/jobs?target_session_attrs=read-write"),
        ("postgresql://db1,db2/jobs?port=5433", "postgresql://db1:5433,db2:5433/jobs"),
        ("postgresql:///jobs?host=/run/postgresql&schema=ours", "postgresql:///jobs?host=/run/postgresql&schema=ours"),
        ("postgresql://[::1]:5433/jobs?schema=servicekit", "postgresql://[::1]:5433/jobs"),
        ("postgresql:///jobs?service=main", "postgresql:///jobs?service=main"),
    ],
)  # fmt: skip
def test_people_are_shown_the_place_without_a_password(url: str, location: str) -> None:
    address = read_address("url", url)
    assert address.location == location
    assert "hush" not in repr(address)


def test_people_are_shown_the_place_that_the_environment_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "db.example")
    monkeypatch.setenv("PGDATABASE", "jobs")
    monkeypatch.setenv("PGPASSWORD", "hush")
    address = read_address("url", "postgresql://")
    assert address.location == "postgresql://db.example/jobs"
    assert "hush" not in address.conninfo  # libpq reads it when it connects
