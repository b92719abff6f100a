"""Where a dashboard can be: behind a proxy, below a path."""

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
        location {prefix}/ {{
            proxy_pass {url}/;
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Connection "";
            proxy_buffering off;
        }}
    }}
}}
"""


def free_port() -> int:
    """A port that nobody has at the moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def run_stripping_proxy(url: str, prefix: str, folder: Path) -> Iterator[str]:
    """The address of an nginx that has the service below `prefix`, and does not tell it so."""
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(_NGINX.format(folder=folder, port=port, prefix=prefix, url=url))
    with run_command([program("nginx"), "-e", "stderr", "-c", config], cwd=folder) as server:
        server.wait_log("start worker process")
        yield f"http://127.0.0.1:{port}"
