"""The content of an artifact as a file of this machine."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from servicekit.artifacts import Artifact, Artifacts
from servicekit.ml.directories import temporary_directory


@contextmanager
def local_file(artifacts: Artifacts, artifact: Artifact) -> Iterator[Path]:
    """The file, until the end of the block. It must not be changed.

    It is a copy where the content is in no file, as small JSON, or on another machine.
    """
    path = artifacts.path(artifact.id)
    if path is not None:
        yield path
        return
    with temporary_directory() as directory, artifacts.open(artifact.id) as content:
        copy = directory / "content"
        with copy.open("wb") as file:
            shutil.copyfileobj(content, file)
        yield copy
