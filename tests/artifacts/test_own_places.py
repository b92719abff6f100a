"""Services whose artifacts are elsewhere: `Artifacts(blobs=..., index=...)`."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from servicekit.api import Feature
from servicekit.artifacts import Artifacts, StagedBlob, feature
from servicekit.artifacts.directory import DirectoryBlobs
from servicekit.errors import ArtifactsUnavailable, ConfigurationError
from servicekit.ml import Json, Model, Table
from servicekit.tasks import Tasks
from tests.artifacts.served import connect, service


class HangingBlobs(DirectoryBlobs):
    """On a disk that does not answer."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.is_asked, self.goes_on = threading.Event(), threading.Event()

    def place(self, staged: StagedBlob) -> None:
        self.is_asked.set()
        self.goes_on.wait()
        super().place(staged)


async def test_a_disk_that_hangs_does_not_keep_a_service_from_ending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature, "_STOP_SECONDS", 0.05)
    blobs = HangingBlobs(tmp_path)
    artifacts = Artifacts(tmp_path, blobs=blobs)
    try:
        async with connect(artifacts):
            saving = asyncio.create_task(artifacts.aio.save(b"content"))
            await asyncio.to_thread(blobs.is_asked.wait)
        assert not saving.done()
    finally:
        blobs.goes_on.set()
    assert (await artifacts.aio.get((await saving).id)).size == len(b"content")
    artifacts.close()


class KeepingBlobs(DirectoryBlobs):
    """On a disk from which nothing can be removed, for some time."""

    is_well = False

    def plan_removal(self, sha256: str) -> Callable[[], None]:
        if not self.is_well:
            raise ArtifactsUnavailable(self.location, "the disk reports an error.")
        return super().plan_removal(sha256)


def test_what_is_deleted_is_deleted_also_if_its_content_cannot_be_removed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blobs = KeepingBlobs(tmp_path)
    with closing(Artifacts(tmp_path, blobs=blobs)) as artifacts:
        saved = artifacts.save(b"content")
        assert artifacts.delete(saved.id) == 1
        assert [each.id for each in artifacts.list().artifacts] == []
        assert "left for the next sweep" in caplog.text
        blobs.is_well = True
        assert artifacts.sweep().blobs == 1


def tasks_with_a_command(folder: Path) -> Tasks:
    tasks = Tasks(folder / "tasks.db")
    tasks.add_command("list", ["ls"])
    return tasks


model = Model(serializer=Json())


@model.train
def train(data: Table) -> int:
    return len(data)


@model.predict
def predict(future: Table) -> Table:
    return future


@pytest.mark.parametrize("kind", ["tasks", "models"])
async def test_jobs_that_would_save_elsewhere_are_refused_when_the_service_starts(tmp_path: Path, kind: str) -> None:
    artifacts = Artifacts(tmp_path, blobs=DirectoryBlobs(tmp_path / "elsewhere"))
    other: Feature = tasks_with_a_command(tmp_path) if kind == "tasks" else model
    with pytest.raises(ConfigurationError, match="would save beside `blobs` and `index`"):
        async with connect(service(artifacts, other)):
            pass
