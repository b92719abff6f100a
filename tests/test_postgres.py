"""The servers of the tests: real, apart from each other, and gone with the tests."""

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from tests.needs import needs
from tests.postgres import NEWEST, OLDEST, PostgresServer, list_versions, name_of, run_postgres
from tests.service import ROOT

pytestmark = needs("postgresql")

_ENDLESS = """
import time
from tests.postgres import run_postgres
with run_postgres() as server:
    print(server.folder, server.port, flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("postgres", [OLDEST, NEWEST], indirect=True, ids=name_of)
def test_each_test_has_a_database_of_its_own(postgres: PostgresServer) -> None:
    with postgres.new_database() as one, postgres.new_database() as other:
        for url in (one, other):
            with psycopg.connect(url) as connection:
                connection.execute("CREATE TABLE jobs (id text)")
                assert connection.info.server_version // 10_000 == postgres.version.major
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(one)


def test_the_oldest_and_the_newest_are_two() -> None:
    assert name_of(OLDEST) != name_of(NEWEST)
    assert list_versions()[0].major < list_versions()[-1].major


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_what_was_committed_is_there_after_a_restart(mode: str) -> None:
    with run_postgres(is_durable=True) as server, server.new_database():
        server.execute("CREATE TABLE kept (n integer)")
        server.restart(mode)  # type: ignore[arg-type]
        assert server.execute("SELECT count(*) FROM kept") == [(0,)]


def test_nothing_is_left_of_a_server_whose_test_was_killed() -> None:
    tests = subprocess.Popen([sys.executable, "-c", _ENDLESS], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert tests.stdout
    folder, port = tests.stdout.readline().split()
    tests.send_signal(signal.SIGKILL)
    tests.wait()
    tests.stdout.close()
    while Path(folder).exists():
        time.sleep(0.02)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(port)))
