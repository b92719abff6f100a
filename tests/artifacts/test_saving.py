"""Saving and reading."""

import asyncio
import gc
import hashlib
import io
import json
import os
import stat
import subprocess
import sys
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from math import isfinite
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from servicekit import Retention
from servicekit.artifacts import Artifacts, Hierarchy, Origin, Table
from servicekit.artifacts.strict_json import read_json, without_collector, write_json
from servicekit.errors import (
    ArtifactConflict,
    ArtifactNotFound,
    ConfigurationError,
    InvalidArtifactId,
    InvalidContent,
    WouldBlock,
)
from servicekit.jobs.ids import JobIds
from tests.artifacts.files import check_files, list_blobs, list_staged

ids = JobIds()
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda part: st.lists(part) | st.dictionaries(st.text(), part),
)
LARGE = "x" * 70_000
"""As JSON it is too large for a row."""


def test_bytes_come_back(artifacts: Artifacts) -> None:
    saved = artifacts.save(b"\x00\xff")
    assert artifacts.get(saved.id) == saved
    assert artifacts.load(saved.id) == b"\x00\xff"
    assert (saved.size, saved.sha256) == (2, hashlib.sha256(b"\x00\xff").hexdigest())
    assert (saved.kind, saved.media_type, saved.name) == ("artifact", "application/octet-stream", None)
    assert (saved.origin, saved.job_id, saved.attempt, saved.keep) == (Origin.CODE, None, None, None)
    assert (saved.parent_id, saved.level, saved.level_label) == (None, 0, None)
    assert saved.data is None
    assert abs(datetime.now(UTC) - saved.created_at) < timedelta(minutes=5)


@pytest.mark.parametrize("content", [b"", bytearray(b"ab"), memoryview(b"abcd")[::1], io.BytesIO(b"ab")])
def test_all_that_has_bytes_is_saved(artifacts: Artifacts, content: object) -> None:
    expected = content.getvalue() if isinstance(content, io.BytesIO) else bytes(content)  # type: ignore[call-overload]
    assert artifacts.load(artifacts.save(content).id) == expected


def test_a_file_is_saved_with_its_name_and_type(artifacts: Artifacts, tmp_path: Path) -> None:
    path = tmp_path / "rain.csv"
    path.write_bytes(b"a,b\n1,2\n")
    saved = artifacts.save(path)
    assert (saved.name, saved.media_type, saved.size) == ("rain.csv", "text/csv", 8)
    assert artifacts.load(saved.id) == "a,b\n1,2\n"
    path.write_bytes(b"changed")
    assert artifacts.load(saved.id) == "a,b\n1,2\n"


