"""The schema of a PostgreSQL database: who makes it, who may use it, and what others are told."""

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import psycopg
import pytest

from servicekit import Cron, Retention, Retry, create_scheduler, current_job
from servicekit.cli.main import main
from servicekit.errors import StoreUnavailable
from servicekit.stores.postgres import schema
from servicekit.stores.postgres.address import Address, read_address
from servicekit.stores.postgres.connections import connect, is_locked
from servicekit.stores.postgres.schema import check_address, find_migrations, migrate, prepare
from servicekit.stores.postgres.session import Session
from tests.docs.pages import ROOT, read_sections
from tests.fakes import noop
from tests.many_machines.pooler import run_pooler
from tests.needs import needs
from tests.ports import find_free_port
from tests.postgres import NEWEST, OLDEST, PostgresServer, name_of

TABLES = "SELECT count(*) FROM pg_tables WHERE schemaname = %s"


def find_grants() -> str:
    """The statements of the page for those who go to many machines."""
    sections = read_sections(ROOT / "docs" / "many-machines.md")
    [grants] = [block.text for section in sections for block in section.blocks if "GRANT USAGE" in block.text]
    statements = grants.partition("<<'SQL'\n")[2].partition("SQL\n")[0]
    return re.sub(r"\bjobs_(?=app|owner)", "", statements)


GRANTS = find_grants()


def read(url: str) -> Address:
    return read_address("url", url)


def execute(url: str, statements: str) -> list[tuple]:
    """Run the statements; the rows of the last one."""
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statements)
        while cursor.nextset():
            pass
        return cursor.fetchall() if cursor.description is not None else []


def count_tables(url: str, schema: str = "servicekit") -> int:
    with psycopg.connect(url) as connection:
        [(count,)] = connection.execute(TABLES, [schema])
        return int(count)


@pytest.fixture
def roles(postgres_url: str, postgres: PostgresServer) -> Iterator[tuple[str, str]]:
    """The addresses of the database for a role that owns the tables, and for one that does not."""
    database = postgres_url.rpartition("/")[2]
    execute(
        postgres_url,
        "CREATE ROLE owner LOGIN; CREATE ROLE app LOGIN; "
        f"GRANT CREATE ON DATABASE {database} TO owner; REVOKE ALL ON DATABASE {database} FROM PUBLIC; "
        f"GRANT CONNECT ON DATABASE {database} TO owner, app",
    )
    yield postgres_url.replace("postgres@", "owner@"), postgres_url.replace("postgres@", "app@")
    execute(postgres_url, "DROP OWNED BY app; DROP OWNED BY owner CASCADE; DROP ROLE owner, app")


def test_migrations_are_numbered_without_gaps_and_none_twice() -> None:
    folder = files("servicekit.stores.postgres") / "migrations"
    numbers = sorted(int(each.name.partition("_")[0]) for each in folder.iterdir() if each.name.endswith(".sql"))
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("postgres", [OLDEST, NEWEST], indirect=True, ids=name_of)
def test_the_schema_is_made_once(postgres_url: str) -> None:
    address = read(postgres_url)
    assert migrate(address) == [*find_migrations()]
    assert migrate(address) == []
    prepare(address)
    check_address(address)
    assert execute(postgres_url, "SELECT name FROM servicekit.migrations ORDER BY name") == [
        (name,) for name in find_migrations()
    ]


