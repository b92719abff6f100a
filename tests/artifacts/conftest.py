from collections.abc import Iterator
from pathlib import Path

import pytest

from servicekit.artifacts import Artifacts
from servicekit.artifacts.sqlite import connections


@pytest.fixture(autouse=True, scope="package")
def _patient_for_the_lock() -> Iterator[None]:
    """Whoever waits for the lock of the index gets it, also where the machine or its disk stands still for seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connections, "_PATIENCE_SECONDS", 60.0)
        yield


@pytest.fixture
def artifacts(tmp_path: Path) -> Iterator[Artifacts]:
    made = Artifacts(tmp_path / "artifacts")
    yield made
    made.close()
