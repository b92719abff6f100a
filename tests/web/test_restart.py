"""The service is stopped and started again under an open page."""

import re
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.needs import needs
from tests.ports import find_free_port
from tests.service import run_service
from tests.web.conftest import Dashboard, Tab, open_tabs
from tests.web.watching import Watcher

pytestmark = needs("chromium")


class Machine:
    """Where the service runs, stops, and runs again at the same address."""

    def __init__(self, jobs_url: str) -> None:
        self._environment = {"SERVICEKIT_JOBS_URL": jobs_url}
        self._port = find_free_port()
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


def watch_seeded(dashboard: Dashboard, tab: Tab, *, count: int = 1) -> Watcher:
    """Watch a service that has some jobs, from its first reset on."""
    dashboard.seed(count=count)
    watcher = Watcher(tab.page, tab.url)
    watcher.wait_resets(1)
    return watcher


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
            # What a page is made of comes piece by piece, and a service that is away has none of it.
            expect(tab.page.get_by_role("heading", name="No jobs yet")).to_be_visible()
            expect(tab.page.locator(".chart-readout")).to_contain_text("at most")
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
        watcher = watch_seeded(dashboard, tab, count=2)
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
        watcher = watch_seeded(dashboard, tab)
    watcher.wait_state("reconnecting")
    with machine.run():
        hurry(watcher.page)
        watcher.wait_resets(2)


@pytest.mark.parametrize("machine", ["memory://"], indirect=True)
def test_a_tab_that_was_hidden_while_all_was_forgotten_reads_all_again(
    machine: Machine, open_tab: Callable[..., Tab]
) -> None:
    tab = open_tab()
    expect_loss(tab)
    with machine.run() as dashboard:
        watcher = watch_seeded(dashboard, tab)
        watcher.set_visible(False)
    with machine.run():
        watcher.set_visible(True)
        watcher.wait_resets(2)
        assert "reconnecting" not in watcher.get("states")


OWN_PAGE = """<!doctype html><link rel="icon" href="data:,">
<script type="module" src="/jobs/assets/components.js"></script>
<script>
  window.told = [];
  addEventListener('servicekit:state', ({ target, detail }) =>
    told.push(`${target.localName} ${detail.state} ${Boolean(detail.since)}`));
</script>
<job-status src="/api/v1/jobs" job-id="JOB"></job-status>
<job-log src="/api/v1/jobs" job-id="JOB"></job-log>
<job-list src="/api/v1/jobs" limit="5"></job-list>"""


def open_own_page(page: Page, machine: Machine, job_id: str) -> None:
    """A page with components of servicekit's, all of them live. The browser's clock is the test's."""
    page.clock.install()
    page.route("**/own", lambda route: route.fulfill(content_type="text/html", body=OWN_PAGE.replace("JOB", job_id)))
    page.goto(machine.url + "own")
    for name in ("job-status", "job-log", "job-list"):
        page.wait_for_function("(name) => told.includes(`${name} live false`)", arg=name)


def test_a_page_of_ones_own_tells_that_the_service_is_away_and_comes_back(
    machine: Machine, open_tab: Callable[..., Tab]
) -> None:
    tab = open_tab()
    page = tab.page
    expect_loss(tab)
    tab.expected.append("500")
    parts = [page.locator(name) for name in ("job-status", "job-log", "job-list")]
    with machine.run() as dashboard:
        open_own_page(page, machine, dashboard.submit("/forever"))
        expect(parts[0]).to_contain_text("elapsed")
        assert not any("Not up to date" in part.inner_text() for part in parts)
    for part in parts:
        expect(part).to_contain_text(re.compile(r"Not up to date since \d\d:\d\d:\d\d"))
    facts = parts[0].locator(".job-status-facts").inner_text()
    page.clock.run_for(30_000)
    assert parts[0].locator(".job-status-facts").inner_text() == facts
    with machine.run():
        # The browser's clock is the test's: no retry is further away than this.
        page.clock.run_for(10_000)
        for part in parts:
            expect(part).not_to_contain_text("Not up to date")
    assert page.evaluate("[...new Set(told)].filter((each) => each.includes('reconnecting')).sort()") == [
        f"{name} reconnecting true" for name in ("job-list", "job-log", "job-status")
    ]


def test_a_page_of_ones_own_tells_that_the_service_cannot_read_its_jobs(
    machine: Machine, open_tab: Callable[..., Tab]
) -> None:
    """Its streams stay open, and nothing comes."""
    tab = open_tab()
    page, read = tab.page, re.compile(r"/api/v1/jobs/\w+$")
    with machine.run() as dashboard:
        job_id = dashboard.submit("/forever")
        open_own_page(page, machine, job_id)
        # All is well, and nothing happens.
        while not any(read.search(url) for url in tab.requests):
            page.clock.run_for(1_000)
        page.clock.run_for(1_000)
        assert "job-status reconnecting true" not in page.evaluate("told")
        tab.expected.append("503")
        page.route(read, lambda route: route.fulfill(status=503, json={"detail": "Jobs cannot be read"}))
        page.route("**/$stream*", lambda _: None)  # never answered
        while not {"job-status reconnecting true", "job-log reconnecting true"} <= set(page.evaluate("told")):
            page.clock.run_for(1_000)
        expect(page.locator("job-status")).to_contain_text("Not up to date since")
        page.unroute_all()
        while page.evaluate("told.filter((each) => each === 'job-status live false').length") < 2:
            page.clock.run_for(10_000)  # until the stream that was never answered is given up
        expect(page.locator("job-status")).not_to_contain_text("Not up to date")