def test_eight_processes_start_on_an_empty_database_at_once(postgres_url: str) -> None:
    code = (
        "import sys; from servicekit.stores.postgres import address, schema; "
        "input(); schema.prepare(address.read_address('url', sys.argv[1]))"
    )
    command = [sys.executable, "-c", code, postgres_url]
    starting = [subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(8)]
    for process in starting:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    told = [process.communicate(timeout=60)[1] for process in starting]
    assert [process.returncode for process in starting] == [0] * 8, told
    [(rows,)] = execute(postgres_url, "SELECT count(*) FROM servicekit.forgotten")
    assert rows == 1  # a migration that had run twice would have added another


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://postgres@/{database}?host={folder}&port={port}",
        "postgresql://?service=jobs",
        "postgresql://postgres@127.0.0.1:{closed},127.0.0.1:{port}/{database}?target_session_attrs=read-write",
        "postgres://postgres@/{database}",
    ],
    ids=["socket", "service", "several hosts", "environment"],
)
def test_a_database_is_reached_as_libpq_does(
    url: str, postgres_url: str, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    database, port = postgres_url.rpartition("/")[2], postgres.port
    (tmp_path / "services").write_text(f"[jobs]\nhost=127.0.0.1\nport={port}\nuser=postgres\ndbname={database}\n")
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))
    if "{port}" not in url and "service" not in url:
        monkeypatch.setenv("PGHOST", "127.0.0.1")
        monkeypatch.setenv("PGPORT", str(port))
    prepare(read(url.format(database=database, folder=postgres.folder, port=port, closed=find_free_port())))
    assert count_tables(postgres_url) > 10


@needs("pgbouncer")
def test_the_schema_is_made_through_a_pooler(postgres_url: str, postgres: PostgresServer) -> None:
    with run_pooler(postgres) as port:
        address = read(postgres.url(postgres_url.rpartition("/")[2], port=port))
        prepare(address)
        assert migrate(address) == []
        check_address(address)


def test_two_schemas_of_a_database_know_nothing_of_each_other(postgres_url: str) -> None:
    ours, odd = read(f"{postgres_url}?schema=ours"), read(f"{postgres_url}?schema=Odd-one")
    migrate(ours)
    assert count_tables(postgres_url, "servicekit") == 0
    with pytest.raises(StoreUnavailable, match="its schema 'Odd-one' has no tables yet"):
        check_address(odd)
    prepare(odd)
    assert count_tables(postgres_url, "ours") == count_tables(postgres_url, "Odd-one") > 10
    execute(postgres_url, "DROP SCHEMA ours CASCADE")
    check_address(odd)


async def test_services_in_two_schemas_share_neither_jobs_nor_limits(postgres_url: str) -> None:
    blocked = asyncio.Event()
    urls = [f"{postgres_url}?schema={name}" for name in ("ours", "theirs")]
    async with (
        create_scheduler(urls[0], max_concurrency=1) as ours,
        create_scheduler(urls[1], max_concurrency=1) as theirs,
    ):
        first = await ours.with_options(idempotency_key="key").add_job(blocked.wait)
        second = await theirs.with_options(idempotency_key="key").add_job(noop)
        await theirs.wait(second)
        assert (await ours.get_status(first), await theirs.get_status(second)) == ("running", "completed")
        assert [record.id for record in await ours.list_records()] == [first]
        assert [record.id for record in await theirs.list_records()] == [second]
        await theirs.queues.pause("default")
        blocked.set()
        await ours.wait(await ours.add_job(noop))


def test_a_role_that_may_not_make_tables_is_told_who_does(postgres_url: str, roles: tuple[str, str]) -> None:
    owner, app = (read(url) for url in roles)
    database = postgres_url.rpartition("/")[2]
    for act, fault in ((prepare, "no tables yet"), (check_address, "no tables yet"), (migrate, "may not change")):
        with pytest.raises(StoreUnavailable, match=fault) as caught:
            act(app)
        assert f"with a URL for a role that may create schemas in '{database}'" in caught.value.reason
    assert migrate(owner) == [*find_migrations()]
    with pytest.raises(StoreUnavailable, match="the role 'app' may not use anything of its schema 'servicekit'"):
        prepare(app)


async def fail_once() -> None:
    current_job().progress(1, total=2)
    print("working")
    if current_job().attempt == 1:
        raise ValueError


