from collections.abc import Iterator

import pytest

from tests.ray.cluster import end_shared_cluster


@pytest.fixture(autouse=True, scope="package")
def _end_cluster() -> Iterator[None]:
    yield
    end_shared_cluster()
