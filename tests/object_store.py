"""An object store for tests: a server in a process of its own, which speaks S3 and keeps everything in memory."""

import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.request import Request, urlopen

from tests.service import run_command


@contextmanager
def run_s3() -> Iterator[str]:
    """The address of a server until the end of the block."""
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    with run_command(command) as server:
        yield server.wait_log(r"http://127\.0\.0\.1:\d+")[0]


def environment_of(url: str) -> dict[str, str]:
    """What leads programs to the server. It lets in whoever says something."""
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    return {"AWS_ENDPOINT_URL": url, "AWS_DEFAULT_REGION": "us-east-1", **dict.fromkeys(names, "anybody")}


def make_bucket(url: str) -> str:
    """The name of a new bucket."""
    name = f"bucket-{secrets.token_hex(8)}"
    with urlopen(Request(f"{url}/{name}", method="PUT"), timeout=30):
        return name
