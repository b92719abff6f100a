"""What stands above and below an artifact."""

import threading
from pathlib import Path

import pytest

from servicekit.artifacts import Artifact, Artifacts, Hierarchy
from servicekit.errors import ArtifactConflict, ArtifactNotFound, InvalidContent
from tests.artifacts.files import check_files, list_blobs

ML = Hierarchy("ml", ["data", "model", "prediction"])


def ids_of(artifacts: "tuple[Artifact, ...] | list[Artifact]") -> list[str]:
    return [each.id for each in artifacts]


def save_chain(artifacts: Artifacts, length: int) -> list[Artifact]:
    chain = [artifacts.save({"level": 0})]
    while len(chain) < length:
        chain.append(artifacts.save({"level": len(chain)}, parent=chain[-1]))
    return chain


def test_lists_are_the_newest_first_and_have_no_content(artifacts: Artifacts) -> None:
    saved = [artifacts.save({"number": number}, kind=f"k{number % 2}", tags=[f"t{number % 3}"]) for number in range(12)]
    page = artifacts.list()
    assert ids_of(page.artifacts) == ids_of(saved[::-1])
    assert {each.json_text for each in page.artifacts} == {None}
    assert ids_of(artifacts.list(kind="k1").artifacts) == ids_of(saved[1::2][::-1])
    assert ids_of(artifacts.list(tag="t0").artifacts) == ids_of(saved[::3][::-1])
    assert ids_of(artifacts.list(tag="t0", kind="k1").artifacts) == ids_of(saved[3::6][::-1])
    child = artifacts.save(1, parent=saved[0])
    assert ids_of(artifacts.list(parent=saved[0]).artifacts) == [child.id]
    assert artifacts.list(job=child.id).artifacts == ()


@pytest.mark.parametrize("options", [{}, {"kind": "k"}, {"tag": "t"}])
def test_pages_do_not_shift(artifacts: Artifacts, options: dict[str, str]) -> None:
    saved = [artifacts.save(number, kind="k", tags=["t"]) for number in range(10)]
    first = artifacts.list(limit=4, **options)
    artifacts.save("new", kind="k", tags=["t"])
    artifacts.delete(saved[6].id)
    artifacts.delete(saved[4].id)
    second = artifacts.list(limit=4, cursor=first.next_cursor, **options)
    third = artifacts.list(limit=4, cursor=second.next_cursor, **options)
    assert [ids_of(page.artifacts) for page in (first, second, third)] == [
        ids_of(saved[:5:-1]),
        ids_of([saved[5], saved[3], saved[2], saved[1]]),
        ids_of(saved[:1]),
    ]
    assert third.next_cursor is None


def test_limits_and_cursors_are_checked(artifacts: Artifacts) -> None:
    saved = artifacts.save(1)
    for limit in (0, -1, 1_001, True, "5"):
        with pytest.raises(InvalidContent) as caught:
            artifacts.list(limit=limit)  # type: ignore[arg-type]
        assert caught.value.place == ("limit",)
    for cursor in ("", "x", "1-2", "-1", "9" * 30, "1;2"):
        with pytest.raises(InvalidContent) as caught:
            artifacts.list(cursor=cursor)
        assert caught.value.place == ("cursor",)
    with pytest.raises(InvalidContent):
        artifacts.tree(saved.id, cursor="1")


def test_a_tree_comes_level_by_level_and_in_pages(artifacts: Artifacts) -> None:
    root = artifacts.save("root")
    artifacts.save("another root")
    children = [artifacts.save(number, parent=root) for number in range(3)]
    grandchildren = [artifacts.save(number, parent=child) for child in children[::-1] for number in range(2)]
    tree = artifacts.tree(root.id)
    assert ids_of(tree.artifacts) == ids_of([root, *children, *grandchildren])
    assert [each.level for each in tree.artifacts] == [0, 1, 1, 1, 2, 2, 2, 2, 2, 2]
    assert ids_of(artifacts.tree(children[0].id).artifacts) == ids_of([children[0], *grandchildren[4:]])
    found, cursor = list[str](), None
    for _ in range(5):
        page = artifacts.tree(root.id, limit=2, cursor=cursor)
        found += ids_of(page.artifacts)
        cursor = page.next_cursor
    assert (found, cursor) == (ids_of(tree.artifacts), None)


