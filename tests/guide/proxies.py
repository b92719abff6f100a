"""nginx and Apache as reverse proxies: the guide's block, and around it the least that makes a server of it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.guide.quoted import read_snippet
from tests.needs import program
from tests.ports import find_free_port
from tests.service import Service, run_command

_APACHE_MODULE_FOLDERS = ("/usr/lib/apache2/modules", "/usr/lib64/httpd/modules", "/opt/homebrew/lib/httpd/modules")


@contextmanager
def run_nginx(backend: Service, folder: Path) -> Iterator[Service]:
    """nginx before the service, with the guide's block as it is printed."""
    port = find_free_port()
    settings = folder / "nginx.conf"
    settings.write_text(f"""
        pid {folder}/nginx.pid;
        events {{}}
        http {{
            access_log off;
            client_body_temp_path {folder}/body;
            proxy_temp_path {folder}/proxy;
            upstream backend {{ server 127.0.0.1:{backend.port}; }}
            server {{
                listen 127.0.0.1:{port};
                {read_snippet("nginx.conf")}
            }}
        }}
    """)
    options = ["-e", "stderr", "-g", "daemon off; error_log stderr notice;"]
    with run_command([program("nginx"), "-p", folder, "-c", settings, *options]) as nginx:
        nginx.wait_log("start worker process ")
        nginx.port = port
        yield nginx


@contextmanager
def run_apache(backend: Service, folder: Path) -> Iterator[Service]:
    """Apache before the service.

    In the guide's block stands the address of the backend. Within `<Location>` Apache puts it in place of the
    location, so it must lead to the jobs.
    """
    port = find_free_port()
    block = read_snippet("apache.conf").replace("http://backend", f"{backend.url}/api/v1/jobs")
    modules = next(Path(name) for name in _APACHE_MODULE_FOLDERS if Path(name).is_dir())
    settings = folder / "apache.conf"
    settings.write_text(f"""
ServerRoot {folder}
ServerName 127.0.0.1
Listen 127.0.0.1:{port}
PidFile {folder}/apache.pid
DefaultRuntimeDir {folder}
ErrorLog /dev/stderr
LogLevel notice
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule env_module {modules}/mod_env.so
LoadModule proxy_module {modules}/mod_proxy.so
LoadModule proxy_http_module {modules}/mod_proxy_http.so
{"User #65534" if os.geteuid() == 0 else ""}
{"Group #65534" if os.geteuid() == 0 else ""}
{block}
""")
    with run_command([program("apache"), "-f", settings, "-DFOREGROUND"]) as apache:
        apache.wait_log("resuming normal operations")
        apache.port = port
        yield apache
