import pytest

from servicekit.runners.process import ProcessRunner
from tests.ray.cluster import connected_runner, end_shared


@pytest.fixture(autouse=True, scope="module")
def _end_shared(request: pytest.FixtureRequest) -> None:
    """What these tests share ends with the last of them that comes in a row: a cluster takes a third of a core.

    The scope `package` would not do: without an `__init__.py` its end is that of the session. With one, pytest would
    import the tests as a package called `ray`.
    """
    directory: pytest.Dir = request.node.parent
    directory.addfinalizer(end_shared)


@pytest.fixture(scope="module")
def shared_runner() -> ProcessRunner:
    return connected_runner()
