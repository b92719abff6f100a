"""Archives of models: made the same each time, and unpacked with distrust."""

import io
import os
import stat
import struct
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicekit.errors import ContentTooLarge, InvalidContent
from servicekit.ml.archives import ArchiveLimits, pack, unpack

LIMITS = ArchiveLimits()


def archive_of(*members: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_STORED) -> io.BytesIO:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for member, content in members:
            archive.writestr(member, content)
    return file


def member(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = mode << 16
    return info


def test_what_is_packed_comes_out_again(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "deep" / "er").mkdir(parents=True)
    target.mkdir()
    (source / "deep" / "er" / "data.bin").write_bytes(bytes(range(256)) * 4_000)
    (source / "run.sh").write_bytes(b"#!/bin/sh\n")
    (source / "run.sh").chmod(0o755)
    (source / "empty").touch()

    file = io.BytesIO()
    pack(source, ["run.sh", "empty", "deep/er/data.bin"], file, LIMITS)
    unpack(file, target, LIMITS)

    files = {str(path.relative_to(target)): path for path in target.rglob("*") if path.is_file()}
    assert set(files) == {"run.sh", "empty", "deep/er/data.bin"}
    assert files["deep/er/data.bin"].read_bytes() == bytes(range(256)) * 4_000
    assert {name: stat.S_IMODE(path.stat().st_mode) for name, path in files.items()} == {
        "run.sh": 0o700,
        "empty": 0o600,
        "deep/er/data.bin": 0o600,
    }


def test_a_training_may_leave_no_file_at_all(tmp_path: Path) -> None:
    file = io.BytesIO()
    pack(tmp_path, [], file, LIMITS)
    unpack(file, tmp_path, LIMITS)
    assert list(tmp_path.iterdir()) == []


def test_the_same_files_make_the_same_bytes(tmp_path: Path) -> None:
    made: list[bytes] = []
    for folder, order in ((tmp_path / "one", ["a", "b"]), (tmp_path / "two", ["b", "a"])):
        folder.mkdir()
        for name in order:
            (folder / name).write_text(name)
            os.utime(folder / name, (len(made) * 1_000_000, len(made)))
        file = io.BytesIO()
        pack(folder, order, file, LIMITS)
        made.append(file.getvalue())
    assert made[0] == made[1]


def test_a_link_is_not_packed_nor_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "way").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe")
    for name in ("link", "way/secret", "pipe"):
        with pytest.raises(OSError, match=f"{name.rpartition('/')[2]}|way"):
            pack(folder, [name], io.BytesIO(), LIMITS)


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "../outside",
        "a/../../outside",
        "a/./b",
        "a//b",
        "..",
        ".env",
        "keys/.ssh/id",
        "a\\..\\outside",
        "C:\\outside",
        "line\nbreak",
        "escape\x1b[0m",
        "n" * 2_000,
    ],
)
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(InvalidContent, match="whose name"):
        unpack(archive_of(("good", b"1"), (name, b"2")), folder, LIMITS)
    assert [path.name for path in tmp_path.rglob("*")] == ["folder"]


def test_a_name_with_nul_is_refused(tmp_path: Path) -> None:
    """`zipfile` cuts it there: what is checked must be what is written."""
    data = archive_of(("good_.env", b"1")).getvalue().replace(b"good_.env", b"good\0.env")
    with pytest.raises(InvalidContent):
        unpack(io.BytesIO(data), tmp_path, LIMITS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK])
def test_links_and_devices_are_refused(tmp_path: Path, kind: int) -> None:
    with pytest.raises(InvalidContent, match="link or a device"):
        unpack(archive_of((member("odd", kind | 0o777), b"/etc/passwd")), tmp_path, LIMITS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidContent, match="'model' twice"):
        unpack(archive_of(("model", b"good"), ("model", b"bad")), tmp_path, LIMITS)
    with pytest.raises(InvalidContent, match="as a file and as a folder"):
        unpack(archive_of(("model/part", b"good"), ("model", b"bad")), tmp_path, LIMITS)
    assert list(tmp_path.iterdir()) == []


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    bomb = archive_of(("zeros", bytes(50_000_000)), method=zipfile.ZIP_DEFLATED)
    assert len(bomb.getvalue()) < 100_000
    with pytest.raises(ContentTooLarge):
        unpack(bomb, tmp_path, ArchiveLimits(max_bytes=1_000_000))
    assert list(tmp_path.iterdir()) == []


def test_a_zip_bomb_that_lies_about_its_size_ends_at_what_it_says(tmp_path: Path) -> None:
    said, true = 1_000, 50_000_000
    data = archive_of(("zeros", bytes(true)), method=zipfile.ZIP_DEFLATED).getvalue()
    lying = data.replace(struct.pack("<I", true), struct.pack("<I", said))
    assert lying != data
    with pytest.raises(InvalidContent):
        unpack(io.BytesIO(lying), tmp_path, ArchiveLimits(max_bytes=1_000_000))
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= said


def test_too_many_files_are_refused(tmp_path: Path) -> None:
    many = archive_of(*[(f"file-{number}", b"") for number in range(11)])
    with pytest.raises(InvalidContent, match="more than 10 files"):
        unpack(many, tmp_path, ArchiveLimits(max_files=10))
    assert list(tmp_path.iterdir()) == []
    for number in range(11):
        (tmp_path / f"file-{number}").touch()
    with pytest.raises(InvalidContent, match="more than 10 files"):
        pack(tmp_path, [path.name for path in tmp_path.iterdir()], io.BytesIO(), ArchiveLimits(max_files=10))


def test_a_list_of_members_that_would_fill_the_memory_is_not_read(tmp_path: Path) -> None:
    """The list is a few bytes for each member, and its members are nothing."""
    entry = struct.pack("<4s4B4HL2L5H2L", b"PK\1\2", 20, 3, 20, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"x"
    count = 100_000
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(entry) * count, 0, 0)
    with pytest.raises(InvalidContent, match="too many members"):
        unpack(io.BytesIO(entry * count + end), tmp_path, LIMITS)


def test_a_model_that_is_too_large_is_not_packed(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(1_001))
    with pytest.raises(ContentTooLarge, match="1,000 bytes"):
        pack(tmp_path, ["large"], io.BytesIO(), ArchiveLimits(max_bytes=1_000))


@given(st.binary(max_size=400), st.integers(0, 400), st.integers(0, 3))
def test_bytes_that_are_no_archive_are_refused_with_one_error(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, at: int, length: int
) -> None:
    """Whatever is wrong with it: noise, and archives of which some bytes are others."""
    good = archive_of(("folder/one", b"1" * 50), ("two", b"2" * 50), method=zipfile.ZIP_DEFLATED).getvalue()
    for data in (noise, good[:at] + noise[:length] + good[at + length :]):
        folder = tmp_path_factory.mktemp("unpacked")
        try:
            unpack(io.BytesIO(data), folder, LIMITS)
        except (InvalidContent, ContentTooLarge):
            continue
        assert data != noise
