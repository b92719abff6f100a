"""Artifacts whose index is in a database server: one place for the contents of all machines, and lost connections."""

import asyncio
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

from servicekit.artifacts import Artifacts, Hierarchy, StagedBlob
from servicekit.artifacts.directory import DirectoryBlobs
from servicekit.artifacts.health import make_check
from servicekit.artifacts.postgres.index import PostgresIndex
from servicekit.artifacts.storage import ArtifactStorage
from servicekit.errors import (
    ArtifactConflict,
    ArtifactNotFound,
    ArtifactsUnavailable,
    ConfigurationError,
    StoreUnavailable,
)
from servicekit.jobs.this_process import this_process
from servicekit.stores.postgres import pool
from servicekit.stores.postgres.address import Address, read_address
from servicekit.stores.postgres.schema import migrate
from tests.artifacts import targets
from tests.artifacts.test_processes import Worker
from tests.many_machines.pooler import run_pooler
from tests.needs import needs
from tests.postgres import PostgresServer, StopMode, run_postgres

Open = Callable[..., Artifacts]


@pytest.fixture
def address(postgres_url: str) -> Address:
    address = read_address("url", postgres_url)
    migrate(address)
    return address


@pytest.fixture
def open_artifacts(tmp_path: Path, postgres_url: str, address: Address) -> Iterator[Open]:
    """Opens artifacts as processes of a service with its jobs in the database do."""
    opened: list[Artifacts] = []

    def make(place: object = tmp_path / "shared", url: str = postgres_url) -> Artifacts:
        artifacts = Artifacts(str(place))
        artifacts.use_database(url)
        opened.append(artifacts)
        return artifacts

    yield make
    for each in opened:
        each.close()


def test_what_one_machine_saves_another_has(open_artifacts: Open, tmp_path: Path) -> None:
    here, there = open_artifacts(), open_artifacts()
    here.add_hierarchy(Hierarchy("ml", ["data", "model"]))
    data = here.save(b"content" * 1_000, kind="data", name="data.bin", tags=["new"])
    model = there.save({"a": 1}, kind="model", parent=data)
    assert there.load(data.id) == b"content" * 1_000
    assert [each.id for each in here.tree(data.id).artifacts] == [data.id, model.id]
    with pytest.raises(ArtifactConflict, match="'ml'"):
        there.save(b"", kind="model")
    assert there.delete(data.id, recursive=True) == 2
    with pytest.raises(ArtifactNotFound):
        here.get(data.id)
    assert here.sweep() == there.sweep() == (type(here.sweep()))(0, 0)
    assert len(list(DirectoryBlobs(tmp_path / "shared").list())) == 1  # the mark


