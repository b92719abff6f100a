"""The directories in which commands run: what gets in, what is kept, and that nothing stays."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from servicekit.errors import ConfigurationError
from servicekit.ml.directories import sweep_directories, temporary_directory
from servicekit.ml.workspace import (
    check_patterns,
    copy_included,
    list_changed,
    list_included,
    list_left_out,
    make_workspace,
    take_snapshot,
)


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary directory of this test alone."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model's folder, as people have them: with what nobody else should see."""
    folder = tmp_path / "model"
    for name in [
        "train.R",
        "README.md",
        ".env",
        ".git/config",
        ".ssh/id_rsa",
        "keys/service.pem",
        "scripts/predict.R",
        "scripts/lib/helpers.R",
        "scripts/lib/deep/er/more.R",
        "scripts/.Rhistory",
        "scripts/.secrets/token",
    ]:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "passwords.txt").write_text("secret")
    (folder / "scripts" / "link.R").symlink_to(tmp_path / "outside" / "passwords.txt")
    (folder / "scripts" / "linked").symlink_to(tmp_path / "outside")
    os.mkfifo(folder / "scripts" / "pipe")
    return folder


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (["*.R"], ["train.R"]),
        (["scripts/*"], ["scripts/predict.R"]),
        (["scripts/*.R", "train.?"], ["scripts/predict.R", "train.R"]),
        (["scripts/**"], ["scripts/lib/deep/er/more.R", "scripts/lib/helpers.R", "scripts/predict.R"]),
        (["**/*.R"], ["scripts/lib/deep/er/more.R", "scripts/lib/helpers.R", "scripts/predict.R", "train.R"]),
        (["scripts/**/more.R"], ["scripts/lib/deep/er/more.R"]),
        (["scripts/*/helpers.R"], ["scripts/lib/helpers.R"]),
        (["README.md"], ["README.md"]),
    ],
)
def test_patterns_name_files(folder: Path, patterns: list[str], names: list[str]) -> None:
    assert list_included(folder, patterns) == names


def test_what_begins_with_a_dot_and_what_links_point_to_is_never_included(folder: Path) -> None:
    assert list_included(folder, ["**"]) == [
        "README.md",
        "keys/service.pem",
        "scripts/lib/deep/er/more.R",
        "scripts/lib/helpers.R",
        "scripts/predict.R",
        "train.R",
    ]


def test_only_what_is_included_gets_into_a_workspace(folder: Path) -> None:
    with make_workspace() as workspace:
        copy_included(folder, list_included(folder, ["scripts/**", "train.R"]), workspace)
        found = sorted(str(path.relative_to(workspace.files)) for path in workspace.files.rglob("*") if path.is_file())
    assert found == ["scripts/lib/deep/er/more.R", "scripts/lib/helpers.R", "scripts/predict.R", "train.R"]


def test_a_file_that_becomes_a_link_is_not_copied(folder: Path, tmp_path: Path) -> None:
    """Between the list and the copy."""
    names = list_included(folder, ["train.R"])
    (folder / "train.R").unlink()
    (folder / "train.R").symlink_to(tmp_path / "outside" / "passwords.txt")
    with make_workspace() as workspace, pytest.raises(OSError, match=r"train\.R"):
        copy_included(folder, names, workspace)


@pytest.mark.parametrize(
    "pattern", ["../outside/*", "/etc/*", "scripts/../../outside/*", ".env", "scripts/.*", "", "a//b"]
)
def test_a_pattern_that_leads_out_of_the_folder_is_refused(pattern: str) -> None:
    with pytest.raises(ConfigurationError, match="A pattern is a path below the model's folder"):
        check_patterns("include", [pattern])
    with pytest.raises(ConfigurationError, match="a list of patterns"):
        check_patterns("include", "scripts/**")


def test_a_pattern_that_names_nothing_is_an_error(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"'script/\*\*' in include names no file"):
        list_included(folder, ["scripts/**", "script/**"])


