"""The service is stopped and started again under an open page."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.needs import needs
from tests.service import run_service
from tests.web.conftest import Dashboard, Tab, open_tabs
from tests.web.places import free_port
from tests.web.watching import Watcher

pytestmark = needs("chromium")


class Machine:
    """Where the service runs, stops, and runs again at the same address."""

    def __init__(self, jobs_url: str) -> None:
        self._environment = {"SERVICEKIT_JOBS_URL": jobs_url}
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}/jobs/"

    @contextmanager
    def run(self) -> Iterator[Dashboard]:
        with run_service("tests.web.apps:app", port=self._port, environment=self._environment) as service:
            with closing(Dashboard(service)) as dashboard:
                yield dashboard
            service.stop()


@pytest.fixture
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Machine:
    """It keeps its jobs in a file; or in memory, if the test's parameter says so."""
    return Machine(getattr(request, "param", f"sqlite:///{tmp_path}/jobs.db"))


@pytest.fixture
def open_tab(browser: Browser, machine: Machine) -> Iterator[Callable[..., Tab]]:
    with open_tabs(browser, machine.url) as open_one:
        yield open_one


def expect_loss(tab: Tab) -> None:
    """The browser writes into its console that a service is away."""
    tab.expected += ["net::ERR_CONNECTION", "net::ERR_INCOMPLETE_CHUNKED_ENCODING", "net::ERR_EMPTY_RESPONSE"]


def hurry(page: Page) -> None:
    """Let the page try again at once: how long it would wait is a matter of chance."""
    page.evaluate("() => window.dispatchEvent(new Event('online'))")


def test_all_tabs_tell_that_the_service_is_away_and_that_it_is_back(
    machine: Machine, open_tab: Callable[..., Tab]
) -> None:
    tabs = [open_tab(), open_tab()]
    states = [tab.page.get_by_role("group", name="Connection") for tab in tabs]
    with machine.run():
        for tab, state in zip(tabs, states, strict=True):
            expect_loss(tab)
            tab.open()
            expect(state).to_have_attribute("data-live", "live")
    for state in states:
        expect(state).to_contain_text("reconnecting")
        expect(state).to_contain_text("data from")
    with machine.run():
        for state in states:
            expect(state).to_have_attribute("data-live", "live")
            expect(state).not_to_contain_text("data from")


def test_what_changed_meanwhile_is_told(machine: Machine, open_tab: Callable[..., Tab]) -> None:
    tab = open_tab()
    expect_loss(tab)
    with machine.run() as dashboard:
        dashboard.seed(count=2)
        watcher = Watcher(tab.page, tab.url)
        watcher.wait_resets(1)
        job_id = dashboard.submit("/forever")
        watcher.wait_job(job_id, "running")
    watcher.wait_state("reconnecting")
    version = max(watcher.versions_of(job_id))
    with machine.run():  # it runs the job again
        hurry(watcher.page)
        watcher.page.wait_for_function(
            """([id, version]) => heard.records.some((each) => each[0] === id && each[1] > version
                 && each[2] === 'running')""",
            arg=[job_id, version],
        )


@pytest.mark.parametrize("machine", ["memory://"], indirect=True)
def test_all_is_read_again_from_a_service_that_has_forgotten_all(
    machine: Machine, open_tab: Callable[..., Tab]
) -> None:
    tab = open_tab()
    expect_loss(tab)
    with machine.run() as dashboard:
        dashboard.seed()
        watcher = Watcher(tab.page, tab.url)
        watcher.wait_resets(1)
    watcher.wait_state("reconnecting")
    with machine.run():
        hurry(watcher.page)
        watcher.wait_resets(2)
