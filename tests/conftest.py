import os

import pytest

# Services are asked on this machine. A proxy of the environment's would look for them at itself.
os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"


@pytest.fixture(autouse=True)
def _jobs_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Applications that tests make in their own process leave no file behind, unless they ask for one."""
    monkeypatch.setenv("SERVICEKIT_JOBS_URL", "memory://")
