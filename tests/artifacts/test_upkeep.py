"""What retention and the sweep of jobs ask of the index."""

from pathlib import Path

import pytest

from servicekit.artifacts import Artifact, Artifacts, KindStats
from servicekit.artifacts.record import NewArtifact, Origin
from servicekit.errors import ArtifactConflict, ArtifactsUnavailable
from servicekit.jobs.ids import JobIds
from tests.artifacts.files import check_files, list_blobs

ids = JobIds()


def save_for(
    artifacts: Artifacts, job_id: str, content: bytes, *, artifact_id: str | None = None, attempt: int = 1
) -> Artifact:
    """Save as an attempt of this job."""
    storage = artifacts.storage
    with storage.blobs.stage() as staged:
        staged.write(content)
        staged.finish()
        new = NewArtifact(
            id=artifact_id or ids.next_id(), parent_id=None, kind="model", name=None, media_type="text/plain",
            size=staged.size, sha256=staged.sha256, metadata="{}", tags=(), job_id=job_id, attempt=attempt,
            origin=Origin.JOB, keep="job", is_table=False, json_text=None,
        )  # fmt: skip
        return storage.add(new, staged)


def test_sizes_are_told_by_kind_and_the_same_content_counts_once(artifacts: Artifacts) -> None:
    assert artifacts.stats().by_kind == {}
    for kind, content in [("a", b"12"), ("a", b"12"), ("b", b"12"), ("b", b"345")]:
        artifacts.save(content, kind=kind)
    artifacts.save(b"pinned", kind="b", keep="always")
    stats = artifacts.stats()
    assert stats.by_kind == {"a": KindStats(2, 2), "b": KindStats(3, 11)}
    assert (stats.count, stats.bytes) == (5, 11)
    assert artifacts.storage.index.sum_bytes() == {"a": 4, "b": 5}


def test_the_oldest_go_first_but_for_the_pinned_and_for_parents(artifacts: Artifacts) -> None:
    index = artifacts.storage.index
    old = artifacts.save(b"old", kind="a")
    pinned = artifacts.save(b"pinned", kind="a", keep="always")
    parent = artifacts.save(b"parent", kind="a")
    child = artifacts.save(b"child", kind="b", parent=parent)
    expirable = index.list_expirable("a", limit=10)
    assert [(each.id, each.has_children) for each in expirable] == [(old.id, False), (parent.id, True)]
    assert (expirable[0].size, expirable[0].created_at) == (3, old.created_at)
    assert [each.id for each in index.list_expirable("a", after=expirable[0].number, limit=10)] == [parent.id]
    assert [each.id for each in index.list_expirable(None, except_kinds=["a"], limit=10)] == [child.id]
    assert [each.id for each in index.list_expirable(None, limit=2)] == [old.id, parent.id]
    assert artifacts.storage.remove_expired([old.id, pinned.id, parent.id, ids.next_id()]) == 1
    assert list_blobs(artifacts) == {pinned.sha256, parent.sha256, child.sha256}
    check_files(artifacts)


def test_what_is_kept_for_a_job_goes_with_it(artifacts: Artifacts) -> None:
    jobs = sorted(ids.next_id() for _ in range(3))
    first, second = save_for(artifacts, jobs[0], b"first"), save_for(artifacts, jobs[0], b"second")
    other = save_for(artifacts, jobs[1], b"first")
    artifacts.save(b"below", parent=first)
    index = artifacts.storage.index
    assert index.list_job_ids("", 10) == jobs[:2]
    assert index.list_job_ids("", 1) == jobs[:1]
    assert index.list_job_ids(jobs[0], 10) == jobs[1:2]
    assert artifacts.storage.remove_kept([jobs[0], jobs[2]]) == 3
    assert list_blobs(artifacts) == {other.sha256}
    assert second.sha256 not in list_blobs(artifacts)
    check_files(artifacts)


def test_what_cannot_take_the_place_of_an_earlier_attempt_leaves_it_there(
    artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = ids.next_id()
    first = save_for(artifacts, job_id, b"first", artifact_id=job_id)

    def fail(*_: object) -> None:
        raise ArtifactsUnavailable("blobs", "the disk reports an error.")

    with monkeypatch.context() as patch:
        patch.setattr(artifacts.storage.blobs, "place", fail)
        with pytest.raises(ArtifactsUnavailable):
            save_for(artifacts, job_id, b"second", artifact_id=job_id, attempt=2)
    assert artifacts.get(job_id) == first
    assert artifacts.load(job_id) == "first"
    with pytest.raises(ArtifactConflict, match="below itself"):
        save_below_itself(artifacts, job_id, first)
    child = artifacts.save(b"child", parent=first)
    with pytest.raises(ArtifactConflict, match="has others below it"):
        save_below_itself(artifacts, job_id, child)
    second = save_for(artifacts, job_id, b"second", artifact_id=job_id, attempt=2)
    assert [each.id for each in artifacts.tree(second.id).artifacts] == [second.id, child.id]
    check_files(artifacts)


def save_below_itself(artifacts: Artifacts, job_id: str, parent: Artifact) -> None:
    new = NewArtifact(
        id=job_id, parent_id=parent.id, kind="model", name=None, media_type="application/json", size=1, sha256="00",
        metadata="{}", tags=(), job_id=job_id, attempt=2, origin=Origin.JOB, keep=None, is_table=False, json_text="1",
    )  # fmt: skip
    artifacts.storage.add(new, None)


def test_a_sweep_removes_what_a_crash_has_left_and_nothing_else(artifacts: Artifacts) -> None:
    saved = artifacts.save(b"content")
    left = Path(artifacts.address, "blobs", "ab", "ab" * 32)
    left.parent.mkdir()
    left.write_bytes(b"left by a crash")
    (left.parent / "notes.txt").write_text("no blob")
    (Path(artifacts.address, "staging") / "0123").write_bytes(b"left by a crash")
    swept = artifacts.sweep()
    assert (swept.blobs, swept.temporary_files) == (1, 1)
    assert artifacts.load(saved.id) == b"content"
    assert [path.name for path in left.parent.iterdir()] == ["notes.txt"]
    assert artifacts.sweep().blobs == 0


@pytest.mark.parametrize("count", [1_001])
def test_a_sweep_of_many_blobs_is_done_in_parts(artifacts: Artifacts, count: int) -> None:
    saved = artifacts.save(b"content")
    for number in range(count):
        path = Path(artifacts.address, "blobs", f"{number % 256:02x}", f"{number % 256:02x}{number:062x}")
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert artifacts.sweep().blobs == count
    assert list_blobs(artifacts) == {saved.sha256}
