"""What goes by itself: what is too old or too much, and what belongs to jobs that are gone."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from servicekit import Retention, create_scheduler
from servicekit.api import Service, ServiceBuilder, ServiceInfo
from servicekit.artifacts import ArtifactBounds, ArtifactRetention, Artifacts, expiry
from servicekit.artifacts.expiry import drop_expired
from servicekit.errors import ConfigurationError
from tests.artifacts.served import URL, connect, files_in, service

AT_ONCE = timedelta(0)


def drop(artifacts: Artifacts, **bounds: object) -> list[object]:
    """Apply a retention once, and return the contents that are left, the oldest first."""
    drop_expired(artifacts.storage, ArtifactRetention(**bounds))  # type: ignore[arg-type]
    return [artifacts.load(each.id) for each in reversed(artifacts.list().artifacts)]


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what another thread does in a moment."""
    async with asyncio.timeout(60):
        while not await asyncio.to_thread(condition):
            await asyncio.sleep(0.01)


def test_there_is_no_retention_by_default(artifacts: Artifacts) -> None:
    artifacts.save(1)
    assert drop(artifacts) == [1]
    assert artifacts.retention is None


def test_what_is_too_old_goes(artifacts: Artifacts) -> None:
    artifacts.save(1)
    assert drop(artifacts, max_age=timedelta(days=1)) == [1]
    assert drop(artifacts, max_age=AT_ONCE) == []


def test_the_oldest_go_first_if_there_is_too_much(artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expiry, "_BATCH", 3)  # so that there are several pages
    for number in range(10):
        artifacts.save(b"%04d" % number)
    assert drop(artifacts, max_bytes=12) == [b"0007", b"0008", b"0009"]
    assert drop(artifacts, max_bytes=11) == [b"0008", b"0009"]
    assert files_in(artifacts) == sorted(
        f"blobs/{each.sha256[:2]}/{each.sha256}" for each in artifacts.list().artifacts
    )


def test_what_is_pinned_stays_and_does_not_count(artifacts: Artifacts) -> None:
    artifacts.save(b"pinned", keep="always")
    artifacts.save(b"old")
    artifacts.save(b"new")
    assert drop(artifacts, max_bytes=3) == [b"pinned", b"new"]
    assert drop(artifacts, max_age=AT_ONCE) == [b"pinned"]


def test_kinds_have_bounds_of_their_own(artifacts: Artifacts) -> None:
    for kind in ("upload", "model", "upload", "other"):
        artifacts.save(kind, kind=kind)
    by_kind = {"upload": ArtifactBounds(max_bytes=6), "model": ArtifactBounds()}
    assert drop(artifacts, by_kind=by_kind) == ["model", "upload", "other"]
    assert drop(artifacts, by_kind=by_kind, max_age=AT_ONCE) == ["model", "upload"]


def test_kinds_with_bounds_of_their_own_do_not_count_within_the_others(artifacts: Artifacts) -> None:
    for kind in ("upload", "upload", "other"):
        artifacts.save(kind, kind=kind)
    bounds = {"by_kind": {"upload": ArtifactBounds(max_bytes=12)}, "max_bytes": 5}
    assert drop(artifacts, **bounds) == ["upload", "upload", "other"]


def test_what_cannot_go_makes_no_room(artifacts: Artifacts) -> None:
    root = artifacts.save("x" * 100)
    artifacts.save("pinned", parent=root, keep="always")
    artifacts.save("old")
    artifacts.save("new")
    assert drop(artifacts, max_bytes=103) == ["x" * 100, "pinned", "new"]


def test_what_others_stand_on_goes_after_them(artifacts: Artifacts) -> None:
    root = artifacts.save("root", kind="model")
    artifacts.save("below", parent=root, kind="prediction")
    assert drop(artifacts, by_kind={"model": ArtifactBounds(max_age=AT_ONCE)}) == ["root", "below"]
    assert drop(artifacts, max_age=AT_ONCE) == []


def test_a_chain_goes_from_its_end(artifacts: Artifacts) -> None:
    parent = artifacts.save(0)
    for number in range(1, 10):
        parent = artifacts.save(number, parent=parent)
    artifacts.save("pinned", parent=parent, keep="always")
    assert drop(artifacts, max_age=AT_ONCE) == [*range(10), "pinned"]
    artifacts.delete(artifacts.list().artifacts[0].id)
    assert drop(artifacts, max_age=AT_ONCE) == []


