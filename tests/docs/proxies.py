"""nginx and Apache with the configurations that the pages print."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.docs.pages import find_file
from tests.needs import program
from tests.ports import find_free_port
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
_ETC = "/etc/apache2"
_APACHE_MODULES = ("mpm_event", "alias", "asis", "authz_core", "env", "proxy", "proxy_http")


@contextmanager
def run_nginx(block: str, folder: Path) -> Iterator[str]:
    """The address of an nginx with this block in its server."""
    port = find_free_port()
    config = _NGINX.format(folder=folder, port=port, block=block)
    with _run([program("nginx"), "-e", "stderr", "-c"], config, folder, "start worker process"):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def run_apache(block: str, folder: Path) -> Iterator[str]:
    """The address of an Apache with this block in its main server, and the page's files where the block has them."""
    port, executable = find_free_port(), program("apache")
    modules = "\n".join(f"LoadModule {name}_module {_find_module(executable, name)}" for name in _APACHE_MODULES)
    with _with_readable_files(block) as block:
        config = _APACHE.format(folder=folder, port=port, block=block, modules=modules)
        with _run([executable, "-DFOREGROUND", "-f"], config, folder, "resuming normal operations"):
            yield f"http://127.0.0.1:{port}"


@contextmanager
def _with_readable_files(block: str) -> Iterator[str]:
    """The block, with the files that it names in a folder that Apache's own user may read."""
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        for name in re.findall(rf"{_ETC}/(\S+)", block):
            (Path(folder) / name).write_text(find_file(name))
        yield block.replace(_ETC, folder)


@contextmanager
def _run(command: list[str], config: str, folder: Path, ready: str) -> Iterator[None]:
    """Start a server with this configuration. What it would only warn of is an error here."""
    path = folder / "proxy.conf"
    path.write_text(config)
    with run_command([*command, path], cwd=folder) as server:
        server.wait_log(ready)
        assert "[warn]" not in server.log
        yield


def _find_module(executable: str, name: str) -> Path:
    """Debian has /usr/sbin/apache2 and /usr/lib/apache2/modules; others bin/httpd and lib/httpd/modules."""
    path = Path(executable).resolve()
    return path.parents[1] / "lib" / path.name / "modules" / f"mod_{name}.so"
