"""The guide's service, running once for each file of tests."""

from collections.abc import Iterator

import pytest

from tests.guide.jobs import run_app
from tests.service import Service


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with run_app("create_app") as running:
        yield running