def test_a_path_is_the_services_own_so_a_link_is_followed(artifacts: Artifacts, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link.txt").symlink_to("file")
    saved = artifacts.save(tmp_path / "artifacts" / ".." / "link.txt")
    assert (saved.name, artifacts.load(saved.id)) == ("link.txt", "content")
    path = artifacts.path(saved.id)
    assert path is not None
    assert not path.is_symlink()


def test_a_name_that_is_no_line_is_not_taken_from_a_file(artifacts: Artifacts, tmp_path: Path) -> None:
    path = tmp_path / "two\nlines"
    path.touch()
    assert artifacts.save(path).name is None


def test_an_open_file_is_read_from_where_it_is(artifacts: Artifacts, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123")
    with path.open("rb") as file:
        file.seek(2)
        assert artifacts.load(artifacts.save(file).id) == b"23"


def test_what_cannot_be_read_as_bytes_is_refused(artifacts: Artifacts, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidContent, match="open for text"):
        artifacts.save(io.StringIO("text"))
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(InvalidContent, match="no plain file"):
            artifacts.save(path)
    with pytest.raises(IsADirectoryError):
        artifacts.save(tmp_path)
    with pytest.raises(FileNotFoundError):
        artifacts.save(tmp_path / "nothing")
    assert list_staged(artifacts) == []
    assert list_blobs(artifacts) == set()


def test_a_text_is_a_text_and_never_a_path(artifacts: Artifacts) -> None:
    saved = artifacts.save("/etc/passwd ✓")
    assert saved.media_type == "text/plain; charset=utf-8"
    assert artifacts.load(saved.id) == "/etc/passwd ✓"
    latin = artifacts.save("é".encode("latin-1"), media_type='text/plain; charset="latin-1"')
    assert artifacts.load(latin.id) == "é"
    with pytest.raises(InvalidContent, match="no text/plain"):
        artifacts.load(artifacts.save(b"\xff", media_type="text/plain").id)


@pytest.mark.parametrize("value", [None, True, 0, 1.5, "text", [], {"a": [1, None, {"b": "ü"}]}, LARGE, [LARGE]])
def test_json_comes_back(artifacts: Artifacts, value: object) -> None:
    saved = artifacts.save(value, as_json=True)
    assert (saved.media_type, saved.is_json) == ("application/json", True)
    assert artifacts.load(saved.id) == value
    with artifacts.open(saved.id) as file:
        text = file.read()
    assert json.loads(text) == value
    assert (len(text), hashlib.sha256(text).hexdigest()) == (saved.size, saved.sha256)
    is_large = LARGE in json.dumps(value)
    assert artifacts.get(saved.id).data == (None if is_large else value)
    assert len(list_blobs(artifacts)) == is_large
    path = artifacts.path(saved.id)
    assert (path.read_bytes() if path else None) == (text if is_large else None)


def test_a_json_text_is_read_and_checked(artifacts: Artifacts) -> None:
    assert artifacts.save(b' {"a": 1e0} ', as_json=True).json_text == '{"a":1.0}'
    for text, reason in [(b"{", "no JSON"), (b"\xff", "no UTF-8"), (b"[0, NaN]", "nan is no JSON"), (b"", "no JSON")]:
        with pytest.raises(InvalidContent, match=reason):
            artifacts.save(text, as_json=True)


@pytest.mark.parametrize(
    ("value", "place", "reason"),
    [
        ({"rows": [1.0, {"x": float("nan")}]}, ("data", "rows", 1, "x"), "nan is no JSON"),
        ([[1], [2, float("-inf")]], ("data", 1, 1), "-inf is no JSON"),
        ({"when": datetime(2026, 1, 1, tzinfo=UTC)}, ("data", "when"), "datetime.datetime is no JSON"),
        (["\ud800"], ("data", 0), "surrogate"),
        ({1, 2}, ("data",), "builtins.set is no JSON"),
    ],
)
def test_json_is_strict_and_says_where(
    artifacts: Artifacts, value: object, place: tuple[object, ...], reason: str
) -> None:
    with pytest.raises(InvalidContent, match=reason) as caught:
        artifacts.save(value)
    assert caught.value.place == place
    assert artifacts.stats().count == 0


def nest(depth: int) -> list[object]:
    value: list[object] = []
    for _ in range(depth - 1):
        value = [value]
    return value


def test_what_is_nested_too_deeply_is_refused(artifacts: Artifacts) -> None:
    assert artifacts.load(artifacts.save(nest(200)).id) == nest(200)
    circle: list[object] = []
    circle.append(circle)
    texts = ["[" * depth + "]" * depth for depth in (201, 5_000, 100_000)]
    objects = ['{"a":' * 5_000 + "1" + "}" * 5_000]
    for value in [nest(201), nest(5_000), {"a": circle}, *(text.encode() for text in (*texts, *objects))]:
        with pytest.raises(InvalidContent, match=r"nested more than 200 deep|no JSON"):
            artifacts.save(value, as_json=True)
    with pytest.raises(InvalidContent, match="200 deep"):
        artifacts.save({}, metadata={"a": nest(201)})
    brackets = ["[" * 500, '"]' * 500]
    assert artifacts.load(artifacts.save(brackets).id) == brackets


def test_a_text_that_ends_within_a_string_is_refused_in_one_pass(artifacts: Artifacts) -> None:
    # Looked through again from each of its quotes, it would take hours, in which nothing else of the process runs.
    text = b"[" * 201 + b'"' + b'\\"' * 500_000
    for content in (text, text + b"\\"):
        saved = artifacts.save(content, media_type="application/json")
        with pytest.raises(InvalidContent, match=r"nested more than 200 deep|no JSON"):
            artifacts.load(saved.id)


def test_the_collector_goes_on_when_two_threads_have_read_json_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    other = ExitStack()
    other.enter_context(without_collector())

    def ask_and_wait() -> bool:
        with monkeypatch.context() as usual:
            usual.setattr(gc, "isenabled", is_enabled)
            answer = is_enabled()
            other.close()  # the other thread is done, just when this one has asked
            return answer

    is_enabled = gc.isenabled
    with monkeypatch.context() as patched:
        patched.setattr(gc, "isenabled", ask_and_wait)
        with without_collector():
            pass
    assert gc.isenabled()


@settings(max_examples=40)
@given(JSON)
def test_any_json_comes_back_or_is_refused(value: object) -> None:
    if is_finite(value):
        assert read_json(write_json(value)) == value
    else:
        with pytest.raises(InvalidContent, match="no JSON"):
            write_json(value)


def is_finite(value: object) -> bool:
    if isinstance(value, dict | list):
        return all(map(is_finite, value.values() if isinstance(value, dict) else value))
    return not isinstance(value, float) or isfinite(value)


def test_a_table_comes_back_as_a_table(artifacts: Artifacts) -> None:
    table = Table(["a", "b"], [[1, "x"], [None, "y"]])
    saved = artifacts.save(table, kind="data")
    assert (saved.media_type, saved.is_table) == ("application/json", True)
    assert saved.data == {"columns": ["a", "b"], "data": [[1, "x"], [None, "y"]]}
    assert artifacts.load(saved.id) == table
    with pytest.raises(InvalidContent) as caught:
        artifacts.save(Table(["a"], [[float("nan")]]))
    assert caught.value.place == ("data", "data", 0, 0)


def test_everything_that_is_said_of_an_artifact_comes_back(artifacts: Artifacts) -> None:
    parent = artifacts.save({})
    saved = artifacts.save(
        b"%PDF",
        parent=parent,
        kind="report.v1-a_b",
        name="Bericht über Regen.pdf",
        media_type="application/pdf",
        metadata={"pages": 3, "nested": {"a": [None]}},
        tags=["one", "two", "one"],
        keep="always",
        origin=Origin.UPLOAD,
    )
    assert artifacts.get(saved.id) == saved
    assert (saved.parent_id, saved.level, saved.tags) == (parent.id, 1, ("one", "two"))
    assert (saved.metadata, saved.keep, saved.is_pinned) == ({"pages": 3, "nested": {"a": [None]}}, "always", True)
    assert saved.origin is Origin.UPLOAD


@pytest.mark.parametrize(
    ("options", "place"),
    [
        ({"kind": ""}, ("kind",)),
        ({"kind": "a/b"}, ("kind",)),
        ({"kind": "x" * 65}, ("kind",)),
        ({"name": "a\nb"}, ("name",)),
        ({"name": "x" * 201}, ("name",)),
        ({"name": 3}, ("name",)),
        ({"media_type": "text"}, ("media_type",)),
        ({"media_type": "text/plain\r\nSet-Cookie: a=b"}, ("media_type",)),
        ({"media_type": 'text/plain; a="\x01"'}, ("media_type",)),
        ({"media_type": "text/plain; charset=" + "x" * 200}, ("media_type",)),
        ({"tags": "abc"}, ("tags",)),
        ({"tags": ["ok", ""]}, ("tags", 1)),
        ({"tags": ["a\x00"]}, ("tags", 0)),
        ({"tags": [3]}, ("tags", 0)),
        ({"tags": ["ok", []]}, ("tags", 1)),
        ({"tags": list(map(str, range(51)))}, ("tags",)),
        ({"metadata": []}, ("metadata",)),
        ({"metadata": {1: 2}}, ("metadata",)),
        ({"metadata": {"a": ["x" * 16_384]}}, ("metadata",)),
        ({"metadata": {"a": [float("inf")]}}, ("metadata", "a", 0)),
        ({"keep": "never"}, ("keep",)),
        ({"keep": "job"}, ("keep",)),
        ({"origin": "job of another"}, ("origin",)),
    ],
)
def test_what_is_said_of_an_artifact_is_checked(
    artifacts: Artifacts, options: dict[str, object], place: tuple[object, ...]
) -> None:
    with pytest.raises(InvalidContent) as caught:
        artifacts.save(b"content", **options)  # type: ignore[arg-type]
    assert caught.value.place == place
    assert list_blobs(artifacts) == set()


def test_json_has_a_type_of_json(artifacts: Artifacts) -> None:
    assert artifacts.save({}, media_type="application/geo+json").data == {}
    with pytest.raises(InvalidContent) as caught:
        artifacts.save({}, media_type="text/csv")
    assert caught.value.place == ("media_type",)


def test_an_id_can_be_chosen_once(artifacts: Artifacts) -> None:
    chosen = ids.next_id()
    assert artifacts.save(b"first", id=chosen.lower()).id == chosen
    with pytest.raises(ArtifactConflict, match="already") as caught:
        artifacts.save(b"second", id=chosen)
    assert caught.value.artifact_id == chosen
    assert artifacts.load(chosen) == b"first"
    check_files(artifacts)
    with pytest.raises(InvalidArtifactId, match="ULID"):
        artifacts.save(b"", id="mine")


def test_an_unknown_id_is_not_found(artifacts: Artifacts) -> None:
    unknown = ids.next_id()
    for call in (artifacts.get, artifacts.open, artifacts.load, artifacts.path, artifacts.tree, artifacts.delete):
        with pytest.raises(ArtifactNotFound, match=unknown):
            call(unknown)
        with pytest.raises(InvalidArtifactId):
            call("../../etc/passwd")
    for also in (lambda: artifacts.ancestors(unknown), lambda: artifacts.update(unknown, tags=["a"])):
        with pytest.raises(ArtifactNotFound):
            also()
    with pytest.raises(ArtifactNotFound, match=unknown):
        artifacts.save(b"child", parent=unknown)
    check_files(artifacts)


def test_metadata_and_tags_change_and_nothing_else_does(artifacts: Artifacts) -> None:
    saved = artifacts.save({"a": 1}, metadata={"old": 1}, tags=["old"])
    changed = artifacts.update(saved.id, metadata={"new": 2}, tags=["new", "newer"])
    assert (changed.metadata, changed.tags, changed.data) == ({"new": 2}, ("new", "newer"), {"a": 1})
    assert changed.updated_at >= saved.updated_at
    assert (changed.sha256, changed.created_at) == (saved.sha256, saved.created_at)
    assert artifacts.get(saved.id) == changed
    assert artifacts.list(tag="old").artifacts == ()
    assert [each.id for each in artifacts.list(tag="newer").artifacts] == [saved.id]
    assert artifacts.update(saved.id).metadata == {"new": 2}
    assert artifacts.update(saved.id, pinned=True).keep == "always"
    assert artifacts.update(saved.id, pinned=False).keep is None


def test_the_same_content_is_kept_once_and_goes_with_the_last(artifacts: Artifacts) -> None:
    saved = [artifacts.save(b"the same", name=name) for name in ("a", "b")]
    other = artifacts.save(b"another")
    assert list_blobs(artifacts) == {saved[0].sha256, other.sha256}
    assert (artifacts.stats().count, artifacts.stats().bytes) == (3, 15)
    assert artifacts.delete(saved[0].id) == 1
    assert artifacts.load(saved[1].id) == b"the same"
    assert artifacts.delete(saved[1].id) == 1
    assert list_blobs(artifacts) == {other.sha256}
    check_files(artifacts)


def test_who_reads_a_content_reads_on_when_it_is_deleted(artifacts: Artifacts) -> None:
    saved = artifacts.save(b"content")
    with artifacts.open(saved.id) as file:
        artifacts.delete(saved.id)
        assert file.read() == b"content"


def test_content_that_comes_in_pieces_is_staged(artifacts: Artifacts) -> None:
    with artifacts.stage() as staged:
        for piece in (b"a", b"", b"bc"):
            staged.write(piece)
        assert len(list_staged(artifacts)) == 1
        saved = artifacts.save(staged, media_type="text/plain")
    assert artifacts.load(saved.id) == "abc"
    with artifacts.stage() as staged:
        staged.write(b"given up")
    assert list_staged(artifacts) == []
    check_files(artifacts)


def test_everything_is_for_its_owner_alone(artifacts: Artifacts) -> None:
    before = os.umask(0)
    try:
        artifacts.save(b"content")
        with artifacts.stage():
            paths = [Path(artifacts.address), *Path(artifacts.address).rglob("*")]
            modes = {path: stat.S_IMODE(path.stat().st_mode) for path in paths}
    finally:
        os.umask(before)
    assert {path.name: oct(mode) for path, mode in modes.items() if mode != (0o700 if path.is_dir() else 0o600)} == {}
    assert len(modes) >= 7


def test_to_make_the_object_makes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    artifacts = Artifacts("some/where")
    assert artifacts.address == str(tmp_path / "some" / "where")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.chdir("/")
    artifacts.save(1)
    assert (tmp_path / "some/where/index.db").exists()
    artifacts.close()
    assert artifacts.stats().count == 1


def test_the_address_leads_to_the_same_and_nothing_stays_open(artifacts: Artifacts) -> None:
    saved = artifacts.save(b"content")
    artifacts.close()
    gc.disable()
    try:
        before = count_descriptors()
        assert Artifacts.at(artifacts.address).load(saved.id) == b"content"
        Artifacts.at(artifacts.address).save(b"more")
        assert count_descriptors() == before
    finally:
        gc.enable()


def count_descriptors() -> int:
    return len(list(Path("/dev/fd").iterdir()))


async def test_on_an_event_loop_calls_are_awaited(artifacts: Artifacts) -> None:
    with pytest.raises(WouldBlock, match=r"await artifacts\.aio\.save\(\)"):
        artifacts.save(b"content")
    saved = await artifacts.aio.save(b"content", kind="model", tags=["a"])
    child = await artifacts.aio.save({"a": 1}, parent=saved)
    assert await artifacts.aio.get(saved.id) == saved
    assert await artifacts.aio.load(child.id) == {"a": 1}
    with await artifacts.aio.open(saved.id) as file:
        assert file.read() == b"content"
    path = await artifacts.aio.path(saved.id)
    assert path is not None
    assert path.read_bytes() == b"content"
    assert [each.id for each in (await artifacts.aio.list(kind="model")).artifacts] == [saved.id]
    assert [each.id for each in (await artifacts.aio.tree(saved.id)).artifacts] == [saved.id, child.id]
    assert [each.id for each in await artifacts.aio.ancestors(child.id)] == [saved.id, child.id]
    assert (await artifacts.aio.update(saved.id, tags=["b"])).tags == ("b",)
    assert (await artifacts.aio.stats()).count == 2
    with await artifacts.aio.stage() as staged:
        await asyncio.to_thread(staged.write, b"staged")
        assert await artifacts.aio.load((await artifacts.aio.save(staged)).id) == b"staged"
    assert await artifacts.aio.delete(saved.id, recursive=True) == 2
    assert (await artifacts.aio.sweep()).blobs == 0


async def test_many_callers_save_and_read_at_once(artifacts: Artifacts) -> None:
    async def save_and_read(number: int) -> bool:
        saved = await artifacts.aio.save({"number": number}, tags=[str(number)])
        return await artifacts.aio.load(saved.id) == {"number": number}

    assert all(await asyncio.gather(*map(save_and_read, range(300))))
    assert (await artifacts.aio.stats()).count == 300


@pytest.mark.parametrize("kinds", [[], ["a", "a"], "ab", ["a b"], [1], None])
def test_a_hierarchy_of_nonsense_is_refused(kinds: list[str]) -> None:
    with pytest.raises(ConfigurationError, match="kinds must be"):
        Hierarchy("ml", kinds)


def test_options_of_nonsense_are_refused() -> None:
    one, other = Hierarchy("one", ["a", "b"]), Hierarchy("other", ["b"])
    for hierarchy in ([one, other], [one, one]):
        with pytest.raises(ConfigurationError, match="hierarchy must be"):
            Artifacts(hierarchy=hierarchy)
    with pytest.raises(ConfigurationError, match="share no kind"):
        Artifacts(hierarchy=one).add_hierarchy(other)
    for options in ({"max_upload_bytes": 0}, {"retention": Retention()}, {"hierarchy": ["model"]}):
        with pytest.raises(ConfigurationError, match=next(iter(options))):
            Artifacts(**options)


def test_a_process_of_a_job_imports_no_web_framework() -> None:
    script = (
        "import sys, servicekit.artifacts; print(sorted({'fastapi', 'starlette', 'pandas', 'anyio'} & {*sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
