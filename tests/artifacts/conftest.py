from collections.abc import Iterator
from pathlib import Path

import pytest

from servicekit.artifacts import Artifacts


@pytest.fixture
def artifacts(tmp_path: Path) -> Iterator[Artifacts]:
    made = Artifacts(tmp_path / "artifacts")
    yield made
    made.close()
