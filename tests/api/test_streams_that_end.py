"""Streams of readers whose access ends while they are open: over a real server."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.api.auth_apps import SECRETS, bearer
from tests.service import Service, run_service

JOBS = "/api/v1/jobs"


def write_keys(path: Path, **roles: str) -> None:
    path.write_text(json.dumps([{"name": name, "secret": SECRETS[name], "role": role} for name, role in roles.items()]))


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    write_keys(path, actor="act", spare="act")
    return path


@pytest.fixture(scope="module")
def service(keys: Path) -> Iterator[Service]:
    with run_service("tests.api.auth_apps:with_key_file", options=["--factory"], environment={"KEYS": str(keys)}) as it:
        yield it


@pytest.mark.parametrize("left", [{}, {"actor": "read"}], ids=["removed", "another role"])
@pytest.mark.parametrize("stream", ["one", "all"])
def test_a_stream_ends_when_its_reader_s_key_does(
    service: Service, keys: Path, left: dict[str, str], stream: str
) -> None:
    write_keys(keys, actor="act", spare="act")
    with httpx.Client(base_url=service.url, timeout=60) as client:
        job = _submit(client)
        address = f"{job}/$stream" if stream == "one" else f"{JOBS}/$stream"
        with (
            client.stream("GET", address, headers=bearer("spare")) as other,
            client.stream("GET", address, headers=bearer("actor")) as response,
        ):
            lines, others = response.iter_lines(), other.iter_lines()
            assert any(line.startswith("data:") for line in lines)
            write_keys(keys, spare="act", **left)
            for _ in lines:  # it ends in order, and not with an error
                pass
            assert client.delete(job, headers=bearer("spare")).status_code == 204
            assert any('"deleted"' in line for line in others)  # the one whose reader's key has stayed goes on


def _submit(client: httpx.Client) -> str:
    """The path of a new job. A key that was written a moment ago may be valid a second later."""
    while (response := client.post("/hold/ends", headers=bearer("actor"))).status_code != 202:
        assert response.status_code in (401, 403)
    return response.headers["location"]
