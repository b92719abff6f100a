import gc
import os
import random
from collections.abc import Iterator
from itertools import groupby

import pytest
from httpx._config import DEFAULT_LIMITS, DEFAULT_TIMEOUT_CONFIG
from hypothesis import HealthCheck, settings

from servicekit.engine import bulk, scheduler
from tests.object_store import environment_of, make_bucket, run_s3
from tests.postgres import NEWEST, PostgresServer, end_shared_servers, shared_server

# Services are asked on this machine. A proxy of the environment's would look for them at itself.
os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"

# Applications that are made in this process leave no file behind unless they ask for one, also those that are made when
# their module is imported.
os.environ["SERVICEKIT_JOBS_URL"] = "memory://"

# A service of the tests answers within a minute, on a machine that is busy with other tests too. And no client sends a
# request by a connection that the server closes at this moment, since it was unused for some seconds.
DEFAULT_TIMEOUT_CONFIG.connect = DEFAULT_TIMEOUT_CONFIG.read = 60.0
DEFAULT_TIMEOUT_CONFIG.write = DEFAULT_TIMEOUT_CONFIG.pool = 60.0
DEFAULT_LIMITS.max_keepalive_connections = 0

# An example is wrong, or it is not: how long it takes says something of the machine alone.
settings.register_profile("servicekit", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("servicekit")


@pytest.fixture(autouse=True, scope="session")
def _patient() -> Iterator[None]:
    """Whoever cancels a job waits until it has stopped, also where the machine takes longer for that than a second."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (bulk, scheduler):
            patch.setattr(module, "_CANCEL_WAIT_SECONDS", 60.0)
        yield


@pytest.fixture
def _brief_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """For targets that do not stop: what is waited for in vain need not be waited for long."""
    for module in (bulk, scheduler):
        monkeypatch.setattr(module, "_CANCEL_WAIT_SECONDS", 0.1)


@pytest.fixture
def caplog(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What the garbage collector would say of earlier tests' tasks is said before, so that it is in no other's log."""
    gc.collect()
    return caplog


@pytest.fixture(autouse=True, scope="session")
def _no_servers_left() -> Iterator[None]:
    yield
    end_shared_servers()


@pytest.fixture
def postgres(request: pytest.FixtureRequest) -> PostgresServer:
    """A server of the newest version, or of that which the test names as the fixture's parameter."""
    return shared_server(getattr(request, "param", NEWEST))


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """A database of this test alone."""
    with postgres.new_database() as url:
        yield url


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The address of a server that speaks S3."""
    with run_s3() as url:
        yield url


@pytest.fixture
def s3_bucket(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A bucket of this test alone, which the environment leads to."""
    for name, value in environment_of(s3_server).items():
        monkeypatch.setenv(name, value)
    return make_bucket(s3_server)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak", action="store_true", help="also run the tests that take longer than some seconds")
    parser.addoption("--shuffle", type=int, metavar="SEED", help="run files, and the tests in each, in another order")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Files stay together, since what is shared by the tests of one is made once."""
    if not config.getoption("--soak"):
        soaks = [item for item in items if item.get_closest_marker("soak")]
        config.hook.pytest_deselected(items=soaks)
        items[:] = [item for item in items if item not in soaks]
    by_file = [list(group) for _, group in groupby(items, lambda item: item.path)]
    seed = config.getoption("--shuffle")
    if seed is None:
        by_file.sort(key=_size_of, reverse=True)
    else:
        chance = random.Random(seed)
        chance.shuffle(by_file)
        for group in by_file:
            chance.shuffle(group)
    items[:] = [item for group in by_file for item in group]


def _size_of(file: list[pytest.Item]) -> tuple[float, int]:
    """Files that may take long begin first, and then those of many tests: no worker waits for another at the end."""
    timeouts = [mark.args[0] for item in file if (mark := item.get_closest_marker("timeout")) is not None]
    return max(timeouts, default=0), len(file)
