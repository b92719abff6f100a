"""Workspaces: the directories in which the commands of a model run.

    <temporary directory of the attempt>/
        files/    the working directory of the command
        scratch/  its TMPDIR

A workspace starts with nothing in it. What the model's `include` names is copied into it, then what the service writes.
A file whose name, or the name of a folder above it, begins with a dot is never copied, nor is anything that a link
points to. What the command has made or changed can be listed afterwards, by the same rules.
"""

import os
import re
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from servicekit.errors import ConfigurationError
from servicekit.ml.archives import find_name_problem, open_plain_file, write_new_file
from servicekit.ml.directories import temporary_directory


@dataclass(frozen=True, slots=True)
class Workspace:
    """Where one command runs."""

    files: Path
    """The working directory of the command."""
    scratch: Path
    """For the command's own temporary files."""

    def write(self, name: str, text: str) -> None:
        """Write a file. One of this name is replaced."""
        self.remove(name)
        with write_new_file(self.files, name) as file:
            file.write(text.encode())

    def remove(self, name: str) -> None:
        """Remove a file if there is one of this name."""
        (self.files / name).unlink(missing_ok=True)


@contextmanager
def make_workspace() -> Iterator[Workspace]:
    """A new workspace, which is gone after the block: see `temporary_directory`."""
    with temporary_directory() as directory:
        workspace = Workspace(directory / "files", directory / "scratch")
        workspace.files.mkdir(mode=0o700)
        workspace.scratch.mkdir(mode=0o700)
        yield workspace


def check_patterns(option: str, patterns: Sequence[str]) -> None:
    """`ConfigurationError` for a pattern that leads out of the model's folder, or names what is never copied."""
    if isinstance(patterns, str):
        raise ConfigurationError(option, patterns, "a list of patterns, such as ['scripts/**']")
    for pattern in patterns:
        problem = find_name_problem(pattern) if isinstance(pattern, str) else "is no text"
        if problem:
            sentence = f"The pattern {pattern!r} in {option} {problem}. A pattern is a path below the model's folder."
            raise ConfigurationError(option, pattern, sentence=sentence)


def list_included(folder: Path, patterns: Sequence[str]) -> list[str]:
    """The files of the folder that a pattern names, in order. `*` is a part of a name, `**` any number of folders.

    `ConfigurationError` for a pattern that names no file.
    """
    included: set[str] = set()
    for pattern in patterns:
        found = set(_expand(folder, "", pattern.split("/")))
        if not found:
            sentence = (
                f"The pattern {pattern!r} in include names no file in {folder}. Links, and whatever has a name that "
                "begins with a dot, are never included."
            )
            raise ConfigurationError("include", pattern, sentence=sentence)
        included |= found
    return sorted(included)


def copy_included(folder: Path, names: Iterable[str], workspace: Workspace) -> None:
    """Copy these files of the folder into the workspace, except for those that are there already."""
    for name in names:
        if (workspace.files / name).exists():
            continue
        with open_plain_file(folder, name) as source:
            is_executable = bool(os.fstat(source.fileno()).st_mode & stat.S_IXUSR)
            with write_new_file(workspace.files, name, is_executable=is_executable) as sink:
                shutil.copyfileobj(source, sink)


class _State(NamedTuple):
    """By what a file is known to be as it was. A program can set the time of a change back, but not `changed_at`."""

    inode: int
    size: int
    modified_at: int
    changed_at: int


def take_snapshot(workspace: Workspace) -> dict[str, object]:
    """The files of the workspace as they are, for `list_changed`."""
    return {name: _state(workspace.files / name) for name in _walk(workspace.files)}


def list_changed(workspace: Workspace, snapshot: dict[str, object]) -> list[str]:
    """The files that are new or changed since then, in order."""
    return sorted(name for name in _walk(workspace.files) if _state(workspace.files / name) != snapshot.get(name))


def list_left_out(workspace: Workspace) -> list[str]:
    """What is in the workspace and is never kept: links, pipes, and names that begin with a dot."""
    return sorted(_walk(workspace.files, is_wanted=lambda entry: not _is_plain(entry)))


def _state(path: Path) -> _State | None:
    try:
        status = path.lstat()
    except OSError:  # it is gone meanwhile
        return None
    return _State(status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _walk(folder: Path, below: str = "", is_wanted: Callable[[os.DirEntry[str]], bool] | None = None) -> Iterator[str]:
    """The names of the plain files of a folder and the folders in it, or of other entries that are wanted instead."""
    left = [below]
    while left:
        below = left.pop()
        for entry in _list(folder / below):
            is_plain = _is_plain(entry)
            if is_plain and entry.is_dir(follow_symlinks=False):
                left.append(f"{below}{entry.name}/")
            elif is_plain if is_wanted is None else is_wanted(entry):
                yield f"{below}{entry.name}"


def _expand(folder: Path, below: str, parts: Sequence[str]) -> Iterator[str]:
    """The names of the plain files that a pattern names.

    It is not `Path.glob`: that follows links, takes in names with a dot, and before Python 3.13 `**` at the end names
    folders only. Folders that the pattern cannot mean are not looked at: a model's folder can have large ones.
    """
    part, *rest = parts
    if part == "**" and not rest:
        yield from _walk(folder, below)
        return
    if part == "**":
        yield from _expand(folder, below, rest)
    fits = re.compile("[^/]*" if part == "**" else _as_expression(part)).fullmatch
    for entry in _list(folder / below):
        if not _is_plain(entry) or not fits(entry.name):
            continue
        if entry.is_file(follow_symlinks=False):
            if not rest:
                yield f"{below}{entry.name}"
        elif rest:
            yield from _expand(folder, f"{below}{entry.name}/", parts if part == "**" else rest)


def _list(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return list(entries)


def _is_plain(entry: os.DirEntry[str]) -> bool:
    """Whether it is a file or a folder that may be copied: no link, no device, and a name that may be used."""
    is_kind = entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False)
    return is_kind and find_name_problem(entry.name) is None


def _as_expression(part: str) -> str:
    return "".join({"*": ".*", "?": "."}.get(character, re.escape(character)) for character in part)