def test_a_chain_may_be_of_any_depth(artifacts: Artifacts) -> None:
    chain = save_chain(artifacts, 1_010)
    assert chain[-1].level == 1_009
    nearest = artifacts.ancestors(chain[-1].id)
    assert ids_of(nearest) == ids_of(chain[10:])
    assert nearest[0].parent_id is not None
    assert ids_of(artifacts.ancestors(nearest[0].parent_id)) == ids_of(chain[:10])
    assert ids_of(artifacts.ancestors(chain[-1].id, limit=1)) == ids_of(chain[-1:])
    page = artifacts.tree(chain[0].id)
    assert ids_of(page.artifacts) == ids_of(chain[:1_000])
    assert ids_of(artifacts.tree(chain[0].id, cursor=page.next_cursor).artifacts) == ids_of(chain[1_000:])
    assert artifacts.delete(chain[0].id, recursive=True) == 1_010
    assert artifacts.stats().count == 0


def test_a_parent_is_deleted_only_with_what_is_below(artifacts: Artifacts) -> None:
    root = artifacts.save(b"root")
    child = artifacts.save(b"child", parent=root)
    artifacts.save(b"grandchild", parent=child)
    other = artifacts.save(b"other")
    with pytest.raises(ArtifactConflict, match="recursive") as caught:
        artifacts.delete(root.id)
    assert caught.value.artifact_id == root.id
    assert artifacts.stats().count == 4
    assert artifacts.delete(root.id, recursive=True) == 3
    assert list_blobs(artifacts) == {other.sha256}
    check_files(artifacts)


def test_kinds_stand_where_their_hierarchy_has_them(tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path, hierarchy=ML)
    data = artifacts.save(b"data", kind="data")
    model = artifacts.save(b"model", kind="model", parent=data)
    assert (data.level, data.level_label, model.level, model.level_label) == (0, "data", 1, "model")
    note = artifacts.save("a note", kind="note", parent=model)
    assert (note.level, note.level_label) == (2, None)
    for kind, parent, reason in [
        ("data", model, "'data' has no parent, but the parent's kind is 'model'"),
        ("model", None, "'model' stands directly below one of the kind 'data', but this one has none"),
        ("prediction", data, "directly below one of the kind 'model', but the parent's kind is 'data'"),
        ("prediction", note, "the parent's kind is 'note'"),
    ]:
        with pytest.raises(ArtifactConflict, match=reason):
            artifacts.save(b"wrong", kind=kind, parent=parent)
    check_files(artifacts)
    artifacts.close()


def test_every_process_obeys_the_hierarchies(tmp_path: Path) -> None:
    made = Artifacts(tmp_path, hierarchy=ML)
    made.stats()
    other = Artifacts.at(made.address)
    with pytest.raises(ArtifactConflict):
        other.save(1, kind="model")
    other.add_hierarchy(Hierarchy("files", ["folder", "file"]))
    other.add_hierarchy(Hierarchy("files", ["folder", "file"]))
    with pytest.raises(ArtifactConflict):
        made.save(1, kind="file")
    newer = Artifacts(tmp_path, hierarchy=Hierarchy("ml", ["model", "prediction"]))
    assert newer.save(1, kind="model").level_label == "model"
    assert newer.save(1, kind="data").level_label is None
    for each in (made, other, newer):
        each.close()


def test_no_child_stays_without_its_parent(artifacts: Artifacts) -> None:
    """Children are saved while their parents are deleted."""
    parents = [artifacts.save(number) for number in range(100)]
    lost: list[bool] = []

    def save_children() -> None:
        for parent in parents:
            try:
                artifacts.save(b"child", parent=parent)
            except ArtifactNotFound as error:
                lost.append(error.artifact_id == parent.id)

    saver = threading.Thread(target=save_children)
    saver.start()
    for parent in reversed(parents):
        artifacts.delete(parent.id, recursive=True)
    saver.join()
    assert lost
    assert all(lost)
    left = artifacts.list(limit=1_000).artifacts
    assert {each.parent_id for each in left} <= {each.id for each in left}
    assert artifacts.stats().count == 0
    check_files(artifacts)
