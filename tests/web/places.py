"""Where a dashboard can be: behind a proxy, below a path."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from tests.docs.proxies import run_nginx

_BLOCK: Final = """\
        location {prefix}/ {{
            proxy_pass {url}/;
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Connection "";
            proxy_buffering off;
        }}
"""


def run_stripping_proxy(url: str, prefix: str, folder: Path) -> AbstractContextManager[str]:
    """The address of an nginx that has the service below `prefix`, and does not tell it so."""
    return run_nginx(_BLOCK.format(prefix=prefix, url=url), folder)
