"""What an operator reads in /health when artifacts cannot be kept."""

import sqlite3
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from servicekit.api import Health
from servicekit.artifacts import Artifacts, health
from servicekit.artifacts.sqlite import connections
from tests.artifacts.served import connect, files_in, service


async def ask(artifacts: Artifacts) -> tuple[int, str | None]:
    """The status, and what is said of the artifacts."""
    async with connect(service(artifacts, Health())) as client:
        return told(await client.get("/health"))


def told(response: httpx.Response) -> tuple[int, str | None]:
    message: str | None = response.json()["checks"]["artifacts"]["message"]
    return response.status_code, message


async def test_all_is_well(artifacts: Artifacts) -> None:
    assert await ask(artifacts) == (200, None)
    assert files_in(artifacts) == []


async def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    status, message = await ask(Artifacts(tmp_path / "file" / "artifacts"))
    assert (status, message) == (
        503,
        "Artifacts cannot be kept at the moment: a file is where a folder should be. Move it away.",
    )


async def test_an_index_that_is_damaged(artifacts: Artifacts) -> None:
    Path(artifacts.address).mkdir()
    Path(artifacts.address, "index.db").write_bytes(b"no database" * 1_000)
    status, message = await ask(artifacts)
    assert message is not None
    assert (status, message.startswith("Artifacts cannot be kept at the moment: ")) == (503, True)
    assert artifacts.address not in message


async def test_an_index_that_another_program_has_locked(artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_PATIENCE_SECONDS", 0.05)
    await artifacts.aio.save(1)
    with closing(sqlite3.connect(Path(artifacts.address, "index.db"), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        status, message = await ask(artifacts)
        assert message is not None
        assert (status, "lock" in message) == (503, True)
    assert await ask(artifacts) == (200, None)


async def test_its_end_is_seen_at_once(tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path / "artifacts")
    (tmp_path / "artifacts").write_text("")
    async with connect(service(artifacts, Health())) as client:
        assert told(await client.get("/health"))[0] == 503
        (tmp_path / "artifacts").unlink()
        assert told(await client.get("/health")) == (200, None)


async def test_a_disk_that_is_nearly_full_is_told(artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_LITTLE_BYTES", 1 << 62)
    status, message = await ask(artifacts)
    assert message is not None
    assert (status, message.startswith("The disk of the artifacts is nearly full: ")) == (200, True)