def test_only_what_is_new_or_changed_is_kept() -> None:
    with make_workspace() as workspace:
        for name in ("same", "changed", "hidden change", "gone"):
            workspace.write(name, "before")
        snapshot = take_snapshot(workspace)
        before = (workspace.files / "hidden change").stat()
        (workspace.files / "changed").write_text("after")
        (workspace.files / "hidden change").write_text("behind")  # of the same length, and its time is set back
        os.utime(workspace.files / "hidden change", ns=(before.st_atime_ns, before.st_mtime_ns))
        (workspace.files / "gone").unlink()
        (workspace.files / "new").mkdir()
        (workspace.files / "new" / "model.rds").write_text("new")
        (workspace.files / ".RData").write_text("new")
        (workspace.files / ".cache").mkdir()
        (workspace.files / ".cache" / "more").write_text("new")
        (workspace.files / "passwd").symlink_to("/etc/passwd")
        (workspace.files / "etc").symlink_to("/etc")
        assert list_changed(workspace, snapshot) == ["changed", "hidden change", "new/model.rds"]
        assert list_left_out(workspace) == [".RData", ".cache", "etc", "passwd"]


def test_nothing_is_left_behind(temporary: Path) -> None:
    def fail() -> None:
        with make_workspace() as workspace:
            (workspace.files / "locked").mkdir()
            (workspace.files / "locked" / "file").touch()
            (workspace.files / "locked").chmod(0o000)
            (workspace.files / "passwd").symlink_to("/etc/passwd")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert list(temporary.iterdir()) == []
    assert Path("/etc/passwd").exists()


_HOLDER = """
import sys, time
from servicekit.ml.directories import temporary_directory
with temporary_directory() as directory:
    (directory / "file").touch()
    print(directory, flush=True)
    time.sleep(600)
"""


@contextmanager
def hold_directory() -> Iterator[tuple["subprocess.Popen[str]", Path]]:
    """Another process that has a directory, and is killed at the end of the block."""
    process = subprocess.Popen([sys.executable, "-c", _HOLDER], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        yield process, Path(process.stdout.readline().strip())
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_the_directory_of_a_killed_process_is_swept_up_and_that_of_a_living_one_is_not(temporary: Path) -> None:
    with hold_directory() as (killed, left), hold_directory() as (_, used), temporary_directory() as ours:
        assert {each.parent for each in (left, used, ours)} == {temporary}
        assert sweep_directories() == 0
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        assert sweep_directories() == 1
        assert not left.exists()
        assert (used / "file").exists()
        assert ours.exists()
    assert sweep_directories() == 1
    assert list(temporary.iterdir()) == []


_LEAVER = """
import os, subprocess
from servicekit.ml.directories import temporary_directory
with temporary_directory() as directory:
    left = subprocess.Popen(["sleep", "600"], cwd=directory, stdout=subprocess.DEVNULL)
    print(left.pid, flush=True)
    os._exit(0)
"""


def test_a_program_that_was_started_in_a_directory_does_not_hold_its_lock(temporary: Path) -> None:
    """Whatever a command leaves behind: its directory is swept up when the job's process is gone."""
    ended = subprocess.run([sys.executable, "-c", _LEAVER], check=True, stdout=subprocess.PIPE, text=True)
    try:
        assert sweep_directories() == 1
        assert list(temporary.iterdir()) == []
    finally:
        os.kill(int(ended.stdout), signal.SIGKILL)


def test_what_only_looks_like_a_directory_of_ours_is_left_alone(temporary: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").touch()
    (temporary / "servicekit-ml-link").symlink_to(outside)
    (temporary / "servicekit-ml-file").touch()
    (temporary / "else").mkdir()
    assert sweep_directories() == 0
    assert (outside / "file").exists()
    assert sorted(path.name for path in temporary.iterdir()) == ["else", "servicekit-ml-file", "servicekit-ml-link"]
