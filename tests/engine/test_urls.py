"""Addresses of job stores: what is taken, and what is said of the rest."""

import sys
from pathlib import Path

import pytest

from servicekit import create_scheduler
from servicekit.errors import ConfigurationError, MissingExtra


@pytest.mark.parametrize("url", ["memory://", "sqlite:///jobs.db", "sqlite:////srv/a b/jobs.db", "sqlite:///../a@b.db"])
def test_a_place_for_jobs_is_taken(url: str) -> None:
    create_scheduler(url)


@pytest.mark.parametrize(
    "url",
    ["sqlite:///:memory:", "sqlite://:memory:", "sqlite://", "sqlite:///", "sqlite:", "sqlite:///  ", "memory",
     "memory:///", "MEMORY://", ":memory:", "sqlite:///file::memory:?cache=shared"],
)  # fmt: skip
def test_what_means_memory_is_told_how_to_say_it(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match=r"url must be .* \(what keeps nothing is memory://\)"):
        create_scheduler(url)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("sqlite:///file:jobs.db", "give the path itself"),
        ("sqlite:///jobs.db?mode=ro", "nothing to set behind a question mark"),
        ("sqlite:///data/", "name a file in the folder"),
        ("sqlite:///..", "name a file in the folder"),
        ("sqlite:///.", "name a file in the folder"),
        ("sqlite:///a\0b", "no such character"),
        ("sqlite://jobs.db", "three slashes"),
        ("sqlite:/srv/jobs.db", "makes it four"),
        ("sqlite:jobs.db", "three slashes"),
        ("SQLite:///jobs.db", "three slashes"),
        ("sqlite+aiosqlite:///jobs.db", "three slashes"),
        ("jobs.db", "no other place is known"),
        ("file:jobs.db", "no other place is known"),
        (Path("jobs.db"), "a text such as sqlite:///jobs.db"),
    ],
)
def test_what_is_no_place_for_jobs_is_refused_with_the_reason(url: str, fault: str) -> None:
    with pytest.raises(ConfigurationError, match="url must be") as caught:
        create_scheduler(url)
    assert fault in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["mysql://ada:hush@db/jobs", "mysql://:hush@db/jobs", "mysql://ada:h/u@hush@db/jobs", "mysql://ada:?hush@db",
     "mysql:ada:hush@db", "ada:hush@db/jobs", "mysql://db/jobs?user=ada&password=hush", "sqlite://ada:hush@db/jobs",
     "sqlite:///ada:hush@db/jobs?mode=ro", "mysql://ada:\nhush@db", "mysql://db1:1,db2:2/jobs?user=ada&password=hush", "mysql://ada:hush@db1,db2/jobs",
     "mysql://db/jobs?Password=hush&x=1", "host=db user=ada password=hush", "postgresql+x://ada:hush@db1,db2/jobs"],
)  # fmt: skip
def test_no_password_is_printed(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        create_scheduler(url)
    assert "hush" not in f"{caught.value} {caught.value.value}"
    assert "db" in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["mysql://db/jobs?user=ada@corp&password=hush", "mysql://db/jobs?password=a@hush", "mysql://ada:a?b=hush@db",
     "mysql://ada:a@x?hush=1@db/jobs", "ada:a?hush=1@db"],
)  # fmt: skip
def test_where_it_is_not_clear_what_the_password_is_nothing_is_printed(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        create_scheduler(url)
    assert caught.value.value in ("mysql://***", "***")


def test_an_address_from_the_environment_is_named_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICEKIT_JOBS_URL", "mysql://ada:hush@db/jobs")
    with pytest.raises(ConfigurationError, match=r"SERVICEKIT_JOBS_URL must be .*, not 'mysql://\*\*\*@db/jobs'"):
        create_scheduler()


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("postgresql+asyncpg://ada:hush@db/jobs", "without the name of a driver"),
        ("PostgreSQL://db/jobs", "in lower case"),
        ("jdbc:postgresql://db/jobs", "it begins with postgresql://"),
        ("postgresql:db/jobs", "it begins with postgresql://"),
        ("psql://db/jobs", "it begins with postgresql://"),
        ("postgresql://db/jobs?sslmod=require", 'invalid URI query parameter: "sslmod"'),
        ("postgres://db/jobs?schema=", "url must name one schema"),
    ],
)
def test_what_is_no_address_of_a_database_is_refused_with_the_reason(url: str, fault: str) -> None:
    with pytest.raises(ConfigurationError, match="url must") as caught:
        create_scheduler(url)
    assert fault in str(caught.value)
    assert "hush" not in str(caught.value)


def test_a_database_needs_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "servicekit.stores.postgres.address", None)  # as if psycopg could not be imported
    with pytest.raises(MissingExtra, match=r"To keep jobs in PostgreSQL needs .* the extra \[postgres\]"):
        create_scheduler("postgresql://db/jobs")


def test_nothing_is_connected_before_the_scheduler_starts() -> None:
    assert create_scheduler("postgres://ada:hush@db.invalid/jobs").location == "postgresql://ada@db.invalid/jobs"
