"""Clients that stand still in the middle: they are told so, or cut off, and hold nothing any more."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from starlette.types import Message

from servicekit.artifacts import Artifacts, transfers
from tests.artifacts.served import URL, connect, files_in, service


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfers, "IDLE_SECONDS", 0.1)


def scope_of(artifact_id: str) -> dict[str, object]:
    """The request of a download, as a server gives it to the application."""
    path = f"{URL}/{artifact_id}/$download"
    asked = {"method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"", "headers": []}
    return {"type": "http", "http_version": "1.1", "scheme": "http", "server": ("test", 80), **asked}


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize("content_type", ["text/plain", "application/json", "multipart/form-data; boundary=b"])
async def test_an_upload_that_stands_still_is_408(artifacts: Artifacts, content_type: str) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"--b\r\nContent-Disposition: form-data; name=file\r\n\r\n"
        await asyncio.Event().wait()

    async with connect(artifacts) as client:
        response = await client.post(URL, content=body(), headers={"Content-Type": content_type})
        assert (response.status_code, response.json()) == (408, {"detail": "Nothing came for 0.1 seconds."})
        assert files_in(artifacts) == []


@pytest.mark.usefixtures("_impatient")
async def test_a_download_that_nobody_takes_is_cut_off(artifacts: Artifacts) -> None:
    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)
        if message.get("body"):
            await asyncio.Event().wait()

    sent: list[Message] = []
    app = service(artifacts)
    async with connect(app):
        saved = await artifacts.aio.save(bytes(2_000_000))
        await app(scope_of(saved.id), receive, send)
    assert all(message.get("more_body", True) for message in sent)


async def test_a_client_that_leaves_ends_its_download(artifacts: Artifacts) -> None:
    async def receive() -> Message:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)
        if message.get("body"):
            gone.set()
            await asyncio.sleep(0)

    sent: list[Message] = []
    gone = asyncio.Event()
    app = service(artifacts)
    async with connect(app):
        saved = await artifacts.aio.save(bytes(20_000_000))
        await app(scope_of(saved.id), receive, send)
    assert len(sent) < 10
