"""The changes of all jobs as pages get them: in order, once for all tabs, and without loss, whatever happens."""

import json
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import BrowserContext, Route

from tests.needs import needs
from tests.web.conftest import OFFLINE, Dashboard, Tab
from tests.web.watching import Watcher

pytestmark = needs("chromium")

STREAM = "**/api/v1/jobs/$stream*"
CHECK = "**/api/v1/jobs?limit=1"


def event(number: int, job_id: str, version: int, status: str) -> str:
    """A change of a job, as a stream has it."""
    return f"id: {number}\ndata: {json.dumps({'id': job_id, 'version': version, 'status': status})}\n\n"


class Tabs:
    """Tabs of one browser that all read."""

    def __init__(self, open_tab: Callable[..., Tab], dashboard: Dashboard) -> None:
        self._open_tab = open_tab
        self._url = dashboard.url
        self.opened: list[Tab] = []

    def open(self, *, key: str | None = None) -> Watcher:
        """One more, that reads already: so the first one has the stream, and the next one waits for it first."""
        self.opened.append(self._open_tab())
        watcher = Watcher(self.opened[-1].page, self._url, key=key)
        watcher.wait_state("live")
        return watcher

    @property
    def context(self) -> BrowserContext:
        return self.opened[0].page.context

    def count_streams(self) -> list[int]:
        """How many streams each tab has asked for."""
        return [sum("$stream" in url for url in tab.requests) for tab in self.opened]


@pytest.fixture
def tabs(open_tab: Callable[..., Tab], dashboard: Dashboard) -> Iterator[Tabs]:
    yield Tabs(open_tab, dashboard)
    dashboard.clear()


def test_every_change_comes_once_and_in_order(tabs: Tabs, dashboard: Dashboard) -> None:
    watcher = tabs.open()
    watcher.wait_resets(1)
    job_id = dashboard.submit("/forever")
    watcher.wait_job(job_id, "running")
    dashboard.client.post(f"/api/v1/jobs/{job_id}/$cancel")
    watcher.wait_job(job_id, "canceled")
    dashboard.client.delete(f"/api/v1/jobs/{job_id}")
    watcher.wait_deleted(job_id)
    versions = watcher.versions_of(job_id)
    assert versions == sorted(set(versions))
    assert watcher.get("resets") == 1


def test_an_older_version_than_one_that_was_seen_is_dropped(tabs: Tabs) -> None:
    streams = [
        event(7, "a", 2, "running") + event(8, "b", 5, "failed"),
        event(9, "a", 1, "pending") + event(10, "b", 5, "failed") + event(11, "a", 3, "completed"),
    ]

    def answer(route: Route) -> None:
        asked.append(route.request.headers.get("last-event-id"))
        body = streams.pop(0) if streams else ""
        route.fulfill(body="retry: 1000\n" + body, content_type="text/event-stream")

    asked: list[str | None] = []
    tab = tabs._open_tab()
    tab.page.route(STREAM, answer)
    watcher = Watcher(tab.page, tab.url)
    watcher.wait_job("a", "completed")
    assert watcher.get("records") == [["a", 2, "running"], ["b", 5, "failed"], ["a", 3, "completed"]]
    assert asked[:2] == [None, "8"]
    watcher.wait_resets(2)  # after the loss, since the service may have forgotten what it told


def test_many_changes_at_once_are_few_changes_of_the_page(tabs: Tabs) -> None:
    body = "".join(event(number, str(number), 2, "completed") for number in range(1, 1001))
    tab = tabs._open_tab()
    tab.page.route(STREAM, lambda route: route.fulfill(body=body, content_type="text/event-stream"))
    watcher = Watcher(tab.page, tab.url)
    watcher.wait_job("1000", "completed")
    assert len(watcher.get("records")) == 1000
    assert watcher.get("batches") < 100  # as many as the pieces in which it comes