async def test_a_role_without_ddl_needs_what_the_page_grants(roles: tuple[str, str]) -> None:
    owner, app = (read(url) for url in roles)
    migrate(owner)
    execute(roles[0], GRANTS)
    check_address(app)
    assert migrate(app) == []
    async with create_scheduler(roles[1], retention=Retention(max_count=1), queues={"slow": 1}) as scheduler:
        retry = Retry(attempts=2, delay=0)
        job = scheduler.with_options(queue="slow", tags=["a"], metadata={"a": 1}, concurrency_key="a", retry=retry)
        for _ in range(3):
            record = await scheduler.wait(await job.add_job(fail_once))
            assert (record.status, record.attempt) == ("completed", 2)
        await scheduler.schedules.add("nightly", Cron("0 3 * * *"), noop)
        await scheduler.queues.pause("slow")
        waiting = await job.add_job(noop)
        await scheduler.cancel(waiting)
        await scheduler.delete(waiting)
        await scheduler.schedules.remove("nightly")


def test_what_is_granted_in_advance_counts_for_a_newer_version(
    roles: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, app = (read(url) for url in roles)
    migrate(owner)
    execute(roles[0], GRANTS)
    newer = {**find_migrations(), "9001_notes": "CREATE TABLE servicekit.notes (number serial, text text)"}
    monkeypatch.setattr("servicekit.stores.postgres.schema.find_migrations", lambda: newer)
    migrate(owner)
    prepare(app)


def test_a_lacking_grant_is_told_with_the_statements_that_give_it(roles: tuple[str, str]) -> None:
    owner, app = (read(url) for url in roles)
    migrate(owner)
    execute(roles[0], f"{GRANTS} REVOKE DELETE ON servicekit.jobs FROM app")
    execute(roles[0], "REVOKE USAGE ON SEQUENCE servicekit.turns FROM app")
    with pytest.raises(StoreUnavailable, match=r"the role 'app' may not use jobs, turns of its schema") as caught:
        prepare(app)
    execute(roles[0], caught.value.reason.partition("run ")[2])
    prepare(app)


def test_what_a_role_lacks_of_a_newer_version_is_told(roles: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    owner, app = (read(url) for url in roles)
    migrate(owner)
    execute(roles[0], GRANTS)
    newer = {**find_migrations(), "9001_notes": "ALTER TABLE servicekit.jobs ADD COLUMN note text"}
    monkeypatch.setattr("servicekit.stores.postgres.schema.find_migrations", lambda: newer)
    with pytest.raises(StoreUnavailable, match=r"lacks 9001_notes\. Run .* a URL for the role 'owner', which owns it"):
        prepare(app)
    assert migrate(owner) == ["9001_notes"]
    prepare(app)
    monkeypatch.undo()
    for act in (prepare, migrate, check_address):
        with pytest.raises(StoreUnavailable, match=r"migrated by a newer servicekit \(to 9001_notes; this one knows"):
            act(owner)


async def test_a_process_of_an_earlier_version_is_listed(postgres_url: str) -> None:
    async with create_scheduler(postgres_url, run_jobs=False) as scheduler:
        with psycopg.connect(postgres_url) as connection:
            connection.execute(
                "INSERT INTO servicekit.processes (number, name, pid, shard, started_at, renewed_at) "
                "VALUES (17, 'host:17', 17, 17, '2020-01-01', clock_timestamp())"
            )
        old, new = await scheduler.list_workers()
        assert (old.name, old.runners, old.problems) == ("host:17", None, {})
        assert new.runners == ()


def test_a_migration_that_fails_leaves_nothing_behind(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    address = read(postgres_url)
    broken = {**find_migrations(), "9001_broken": "ALTER TABLE servicekit.jobs ADD COLUMN id text"}
    with monkeypatch.context() as patch:
        patch.setattr("servicekit.stores.postgres.schema.find_migrations", lambda: broken)
        with pytest.raises(StoreUnavailable, match='column "id" of relation "jobs" already exists'):
            migrate(address)
    assert count_tables(postgres_url) == 0
    migrate(address)


def test_a_migration_says_which_session_holds_it_up_and_lets_others_go_on(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = read(postgres_url)
    migrate(address)
    newer = {**find_migrations(), "9001_notes": "ALTER TABLE servicekit.jobs ADD COLUMN note text"}
    monkeypatch.setattr(schema, "find_migrations", lambda: newer)
    monkeypatch.setattr(schema, "_BEGIN", "SET LOCAL lock_timeout = '100ms'")
    monkeypatch.setattr(schema, "_PAUSE_SECONDS", 0.0)
    with psycopg.connect(f"{postgres_url}?application_name=report") as other:
        other.execute("SELECT count(*) FROM servicekit.jobs")
        for act in (migrate, prepare):
            with pytest.raises(StoreUnavailable) as caught:
                act(address)
            told = f"the session {other.info.backend_pid} of the role postgres (report), whose transaction began "
            assert told in caught.value.reason
            assert is_locked(caught.value)
        assert execute(postgres_url, "SELECT count(*) FROM servicekit.jobs") == [(0,)]
    assert migrate(address) == ["9001_notes"]


def test_a_migration_waits_for_another_one_and_names_it(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    address = read(postgres_url)
    monkeypatch.setattr(schema, "_BEGIN", "SET LOCAL lock_timeout = '100ms'")
    monkeypatch.setattr(schema, "_PAUSE_SECONDS", 0.0)
    with connect(address, purpose="migrate") as other, other.transaction():
        other.execute("SELECT pg_advisory_xact_lock(%s)", [Session(other).lock_number("migrations")])
        with pytest.raises(StoreUnavailable, match=rf"{other.info.backend_pid} of .* \(servicekit migrate\)"):
            migrate(address)
    assert count_tables(postgres_url) == 0


def test_the_tables_of_another_program_are_left_alone(postgres_url: str) -> None:
    execute(postgres_url, "CREATE SCHEMA theirs; CREATE TABLE theirs.jobs (id int)")
    with pytest.raises(StoreUnavailable, match="its schema 'theirs' has tables of another program"):
        prepare(read(f"{postgres_url}?schema=theirs"))
    assert count_tables(postgres_url, "theirs") == 1


def test_a_database_that_cannot_keep_every_text_is_refused(postgres: PostgresServer) -> None:
    postgres.execute("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")
    with pytest.raises(StoreUnavailable, match=r"its encoding is LATIN1\. Use a database that was made with ENCODING"):
        prepare(read(postgres.url("latin")))
    postgres.execute("DROP DATABASE latin WITH (FORCE)")


def test_the_command_prints_what_it_did(postgres_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["migrate", "--check", postgres_url]) == 2
    assert "has no tables yet" in capsys.readouterr().err
    assert main(["migrate", postgres_url]) == 0
    applied = "".join(f"Applied {name}.\n" for name in find_migrations())
    assert capsys.readouterr().out == f"{applied}{postgres_url} is up to date.\n"
    assert main(["migrate", postgres_url]) == 0
    assert capsys.readouterr().out == f"{postgres_url} was up to date already.\n"
    assert main(["migrate", "--check", postgres_url]) == 0
    assert capsys.readouterr().out == f"{postgres_url} is up to date, and its role can use it.\n"


def test_the_command_reads_the_environment(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("SERVICEKIT_JOBS_URL", postgres_url)
    assert main(["migrate"]) == 0
    for url in ("memory://", f"sqlite:///{tmp_path}/jobs.db"):
        monkeypatch.setenv("SERVICEKIT_JOBS_URL", url)
        assert main(["migrate"]) == 2
        assert "SERVICEKIT_JOBS_URL must be the URL of a PostgreSQL database" in capsys.readouterr().err
    monkeypatch.delenv("SERVICEKIT_JOBS_URL")
    assert main(["migrate"]) == 2
    assert "Give its URL, postgresql://..., or set SERVICEKIT_JOBS_URL" in capsys.readouterr().err
