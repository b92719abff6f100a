"""nginx and Apache with the configurations that the pages print."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.needs import program
from tests.service import run_command

_NGINX = """\
daemon off;
pid {folder}/nginx.pid;
error_log stderr notice;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder};
    proxy_temp_path {folder};
    fastcgi_temp_path {folder};
    uwsgi_temp_path {folder};
    scgi_temp_path {folder};
    server {{
        listen 127.0.0.1:{port};
{block}
    }}
}}
"""

_APACHE = """\
ServerRoot {folder}
ServerName localhost
PidFile {folder}/apache.pid
ErrorLog /dev/stderr
LogLevel notice
Listen 127.0.0.1:{port}
User nobody
{modules}
{block}
"""
_APACHE_MODULES = ("mpm_event", "authz_core", "env", "proxy", "proxy_http")


@contextmanager
def run_nginx(block: str, folder: Path) -> Iterator[str]:
    """The address of an nginx with this block in its server."""
    port = _free_port()
    config = _NGINX.format(folder=folder, port=port, block=block)
    with _run([program("nginx"), "-e", "stderr", "-c"], config, folder, "start worker process"):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def run_apache(block: str, folder: Path) -> Iterator[str]:
    """The address of an Apache with this block in its main server."""
    port, executable = _free_port(), program("apache")
    modules = "\n".join(f"LoadModule {name}_module {_find_module(executable, name)}" for name in _APACHE_MODULES)
    config = _APACHE.format(folder=folder, port=port, block=block, modules=modules)
    with _run([executable, "-DFOREGROUND", "-f"], config, folder, "resuming normal operations"):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def _run(command: list[str], config: str, folder: Path, ready: str) -> Iterator[None]:
    """Start a server with this configuration. What it would only warn of is an error here."""
    path = folder / "proxy.conf"
    path.write_text(config)
    with run_command([*command, path], cwd=folder) as server:
        server.wait_log(ready)
        assert "[warn]" not in server.log
        yield


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _find_module(executable: str, name: str) -> Path:
    """Debian has /usr/sbin/apache2 and /usr/lib/apache2/modules; others bin/httpd and lib/httpd/modules."""
    path = Path(executable).resolve()
    return path.parents[1] / "lib" / path.name / "modules" / f"mod_{name}.so"
