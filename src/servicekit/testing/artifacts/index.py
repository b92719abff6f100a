"""What every index of artifacts promises, as tests."""

import hashlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from servicekit.artifacts.hierarchy import Hierarchy
from servicekit.artifacts.ports import ArtifactIndex
from servicekit.artifacts.record import Artifact, ArtifactFilter, Changes, KindStats, NewArtifact, Origin
from servicekit.errors import ArtifactConflict, ArtifactNotFound, InvalidContent
from servicekit.jobs.ids import JobIds
from servicekit.testing.suite import Suite

_ALL: Final = ArtifactFilter()
_ids: Final = JobIds()


class ArtifactIndexContract(Suite):
    """What every index promises."""

    def create_index(self, folder: Path) -> ArtifactIndex:
        """An index in the place of this folder, which is empty at first. It may derive a name from the folder's."""
        raise NotImplementedError(f"{type(self).__name__} has no create_index. Name the class that has it first.")

    @pytest.fixture
    def index(self, tmp_path: Path) -> Iterator[ArtifactIndex]:
        """The index under test."""
        index = self.create_index(tmp_path)
        yield index
        index.close()

    @pytest.fixture
    def other(self, tmp_path: Path) -> Iterator[ArtifactIndex]:
        """An index at the same place, as another process has it."""
        index = self.create_index(tmp_path)
        yield index
        index.close()

    def test_what_is_added_is_there_for_all(self, index: ArtifactIndex, other: ArtifactIndex) -> None:
        root = add(index, new(b"root", name="Wurzel", metadata='{"a": [1, null]}', tags=("one", "two")))
        child = add(index, new(b"child", parent_id=root.id, json_text='"child"', origin=Origin.UPLOAD))
        assert (root.level, root.parent_id, root.metadata, root.tags) == (0, None, {"a": [1, None]}, ("one", "two"))
        assert (child.level, child.parent_id, child.json_text, child.origin) == (1, root.id, '"child"', "upload")
        assert [other.get(each.id) for each in (root, child)] == [root, child]
        assert other.get(child.id).json_text == '"child"'
        index.close()
        assert index.get(root.id) == root

    def test_a_blob_is_placed_before_its_row_and_only_if_that_can_be_there(
        self, index: ArtifactIndex, other: ArtifactIndex
    ) -> None:
        placed, wanted = list[int](), new(b"content")
        index.add(wanted, lambda: placed.append(len(other.list(_ALL, 10, None).artifacts)))
        assert placed == [0]
        for wrong, error in [(wanted, ArtifactConflict), (new(b"x", parent_id=_ids.next_id()), ArtifactNotFound)]:
            with pytest.raises(error):
                index.add(wrong, lambda: placed.append(1))
        with pytest.raises(ZeroDivisionError):
            index.add(new(b"unplaced"), lambda: placed.append(1 // 0))
        assert placed == [0]
        assert ids_of(other.list(_ALL, 10, None).artifacts) == [wanted.id]

    def test_a_later_attempt_takes_the_place_of_an_earlier_one(self, index: ArtifactIndex) -> None:
        job_id = _ids.next_id()
        first = new(b"first", id=job_id, job_id=job_id, attempt=1, tags=("first",))
        add(index, first)
        for wrong in (first, replace(first, job_id=_ids.next_id(), attempt=2), replace(first, job_id=None)):
            with pytest.raises(ArtifactConflict, match=job_id):
                add(index, wrong)
        added = index.add(replace(first, attempt=3, sha256=hash_of(b"third"), tags=()), do_nothing)
        assert added.released == [first.sha256]
        assert (index.get(job_id).attempt, index.get(job_id).sha256) == (3, hash_of(b"third"))
        assert index.list(ArtifactFilter(tag="first"), 10, None).artifacts == ()
        assert index.get_stats().count == 1

    def test_kinds_stand_where_the_newest_hierarchies_have_them(
        self, index: ArtifactIndex, other: ArtifactIndex
    ) -> None:
        index.declare([Hierarchy("ml", ["data", "model"]), Hierarchy("files", ["folder", "file"])])
        data = add(other, new(b"data", kind="data"))
        assert add(other, new(b"model", kind="model", parent_id=data.id)).level_label == "model"
        assert add(other, new(b"note", kind="note", parent_id=data.id)).level_label is None
        for kind, parent_id in [("model", None), ("data", data.id), ("file", data.id)]:
            with pytest.raises(ArtifactConflict, match=kind):
                add(other, new(b"wrong", kind=kind, parent_id=parent_id))
        other.declare([Hierarchy("ml", ["model"])])
        assert add(index, new(b"model", kind="model")).level == 0
        assert add(index, new(b"data", kind="data", parent_id=data.id)).level_label is None
        with pytest.raises(ArtifactConflict):
            add(index, new(b"file", kind="file"))

    def test_some_of_it_changes(self, index: ArtifactIndex, other: ArtifactIndex) -> None:
        added = add(index, new(b"content", tags=("old",), keep="job", json_text='"content"'))
        changed = index.update(added.id, Changes(metadata='{"a":1}', tags=("new",), is_pinned=True))
        assert (changed.metadata, changed.tags, changed.keep, changed.sha256) == (
            {"a": 1}, ("new",), "always", added.sha256,
        )  # fmt: skip
        assert (changed.json_text, changed.created_at) == ('"content"', added.created_at)
        assert other.get(added.id) == changed
        assert other.list(ArtifactFilter(tag="old"), 10, None).artifacts == ()
        assert ids_of(other.list(ArtifactFilter(tag="new"), 10, None).artifacts) == [added.id]
        assert index.update(added.id, Changes()).tags == ("new",)
        assert index.update(added.id, Changes(is_pinned=False)).keep is None
        kept = add(index, new(b"kept", keep="job"))
        assert index.update(kept.id, Changes(is_pinned=False)).keep == "job"
        with pytest.raises(ArtifactNotFound):
            index.update(_ids.next_id(), Changes(tags=()))

    def test_what_is_removed_is_told_with_its_blobs(self, index: ArtifactIndex, other: ArtifactIndex) -> None:
        root = add(index, new(b"root", tags=("a",)))
        child = add(index, new(b"child", parent_id=root.id))
        add(index, new(b"root", parent_id=child.id))
        with pytest.raises(ArtifactConflict, match=root.id):
            index.remove(root.id, recursive=False)
        with pytest.raises(ArtifactNotFound):
            index.remove(_ids.next_id(), recursive=True)
        removed = index.remove(root.id, recursive=True)
        assert (removed.count, set(removed.released)) == (3, {root.sha256, child.sha256})
        with pytest.raises(ArtifactNotFound):
            other.get(child.id)
        assert other.list(ArtifactFilter(tag="a"), 10, None).artifacts == ()

    def test_only_blobs_without_a_row_are_removed(self, index: ArtifactIndex, other: ArtifactIndex) -> None:
        used = add(index, new(b"used"))
        add(index, new(b"inline", json_text='"inline"'))
        blobs, removed = [used.sha256, hash_of(b"inline"), hash_of(b"unknown")], list[str]()
        assert other.find_blobs(blobs) == {used.sha256}
        assert other.release(blobs, removed.append) == 2
        assert sorted(removed) == sorted(blobs[1:])

    def test_nobody_adds_a_row_while_a_blob_is_removed(self, index: ArtifactIndex, other: ArtifactIndex) -> None:
        order: list[str] = []
        placed = threading.Event()

        def place() -> None:
            order.append("placed")
            placed.set()

        with ThreadPoolExecutor(1) as threads:

            def remove(_: str) -> None:
                order.append("removing")
                threads.submit(other.add, new(b"content"), place)
                placed.wait(0.1)  # in vain: if it came later for lack of time, only a wrong index would not be found
                order.append("removed")

            index.release([hash_of(b"content")], remove)
        assert order == ["removing", "removed", "placed"]

    def test_every_row_has_its_blob_whatever_is_done_at_once(self, index: ArtifactIndex, other: ArtifactIndex) -> None:
        blobs: set[str] = set()

        def save_and_delete(number: int) -> None:
            at = (index, other)[number % 2]
            for _ in range(20):
                wanted = new(b"ab"[number % 2 :][:1])
                at.add(wanted, lambda sha256=wanted.sha256: blobs.add(sha256))  # type: ignore[misc]
                assert wanted.sha256 in blobs
                removed = at.remove(wanted.id, recursive=False)
                at.release(removed.released, blobs.discard)

        with ThreadPoolExecutor(6) as threads:
            list(threads.map(save_and_delete, range(6)))
        assert (blobs, index.get_stats().count) == (set(), 0)

    def test_pages_are_the_newest_first_and_do_not_shift(self, index: ArtifactIndex) -> None:
        job_id, root = _ids.next_id(), add(index, new(b"root"))
        facts = {"kind": "model", "tags": ("a", "b"), "job_id": job_id, "attempt": 1, "parent_id": root.id}
        added = [add(index, new(bytes(number), json_text="1", **facts)) for number in range(7)]
        wanted = ArtifactFilter(kind="model", parent_id=root.id, job_id=job_id, tag="b")
        first = index.list(wanted, 3, None)
        assert {each.json_text for each in first.artifacts} == {None}
        add(index, new(b"newer", **facts))
        index.remove(added[5].id, recursive=False)
        second = index.list(wanted, 4, first.next_cursor)
        assert (ids_of(first.artifacts), ids_of(second.artifacts)) == (ids_of(added[:3:-1]), ids_of(added[3::-1]))
        assert second.next_cursor is None
        for each in (ArtifactFilter(kind="x"), ArtifactFilter(tag="x"), ArtifactFilter(job_id=root.id)):
            assert index.list(each, 10, None).artifacts == ()
        with pytest.raises(InvalidContent):
            index.list(_ALL, 10, "no cursor")

    def test_a_tree_comes_level_by_level(self, index: ArtifactIndex) -> None:
        root = add(index, new(b"root"))
        children = [add(index, new(b"child", parent_id=root.id)) for _ in range(2)]
        below = [add(index, new(b"below", parent_id=child.id)) for child in reversed(children)]
        add(index, new(b"another root"))
        tree = index.get_tree(root.id, 10, None)
        assert (ids_of(tree.artifacts), tree.next_cursor) == (ids_of([root, *children, *below]), None)
        first = index.get_tree(root.id, 2, None)
        second = index.get_tree(root.id, 3, first.next_cursor)
        assert ids_of([*first.artifacts, *second.artifacts]) == ids_of(tree.artifacts)
        assert ids_of(index.list_ancestors(below[0].id, 10)) == ids_of([root, children[1], below[0]])
        assert ids_of(index.list_ancestors(below[0].id, 2)) == ids_of([children[1], below[0]])
        for call in (lambda: index.get_tree(_ids.next_id(), 1, None), lambda: index.list_ancestors(_ids.next_id(), 1)):
            with pytest.raises(ArtifactNotFound):
                call()

    def test_sizes_are_added_up(self, index: ArtifactIndex) -> None:
        assert (index.get_stats().by_kind, index.get_stats().bytes, index.sum_bytes()) == ({}, 0, {})
        for kind, content in [("a", b"12"), ("a", b"12"), ("b", b"12"), ("b", b"345")]:
            add(index, new(content, kind=kind))
        add(index, new(b"pinned", kind="b", keep="always"))
        stats = index.get_stats()
        assert (stats.count, stats.bytes) == (5, 11)
        assert stats.by_kind == {"a": KindStats(2, 2), "b": KindStats(3, 11)}
        assert index.sum_bytes() == {"a": 4, "b": 5}

    def test_what_may_expire_is_told_and_removed(self, index: ArtifactIndex) -> None:
        old, pinned, parent = (add(index, new(b"x", kind="a", keep=keep)) for keep in (None, "always", "job"))
        child = add(index, new(b"x", kind="b", parent_id=parent.id))
        found = index.list_expirable("a", limit=10)
        assert [(each.id, each.has_children) for each in found] == [(old.id, False), (parent.id, True)]
        assert (found[0].size, found[0].created_at) == (1, old.created_at)
        assert ids_of(index.list_expirable("a", after=found[0].number, limit=10)) == [parent.id]
        assert ids_of(index.list_expirable(None, except_kinds=["a"], limit=10)) == [child.id]
        assert ids_of(index.list_expirable(None, limit=2)) == [old.id, parent.id]
        assert index.remove_expired([old.id, pinned.id, parent.id, _ids.next_id()]).count == 1
        assert index.remove_expired([child.id]).released == [child.sha256]

    def test_what_is_kept_for_jobs_goes_with_them(self, index: ArtifactIndex) -> None:
        jobs = sorted(_ids.next_id() for _ in range(3))
        add(index, new(b"kept", job_id=jobs[1], attempt=1, keep="job"))
        add(index, new(b"kept", job_id=jobs[0], attempt=1, keep="job"))
        kept = add(index, new(b"kept", job_id=jobs[0], attempt=1, keep="job"))
        add(index, new(b"of the job as well", job_id=jobs[0], attempt=1))
        add(index, new(b"below", parent_id=kept.id))
        assert [*index.list_job_ids("", 10)] == jobs[:2]
        assert [*index.list_job_ids(jobs[0], 10)] == [jobs[1]]
        assert [*index.list_job_ids("", 1)] == [jobs[0]]
        assert index.remove_kept([jobs[0], jobs[2]]).count == 3
        assert [*index.list_job_ids("", 10)] == [jobs[1]]

    def test_what_an_owner_has_is_found_and_counted(self, index: ArtifactIndex, other: ArtifactIndex) -> None:
        mine = [add(index, new(b"same", owner="ana", kind=kind, tags=("t",))) for kind in ("a", "b", "a")]
        add(index, new(b"same", owner="ben", kind="a", tags=("t",)))
        add(index, new(b"nobody's", kind="a", tags=("t",)))
        assert [other.get(each.id).owner for each in mine] == ["ana"] * 3
        assert index.update(mine[0].id, Changes(metadata="{}")).owner == "ana"
        assert ids_of(other.list(ArtifactFilter(owner="ana"), 10, None).artifacts) == ids_of(mine[::-1])
        first = other.list(ArtifactFilter(owner="ana"), 2, None)
        assert ids_of(other.list(ArtifactFilter(owner="ana"), 2, first.next_cursor).artifacts) == [mine[0].id]
        for wanted in (ArtifactFilter(owner="ana", kind="a"), ArtifactFilter(owner="ana", kind="a", tag="t")):
            assert ids_of(other.list(wanted, 10, None).artifacts) == [mine[2].id, mine[0].id]
        assert other.list(ArtifactFilter(owner="an"), 10, None).artifacts == ()
        stats = other.get_stats("ana")
        assert (stats.count, stats.bytes, stats.by_kind) == (3, 4, {"a": KindStats(2, 4), "b": KindStats(1, 4)})
        assert (other.get_stats("eve").count, other.get_stats("eve").bytes) == (0, 0)
        assert other.get_stats().count == 5
        assert {each.owner for each in other.list(_ALL, 10, None).artifacts} == {"ana", "ben", None}

    def test_a_tree_of_several_owners_ends_where_another_begins(self, index: ArtifactIndex) -> None:
        root = add(index, new(b"root", owner="ana"))
        child = add(index, new(b"child", owner="ana", parent_id=root.id))
        others = [add(index, new(b"others", owner=owner, parent_id=root.id)) for owner in ("ben", None)]
        below = add(index, new(b"below", owner="ana", parent_id=others[0].id))
        last = add(index, new(b"last", owner="ana", parent_id=child.id))
        assert ids_of(index.get_tree(root.id, 10, None, "ana").artifacts) == ids_of([root, child, last])
        first = index.get_tree(root.id, 1, None, "ana")
        assert ids_of(index.get_tree(root.id, 5, first.next_cursor, "ana").artifacts) == ids_of([child, last])
        assert ids_of(index.get_tree(root.id, 10, None).artifacts) == ids_of([root, child, *others, below, last])
        for owner in ("ben", "nobody"):
            with pytest.raises(ArtifactNotFound):
                index.get_tree(root.id, 10, None, owner)

    def test_nobody_removes_what_is_anothers(self, index: ArtifactIndex) -> None:
        root = add(index, new(b"root", owner="ana"))
        own = add(index, new(b"own", owner="ana", parent_id=root.id))
        below = [add(index, new(b"below", owner=owner, parent_id=own.id)) for owner in ("ben", None)]
        for artifact in (root, own, *below):
            with pytest.raises(ArtifactNotFound):
                index.remove(artifact.id, recursive=True, owner="eve")
        for each in below:
            with pytest.raises(ArtifactConflict, match=f"Below the artifact {root.id} are others that are not yours"):
                index.remove(root.id, recursive=True, owner="ana")
            with pytest.raises(ArtifactConflict):
                index.remove(own.id, recursive=False, owner="ana")
            index.remove(each.id, recursive=False)
        assert index.get_stats().count == 2
        assert index.remove(root.id, recursive=True, owner="ana").count == 2


def new(content: bytes, **facts: Any) -> NewArtifact:
    """An artifact that can be added."""
    given: dict[str, Any] = {
        "id": _ids.next_id(), "parent_id": None, "kind": "artifact", "name": None, "media_type": "application/json",
        "size": len(content), "sha256": hash_of(content), "metadata": "{}", "tags": (), "job_id": None,
        "attempt": None, "origin": Origin.CODE, "keep": None, "is_table": False, "json_text": None,
    }  # fmt: skip
    return NewArtifact(**given | facts)


def add(index: ArtifactIndex, wanted: NewArtifact) -> Artifact:
    """Add an artifact whose blob need not be placed."""
    return index.add(wanted, do_nothing).artifact


def do_nothing() -> None:
    """Place nothing."""


def hash_of(content: bytes) -> str:
    """The SHA-256 of a content."""
    return hashlib.sha256(content).hexdigest()


def ids_of(artifacts: Any) -> list[str]:
    """The ids of what was found."""
    return [each.id for each in artifacts]