def test_all_tabs_share_one_stream_and_the_next_goes_on_when_its_reader_closes(
    tabs: Tabs, dashboard: Dashboard
) -> None:
    dashboard.seed()
    watchers = [tabs.open() for _ in range(3)]
    for watcher in watchers:
        watcher.wait_resets(1)
    first = dashboard.submit("/noop")
    for watcher in watchers:
        watcher.wait_job(first, "completed")
    assert tabs.count_streams() == [1, 0, 0]
    jobs = []
    for number in (0, 1):
        jobs.append(dashboard.submit("/noop"))
        watchers[number].page.close()
        jobs.append(dashboard.submit("/noop"))
        watchers[number + 1].wait_job(jobs[-1], "completed")  # it has taken over, and can be closed next
    for job_id in jobs:
        watchers[2].wait_job(job_id, "completed")
    assert tabs.count_streams() == [1, 1, 1]
    assert watchers[2].get("resets") == 1  # that of its beginning: nothing was lost since


def test_a_tab_that_comes_later_reads_its_lists_again_though_nothing_has_happened(tabs: Tabs) -> None:
    for _ in range(2):
        tabs.open().wait_resets(1)


def test_a_tab_that_is_alone_passes_nothing_on(tabs: Tabs, dashboard: Dashboard) -> None:
    watcher = tabs.open()
    watcher.wait_state("live")
    watcher.page.evaluate("""() => {
      window.passed = 0;
      const post = BroadcastChannel.prototype.postMessage;
      BroadcastChannel.prototype.postMessage = function (message) {
        if (message.kind === 'batch') passed += 1;
        post.call(this, message);
      };
    }""")
    watcher.wait_job(dashboard.submit("/noop"), "completed")
    assert watcher.page.evaluate("passed") == 0
    other = tabs.open()
    other.wait_resets(1)
    other.wait_job(dashboard.submit("/noop"), "completed")


def test_tabs_of_others_have_streams_of_their_own(tabs: Tabs) -> None:
    for key in (None, "a-key-of-somebody", "a-key-of-another"):
        tabs.open(key=key)
    assert tabs.count_streams() == [1, 1, 1]


def test_a_hidden_tab_lets_go_and_catches_up(tabs: Tabs, dashboard: Dashboard) -> None:
    hidden, visible = tabs.open(), tabs.open()
    before = dashboard.submit("/noop")
    hidden.wait_job(before, "completed")
    hidden.set_visible(False)
    meanwhile = dashboard.submit("/noop")
    visible.wait_job(meanwhile, "completed")
    assert tabs.count_streams() == [1, 1]
    assert meanwhile not in [job_id for job_id, _, _ in hidden.get("records")]
    hidden.set_visible(True)
    hidden.wait_resets(2)
    after = dashboard.submit("/noop")
    hidden.wait_job(after, "completed")
    assert tabs.count_streams() == [1, 1]


def test_a_tab_that_was_hidden_alone_goes_on_where_it_was(tabs: Tabs, dashboard: Dashboard) -> None:
    watcher = tabs.open()
    before = dashboard.submit("/noop")
    watcher.wait_job(before, "completed")
    watcher.set_visible(False)
    meanwhile = dashboard.submit("/noop", wait=True)
    watcher.set_visible(True)
    watcher.wait_job(meanwhile, "completed")
    watcher.wait_resets(2)  # since the service may have forgotten what it told
    assert tabs.count_streams() == [2]


def test_a_paused_tab_hears_nothing_until_it_goes_on(tabs: Tabs, dashboard: Dashboard) -> None:
    paused, other = tabs.open(), tabs.open()
    paused.page.evaluate("live.pause()")
    job_id = dashboard.submit("/noop")
    other.wait_job(job_id, "completed")
    assert paused.page.evaluate("live.state") == "paused"
    assert paused.get("records") == []
    paused.page.evaluate("live.resume()")
    paused.wait_state("live")
    paused.wait_resets(2)


def test_a_paused_tab_stays_so_while_the_network_comes_and_goes(tabs: Tabs) -> None:
    watcher = tabs.open()
    watcher.wait_state("live")
    watcher.page.evaluate("live.pause()")
    watcher.page.evaluate("['offline', 'online'].forEach((type) => window.dispatchEvent(new Event(type)))")
    assert watcher.page.evaluate("live.state") == "paused"
    watcher.page.evaluate("live.resume()")
    watcher.wait_state("live")


