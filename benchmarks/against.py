"""Our own package as it was at another commit."""

import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

_ROOT = Path(__file__).parent.parent


@contextmanager
def checked_out(revision: str | None) -> Iterator[Path | None]:
    """The folder of its sources, for as long as the block runs; `None` if no commit is asked for."""
    if revision is None:
        yield None
        return
    command = ["git", "archive", "--format=tar", revision, "src"]
    archive = subprocess.run(command, cwd=_ROOT, capture_output=True, check=False)
    if archive.returncode != 0:
        sys.exit(f"{revision} cannot be measured against: {archive.stderr.decode().strip()}")
    with tempfile.TemporaryDirectory(prefix="servicekit-before-") as folder:
        with tarfile.open(fileobj=BytesIO(archive.stdout)) as sources:
            sources.extractall(folder, filter="data")
        yield Path(folder) / "src"
