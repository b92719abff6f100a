"""Where jobs are kept, for tests that should find the same wherever that is."""

import os
from pathlib import Path

import pytest

from tests.service import STORE_VARIABLE

STORES = ["memory", "sqlite", *(["postgresql"] if os.environ.get(STORE_VARIABLE) == "postgresql" else [])]
"""The parameters of a fixture that gives an address. On a server, each test takes longer than all it does."""


def url_of(request: pytest.FixtureRequest, folder: Path) -> str:
    """The address of an empty place of jobs, by the parameter of the fixture that asks."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres_url"))
    return "memory://" if request.param == "memory" else f"sqlite:///{folder}/jobs.db"