def test_a_browser_without_network_says_so_and_catches_up(tabs: Tabs, dashboard: Dashboard) -> None:
    watcher = tabs.open()
    tabs.opened[0].expected += OFFLINE
    tabs.context.set_offline(True)
    watcher.wait_state("offline")
    since = watcher.page.evaluate("Number(live.since)")
    job_id = dashboard.submit("/noop", wait=True)
    assert watcher.page.evaluate("Number(live.since)") == since  # what is shown is as old as that
    tabs.context.set_offline(False)
    watcher.wait_state("live")
    watcher.wait_job(job_id, "completed")


def test_a_proxy_that_answers_for_a_service_that_is_away_is_no_connection(tabs: Tabs) -> None:
    def answer(route: Route) -> None:
        asked.append(route)
        route.fulfill(body="retry: 1000\n", content_type="text/event-stream")

    asked: list[Route] = []
    tab = tabs._open_tab()
    tab.page.clock.install(time=0)
    tab.page.clock.pause_at(1_000)  # a stream lasts for no time at all, whatever the machine does meanwhile
    tab.page.route(STREAM, answer)
    watcher = Watcher(tab.page, tab.url)
    watcher.wait_state("reconnecting")
    while len(asked) < 2:
        tab.page.clock.run_for(100)
    watcher.page.wait_for_function("() => heard.states.filter((state) => state === 'reconnecting').length > 1")
    assert "live" not in watcher.get("states")
    assert watcher.get("resets") == 0


def test_a_stream_in_which_nothing_comes_any_more_is_opened_again(tabs: Tabs) -> None:
    tab = tabs._open_tab()
    tab.page.clock.install()
    asked = []
    tab.page.route(STREAM, lambda route: asked.append(route))  # and never answered
    Watcher(tab.page, tab.url)
    tab.page.wait_for_function("() => live.state === 'connecting'")
    while len(asked) < 2:
        tab.page.clock.run_for(40_000)


def test_a_check_that_takes_long_is_the_only_one_and_counts_only_if_nothing_has_come_since(
    tabs: Tabs, dashboard: Dashboard
) -> None:
    tab = tabs._open_tab()
    tab.page.clock.install()
    watcher = Watcher(tab.page, tab.url)
    watcher.wait_state("live")
    watcher.wait_resets(1)
    checks: list[Route] = []
    tab.page.route(CHECK, lambda route: checks.append(route))
    tab.expected.append("503")

    def wait_check(count: int) -> None:
        while len(checks) < count:
            tab.page.clock.run_for(1_000)

    wait_check(1)
    for _ in range(2):
        watcher.wait_job(dashboard.submit("/noop", wait=True), "completed")
        tab.page.clock.run_for(6_000)
    assert len(checks) == 1
    checks[0].fulfill(status=503, json={"detail": "Jobs cannot be read"})
    wait_check(2)
    assert "reconnecting" not in watcher.get("states")
    checks[1].fulfill(status=503, json={"detail": "Jobs cannot be read"})
    watcher.wait_state("reconnecting")


def test_a_service_that_cannot_read_its_jobs_is_not_called_live(tabs: Tabs, dashboard: Dashboard) -> None:
    """Its streams stay open, and nothing comes."""
    tab = tabs._open_tab()
    tab.page.clock.install()
    watcher = Watcher(tab.page, tab.url)
    watcher.wait_state("live")
    watcher.wait_resets(1)
    # All is well, and nothing happens.
    while not any("limit=1" in url for url in tab.requests):
        tab.page.clock.run_for(1_000)
    assert watcher.get("states")[-1] == "live"
    assert len([url for url in tab.requests if "$stream" in url]) == 1
    tab.expected.append("503")
    tab.page.route(CHECK, lambda route: route.fulfill(status=503, json={"detail": "Jobs cannot be read"}))
    tab.page.route(STREAM, lambda _: None)  # never answered
    while "reconnecting" not in watcher.get("states"):
        tab.page.clock.run_for(1_000)
    since = watcher.page.evaluate("Number(live.since)")
    job_id = dashboard.submit("/noop", wait=True)
    tab.page.clock.run_for(20_000)
    assert watcher.page.evaluate("[live.state, Number(live.since)]") == ["reconnecting", since]
    tab.page.unroute(CHECK)
    tab.page.unroute(STREAM)
    while watcher.page.evaluate("live.state") != "live":
        tab.page.clock.run_for(10_000)  # until the stream that was never answered is given up
    watcher.wait_job(job_id, "completed")