def test_the_address_has_no_password_and_is_enough_for_a_job(
    open_artifacts: Open, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres_url.replace("postgres@", "postgres:secret@")
    artifacts = open_artifacts(url=url)
    saved = artifacts.save(b"content")
    assert "secret" not in artifacts.address + repr(artifacts) + str(vars(artifacts))
    monkeypatch.setattr(this_process, "runs_one_job", True)
    monkeypatch.setattr(this_process, "database_url", url)
    again = Artifacts.at(artifacts.address)
    assert again.load(saved.id) == b"content"
    assert again.address == artifacts.address
    again.close()


def test_outside_of_services_the_environment_names_the_database(
    open_artifacts: Open, postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = open_artifacts().save(b"content")
    monkeypatch.setenv("SERVICEKIT_JOBS_URL", postgres_url)
    script = Artifacts(tmp_path / "shared")
    assert script.load(saved.id) == b"content"
    script.close()


@pytest.mark.parametrize("schema", ["servicekit", "Jobs-of-Ada"])
def test_a_script_can_be_the_first_that_uses_a_database(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, schema: str
) -> None:
    monkeypatch.setenv("SERVICEKIT_JOBS_URL", f"{postgres_url}?schema={schema}")
    script = Artifacts(tmp_path / "shared")
    assert script.load(script.save(b"content").id) == b"content"
    script.close()


def test_a_role_that_may_not_make_tables_is_told_who_does(
    postgres: PostgresServer, postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    postgres.execute("CREATE ROLE saver LOGIN")
    try:
        monkeypatch.setenv("SERVICEKIT_JOBS_URL", postgres_url.replace("postgres@", "saver@"))
        with pytest.raises(ArtifactsUnavailable, match="servicekit migrate"):
            Artifacts(tmp_path / "shared").save(b"content")
    finally:
        postgres.execute("DROP ROLE saver")


@pytest.mark.parametrize("is_empty", [True, False])
def test_a_folder_of_this_machine_alone_is_not_taken_for_the_shared_one(
    open_artifacts: Open, tmp_path: Path, is_empty: bool
) -> None:
    open_artifacts().save(b"content")
    if not is_empty:
        with Artifacts(tmp_path / "local").stage() as staged:
            staged.finish()
    local = open_artifacts(tmp_path / "local")
    for _ in range(2):
        with pytest.raises(ArtifactsUnavailable, match="not where the contents of these artifacts are"):
            local.save(b"other content")
    assert list(DirectoryBlobs(tmp_path / "local").list()) == []


def test_a_shared_directory_that_is_unmounted_meanwhile_is_not_replaced_by_one_of_this_machine(
    open_artifacts: Open, tmp_path: Path
) -> None:
    artifacts = open_artifacts()
    saved = artifacts.save(b"before")
    mounted, elsewhere = tmp_path / "shared", tmp_path / "elsewhere"
    mounted.rename(elsewhere)
    mounted.mkdir()
    for call in (partial(artifacts.save, b"meanwhile"), partial(artifacts.load, saved.id)):
        with pytest.raises(ArtifactsUnavailable, match="still mounted"):
            call()

    async def check() -> str:
        return await make_check(artifacts)() or ""

    assert "still mounted" in asyncio.run(check())
    assert not list(mounted.iterdir())
    mounted.rmdir()
    elsewhere.rename(mounted)
    assert artifacts.load(artifacts.save(b"after").id) == b"after"


def test_two_machines_that_start_at_once_with_two_folders_do_not_both_go_on(
    open_artifacts: Open, tmp_path: Path
) -> None:
    def start(number: int) -> bool:
        try:
            open_artifacts(tmp_path / str(number)).save(b"content")
        except ArtifactsUnavailable:
            return False
        return True

    with ThreadPoolExecutor(4) as threads:
        assert sorted(threads.map(start, range(4))) == [False, False, False, True]


def test_a_place_with_other_contents_is_left_alone(
    open_artifacts: Open, tmp_path: Path, postgres: PostgresServer
) -> None:
    with postgres.new_database() as other:
        migrate(read_address("url", other))
        theirs = open_artifacts(url=other)
        saved = theirs.save(b"theirs")
        for _ in range(2):
            with pytest.raises(ArtifactsUnavailable, match="contents of other artifacts"):
                open_artifacts().save(b"ours")
        assert theirs.load(saved.id) == b"theirs"
        theirs.close()
    file = Artifacts(tmp_path / "of a file")
    file.save({"small": "JSON"})
    file.close()
    with pytest.raises(ArtifactsUnavailable, match="an index of its own"):
        open_artifacts(tmp_path / "of a file").save(b"ours")


def test_a_role_that_only_reads_and_writes_rows_is_enough(
    open_artifacts: Open, postgres: PostgresServer, postgres_url: str
) -> None:
    database = postgres_url.rpartition("/")[2]
    postgres.execute("CREATE ROLE app LOGIN")
    for grant in (
        "USAGE ON SCHEMA servicekit",
        "SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA servicekit",
        "USAGE, SELECT ON ALL SEQUENCES IN SCHEMA servicekit",
    ):
        postgres.execute(f"GRANT {grant} TO app", database=database)
    try:
        artifacts = open_artifacts(url=postgres_url.replace("postgres@", "app@"))
        artifacts.add_hierarchy(Hierarchy("ml", ["data", "model"]))
        data = artifacts.save(b"content", kind="data", tags=["new"])
        artifacts.update(artifacts.save(b"model", kind="model", parent=data).id, tags=["a"], metadata={"b": 1})
        assert artifacts.delete(data.id, recursive=True) == 2
    finally:
        postgres.execute("DROP OWNED BY app; DROP ROLE app", database=database)


@needs("pgbouncer")
def test_a_pooler_that_shares_connections_between_transactions_may_be_between(
    open_artifacts: Open, postgres: PostgresServer, postgres_url: str
) -> None:
    with run_pooler(postgres) as port:
        url = f"postgresql://postgres@127.0.0.1:{port}/{postgres_url.rpartition('/')[2]}"
        several = [open_artifacts(url=url) for _ in range(3)]

        def save_and_read(number: int) -> None:
            for each in range(10):
                saved = several[number].save(b"content", tags=[str(each)])
                assert several[number - 1].load(saved.id) == b"content"

        with ThreadPoolExecutor(3) as threads:
            list(threads.map(save_and_read, range(3)))
        assert several[0].stats().count == 30
        for each in several:
            each.close()


SCRIPT = """
import os, sys
from servicekit.artifacts import Artifacts
artifacts = Artifacts(sys.argv[1])
artifacts.save(b"parent")
child = os.fork()
if child == 0:
    artifacts.save(b"child")
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
artifacts.save(b"parent again")
print(artifacts.stats().count)
"""


def test_a_forked_child_has_connections_of_its_own(address: Address, postgres_url: str, tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", SCRIPT, str(tmp_path / "shared")]
    environment = {**os.environ, "SERVICEKIT_JOBS_URL": postgres_url}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
    assert (done.stdout, done.stderr) == ("3\n", "")


def test_processes_that_are_killed_leave_every_row_with_its_blob(
    open_artifacts: Open, postgres_url: str, tmp_path: Path
) -> None:
    chance, artifacts = random.Random(17), open_artifacts()
    artifacts.stats()
    with ExitStack() as stack:

        def start(seed: int) -> Worker:
            worker = Worker(artifacts.address, seed, postgres_url)
            stack.callback(worker.kill)
            return worker

        workers = [start(seed) for seed in range(3)]
        for number in range(8):
            place = chance.randrange(3)
            workers[place].wait_calls(chance.randint(1, 12))
            workers[place].kill()
            workers[place] = start(3 + number)
        for worker in workers:
            worker.wait_calls(5)
    for each in artifacts.list(limit=1_000).artifacts:
        assert artifacts.load(each.id) in targets.CONTENTS
        assert each.parent_id is None or artifacts.get(each.parent_id).id
    artifacts.sweep()
    assert list((tmp_path / "shared" / "staging").iterdir()) == []
    used = {each.sha256 for each in artifacts.list(limit=1_000).artifacts}
    assert len(set(artifacts.storage.blobs.list()) - used) == 1  # the mark
    for each in artifacts.list(limit=1_000).artifacts:
        if each.level == 0:
            artifacts.delete(each.id, recursive=True)
    assert len(list(artifacts.storage.blobs.list())) == 1


def test_where_the_contents_are_must_be_said(postgres_url: str) -> None:
    with pytest.raises(ConfigurationError, match="Say where the contents of artifacts are"):
        Artifacts().use_database(postgres_url)
    for place in ("s3://ada:secret@bucket/x", "s3://bucket/x?key=secret"):
        with pytest.raises(ConfigurationError) as caught:
            Artifacts(place)
        assert "secret" not in str(caught.value)
    with pytest.raises(ConfigurationError, match="need their jobs in a database server"):
        Artifacts("s3://bucket/x").use_database(None)


def test_a_directory_that_others_can_write_to_is_not_read(open_artifacts: Open, tmp_path: Path) -> None:
    saved = open_artifacts().save(b"content")
    (tmp_path / "shared").chmod(0o707)
    with pytest.raises(ArtifactsUnavailable, match="every user of the machine can write"):
        open_artifacts().load(saved.id)


class Cut:
    """Cuts connections of the server to the index, at a moment that the test has chosen."""

    def __init__(self, postgres: PostgresServer) -> None:
        self._postgres = postgres
        self.left = 1

    def __call__(self) -> None:
        if self.left:
            self.left -= 1
            self._postgres.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'servicekit artifacts'"
            )


def test_a_connection_that_is_lost_while_a_blob_is_placed_is_replaced(
    open_artifacts: Open, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifacts, cut = open_artifacts(), Cut(postgres)
    blobs = artifacts.storage.blobs
    place = blobs.place

    def place_and_cut(staged: Any) -> None:
        place(staged)
        cut()

    monkeypatch.setattr(blobs, "place", place_and_cut)
    saved = artifacts.save(b"content")
    assert cut.left == 0
    assert (artifacts.load(saved.id), artifacts.stats().count) == (b"content", 1)


@pytest.mark.parametrize("is_committed", [True, False])
def test_a_row_is_there_once_whatever_the_server_did_with_a_commit_that_it_did_not_answer(
    open_artifacts: Open, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch, is_committed: bool
) -> None:
    artifacts, cut = open_artifacts(), Cut(postgres)
    artifacts.stats()
    execute = psycopg.Connection.execute

    def commit_and_cut(connection: Any, query: Any, *args: Any, **options: Any) -> Any:
        if query == "COMMIT" and cut.left:
            if is_committed:
                execute(connection, query, *args, **options)
            cut()
        return execute(connection, query, *args, **options)

    monkeypatch.setattr(psycopg.Connection, "execute", commit_and_cut)
    saved = artifacts.save(b"content")
    assert cut.left == 0
    assert (artifacts.load(saved.id), artifacts.stats().count) == (b"content", 1)


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_what_a_server_has_lost_when_it_ended_is_written_again(
    tmp_path: Path, mode: StopMode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a crash it gives the number of a transaction that it has lost to another one, which is committed."""
    with run_postgres(settings=["wal_writer_delay=10s"]) as server, server.new_database() as url:
        migrate(read_address("url", url))
        artifacts, restarts = Artifacts(tmp_path / "shared"), [mode]
        artifacts.use_database(url)
        artifacts.save(b"before")
        execute = psycopg.Connection.execute

        def restart_and_commit(connection: Any, query: Any, *args: Any, **options: Any) -> Any:
            if query == "COMMIT" and restarts:
                server.restart(restarts.pop())
                for _ in range(50):
                    server.execute("SELECT pg_current_xact_id()")
            return execute(connection, query, *args, **options)

        monkeypatch.setattr(psycopg.Connection, "execute", restart_and_commit)
        saved = artifacts.save(b"content")
        assert (artifacts.load(saved.id), artifacts.stats().count) == (b"content", 2)


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_what_a_server_has_kept_when_it_ended_is_there_once(
    tmp_path: Path, mode: StopMode, monkeypatch: pytest.MonkeyPatch
) -> None:
    # After a crash it cannot be known, and what was done can be told as one that failed.
    refusals = (ArtifactsUnavailable, ArtifactConflict) if mode == "immediate" else ()
    with run_postgres() as server, server.new_database() as url:
        migrate(read_address("url", url))
        artifacts, restarts = Artifacts(tmp_path / "shared"), [mode]
        artifacts.use_database(url)
        artifacts.save(b"before")  # which also keeps the mark of the directory: the next commit is of what is saved
        execute = psycopg.Connection.execute

        def commit_and_restart(connection: Any, query: Any, *args: Any, **options: Any) -> Any:
            answer = execute(connection, query, *args, **options)
            if query == "COMMIT" and restarts:
                server.restart(restarts.pop())
                raise psycopg.OperationalError("the connection is lost")
            return answer

        monkeypatch.setattr(psycopg.Connection, "execute", commit_and_restart)
        with suppress(*refusals):
            artifacts.save(b"content")
        assert artifacts.stats().count == 2


def test_a_server_that_is_away_is_told_without_a_password(
    open_artifacts: Open, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "_PATIENCE_SECONDS", 0.2)
    away = postgres_url.replace("postgres@", "postgres:secret@").replace(postgres_url.rsplit(":", 1)[1], "1/jobs")
    with pytest.raises(ArtifactsUnavailable, match="cannot be reached") as caught:
        open_artifacts(url=away).stats()
    assert "secret" not in str(caught.value)


def test_a_server_that_is_restarted_at_once_loses_nothing_that_was_saved(tmp_path: Path) -> None:
    with run_postgres() as server, server.new_database() as url:
        migrate(read_address("url", url))
        artifacts = Artifacts(tmp_path / "shared")
        artifacts.use_database(url)
        is_over = threading.Event()

        def save(number: int) -> list[str]:
            saved: list[str] = []
            while not is_over.is_set():
                with suppress(ArtifactsUnavailable):  # the server may be away for longer than a call waits
                    saved.append(artifacts.save(f"{number} {len(saved)}").id)
            return saved

        with ThreadPoolExecutor(3) as threads:
            saving = [threads.submit(save, number) for number in range(3)]
            for mode in ("immediate", "fast"):
                server.restart(mode)
                artifacts.save("the server is there again")
            is_over.set()
            ids = [artifact_id for each in saving for artifact_id in each.result()]
        for artifact_id in ids:
            artifacts.load(artifact_id)
        texts = [artifacts.load(each.id) for each in artifacts.list(limit=1_000).artifacts if each.id not in ids]
        assert texts == ["the server is there again"] * 2
        artifacts.close()


def test_what_could_not_be_saved_asks_a_server_that_is_away_only_once(
    open_artifacts: Open, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifacts, attempts = open_artifacts(), list[str]()
    artifacts.stats()

    def fail(*_: object, **options: str) -> None:
        attempts.append(options["purpose"])
        raise StoreUnavailable("the database", "the server cannot be reached.")

    monkeypatch.setattr(pool, "_PATIENCE_SECONDS", 0)
    monkeypatch.setattr(pool, "connect", fail)
    artifacts.storage.index.close()
    with pytest.raises(ArtifactsUnavailable, match="cannot be reached"):
        artifacts.save(b"content")
    assert attempts == ["artifacts"]


def test_a_process_that_lost_its_lock_removes_nothing_that_was_saved_since(
    address: Address, tmp_path: Path, postgres: PostgresServer
) -> None:
    """A row is added while another process, whose connection is gone, still believes that it may remove the blob."""
    blobs = DirectoryBlobs(tmp_path, is_shared=True)
    storages = [ArtifactStorage(blobs, PostgresIndex(address)) for _ in range(2)]
    remover, saver = storages
    with blobs.stage() as staged:
        staged.write(b"content")
        staged.finish()
        blobs.place(staged)
    is_asked, goes_on = threading.Event(), threading.Event()
    plan_removal = blobs.plan_removal

    def remove_late(sha256: str) -> Callable[[], None]:
        planned = plan_removal(sha256)

        def remove() -> None:
            is_asked.set()
            goes_on.wait()
            planned()

        return remove

    slow = ArtifactStorage(DirectoryBlobs(tmp_path, is_shared=True), remover.index)
    slow.blobs.plan_removal = remove_late  # type: ignore[method-assign]
    artifacts = Artifacts(tmp_path, blobs=blobs, index=saver.index)
    with ThreadPoolExecutor(1) as threads:
        sweeping = threads.submit(slow.sweep)
        is_asked.wait()
        Cut(postgres)()
        saved = artifacts.save(b"content")
        goes_on.set()
        sweeping.result()
    assert artifacts.load(saved.id) == b"content"
    for each in storages:
        each.index.close()


def test_what_is_added_while_its_ancestors_are_removed_goes_with_them(
    address: Address, tmp_path: Path, postgres: PostgresServer
) -> None:
    blobs = DirectoryBlobs(tmp_path, is_shared=True)
    artifacts = Artifacts(tmp_path, blobs=blobs, index=PostgresIndex(address))
    parent = artifacts.save(b"parent", parent=artifacts.save(b"root"))
    is_placing, goes_on, place = threading.Event(), threading.Event(), blobs.place

    def place_late(staged: StagedBlob) -> None:
        is_placing.set()
        goes_on.wait()
        place(staged)

    blobs.place = place_late  # type: ignore[method-assign]
    with ThreadPoolExecutor(2) as threads:
        adding = threads.submit(artifacts.save, b"child", parent=parent)
        is_placing.wait()
        removing = threads.submit(artifacts.delete, str(parent.parent_id), recursive=True)
        while not postgres.execute("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"):
            assert not removing.done()
        goes_on.set()
        assert (adding.result().level, removing.result()) == (2, 3)
    assert artifacts.list().artifacts == ()
    with pytest.raises(ArtifactNotFound):
        artifacts.save(b"child", parent=parent)
    artifacts.close()


def test_what_another_machine_has_left_is_swept_when_it_is_old(tmp_path: Path) -> None:
    blobs = DirectoryBlobs(tmp_path, is_shared=True)
    with blobs.stage() as staged:
        staged.write(b"on its way")
        for name, age in (("ab-1", 3_600), ("cd-1", 90_000)):
            file = tmp_path / "staging" / name
            file.write_bytes(b"of another machine")
            written = file.stat().st_mtime - age
            os.utime(file, (written, written))
        assert (blobs.sweep(), blobs.sweep()) == (1, 0)
        assert (tmp_path / "staging" / "ab-1").exists()
        staged.finish()
        blobs.place(staged)


def test_statements_name_the_schema_of_the_address(postgres_url: str, tmp_path: Path) -> None:
    addresses = [read_address("url", f"{postgres_url}?schema={name}") for name in ("one", "two")]
    for number, address in enumerate(addresses):
        migrate(address)
        artifacts = Artifacts(tmp_path / str(number), index=PostgresIndex(address))
        artifacts.save(b"content", kind="data", tags=["a"])
        assert artifacts.stats().count == 1
        artifacts.close()