@pytest.mark.parametrize(
    "bounds", [{"max_age": 5}, {"max_age": timedelta(-1)}, {"max_bytes": 0}, {"max_bytes": 1.5}, {"by_kind": {"a": 1}}]
)
def test_bounds_that_make_no_sense_are_refused(bounds: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        ArtifactRetention(**bounds)  # type: ignore[arg-type]


async def test_a_service_lets_go_what_is_too_old(tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path, retention=ArtifactRetention(max_age=timedelta(milliseconds=1)))
    async with connect(artifacts) as client:
        saved = await artifacts.aio.save(b"x" * 100_000)
        await until(lambda: not artifacts.list().artifacts)
        assert (await client.get(f"{URL}/{saved.id}")).status_code == 404
    assert files_in(artifacts) == []


async def test_what_a_crash_has_left_is_swept_at_the_start(artifacts: Artifacts) -> None:
    await artifacts.aio.save(b"x")
    lost = Path(artifacts.address, "staging", "lost")
    await asyncio.to_thread(lost.write_bytes, b"of a process that has died")
    async with connect(artifacts):
        await until(lambda: not lost.exists())
    assert len(files_in(artifacts)) == 1


@pytest.mark.parametrize("jobs", ["memory", "sqlite"])
async def test_what_is_kept_with_a_job_goes_when_the_job_is_deleted(
    artifacts: Artifacts, tmp_path: Path, jobs: str
) -> None:
    async def make() -> None:
        kept = await artifacts.aio.save("kept")
        await artifacts.aio.save("with the job", keep="job")
        await artifacts.aio.save("below", parent=kept, keep="job")

    app = service(artifacts, jobs_url="memory://" if jobs == "memory" else f"sqlite:///{tmp_path / 'jobs.db'}")
    async with connect(app):
        scheduler = Service.of(app).scheduler
        job_id = await scheduler.add_job(make)
        other_id = await scheduler.add_job(make)
        for each in (job_id, other_id):
            await scheduler.wait(each)
        await scheduler.delete(job_id)
        await until(lambda: len(artifacts.list().artifacts) == 4)
        left = {(each.job_id, await artifacts.aio.load(each.id)) for each in (await artifacts.aio.list()).artifacts}
        assert left == {(job_id, "kept"), (other_id, "kept"), (other_id, "with the job"), (other_id, "below")}


async def test_a_job_that_is_deleted_as_the_service_stops_takes_its_artifacts_along(artifacts: Artifacts) -> None:
    async def make() -> None:
        await artifacts.aio.save(1, keep="job")

    app = service(artifacts)
    async with connect(app):
        scheduler = Service.of(app).scheduler
        job_id = await scheduler.add_job(make)
        await scheduler.wait(job_id)
        await scheduler.delete(job_id)
    assert (await artifacts.aio.list()).artifacts == ()


OFTEN = ArtifactRetention(by_kind={"none": ArtifactBounds(max_age=AT_ONCE)})
"""It drops nothing here, and lets the service look after its jobs all the time."""


async def test_what_is_kept_with_a_job_goes_when_retention_drops_the_job(tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path, retention=OFTEN)

    async def make() -> None:
        await artifacts.aio.save("with the job", keep="job")
        await artifacts.aio.save("kept")

    builder = ServiceBuilder(info=ServiceInfo(display_name="Short")).with_artifacts(artifacts)
    app = builder.with_jobs(url="memory://", retention=Retention(max_age=timedelta(milliseconds=1))).build()
    async with connect(app):
        await Service.of(app).scheduler.add_job(make)
        await until(lambda: [each.keep for each in artifacts.list().artifacts] == [None])


async def test_what_is_kept_with_a_job_goes_when_another_process_deletes_the_job(tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path / "artifacts", retention=OFTEN)
    url = f"sqlite:///{tmp_path / 'jobs.db'}"

    async def make() -> None:
        await artifacts.aio.save("with the job", keep="job")
        await artifacts.aio.save("kept")

    app = service(artifacts, jobs_url=url)
    async with connect(app), create_scheduler(url, run_jobs=False) as other:
        scheduler = Service.of(app).scheduler
        job_id = await scheduler.add_job(make)
        await scheduler.wait(job_id)
        await other.delete(job_id)  # nobody tells the listeners of the service
        await until(lambda: [each.keep for each in artifacts.list().artifacts] == [None])


async def test_jobs_of_another_process_in_memory_are_left_alone(tmp_path: Path) -> None:
    """Each process of a service with `memory://` knows only its own jobs, and all have the same artifacts."""
    one, other = Artifacts(tmp_path), Artifacts(tmp_path, retention=OFTEN)

    async def make() -> str:
        return (await one.aio.save("with the job", keep="job")).id

    first, second = service(one), service(other)
    async with connect(first), connect(second):
        scheduler = Service.of(first).scheduler
        saved_id = await scheduler.add_job(make)
        await scheduler.wait(saved_id)
        marker = await other.aio.save("marker", kind="none")
        await until(lambda: marker.id not in [each.id for each in other.list().artifacts])  # a whole turn is over
        assert [each.job_id for each in (await other.aio.list()).artifacts] == [saved_id]


async def test_a_directory_that_fails_is_tried_again(tmp_path: Path) -> None:
    retention = ArtifactRetention(max_age=timedelta(milliseconds=1))
    artifacts = Artifacts(tmp_path / "artifacts", retention=retention)
    (tmp_path / "artifacts").write_text("a file is in the way")
    async with connect(artifacts) as client:
        response = await client.post(URL, json={"data": 1})
        assert (response.status_code, "retry-after" in response.headers) == (503, True)
        (tmp_path / "artifacts").unlink()
        assert (await client.post(URL, json={"data": 1})).status_code == 201
        await until(lambda: not artifacts.list().artifacts)
