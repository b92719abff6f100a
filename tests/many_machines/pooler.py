"""pgbouncer, as it is set before most servers: each transaction may be on another connection."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests.needs import program
from tests.ports import find_free_port
from tests.postgres import SERVER_USER, PostgresServer
from tests.service import Service

# `any` takes everybody in as the user that is named here, with no list of users.
_SETTINGS: Final = """
[databases]
* = host=127.0.0.1 port={server} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 20
max_client_conn = 500
"""


@contextmanager
def run_pooler(server: PostgresServer) -> Iterator[int]:
    """The port of a pgbouncer in transaction mode before the server, until the end of the block."""
    executable = program("pgbouncer")
    with TemporaryDirectory(prefix="pgbouncer-") as folder:
        port = find_free_port()
        settings = Path(folder) / "pgbouncer.ini"
        settings.write_text(_SETTINGS.format(server=server.port, port=port))
        if SERVER_USER is not None:
            shutil.chown(folder, SERVER_USER)
        process = subprocess.Popen(
            [executable, str(settings)],
            user=SERVER_USER,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        pooler = Service(process)
        try:
            pooler.wait_log("process up")
            yield port
        finally:
            pooler.kill()
