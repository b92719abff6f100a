"""Who sees the dashboard: with an API key that is typed in, and with the cookie of an application that has users."""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.needs import needs
from tests.service import run_service
from tests.web.apps import ACTOR, ADMIN, READER
from tests.web.conftest import Dashboard, Tab, open_tabs
from tests.web.watching import Watcher

pytestmark = needs("chromium")

Open = Callable[..., Tab]


@pytest.fixture(scope="module")
def keys() -> Iterator[Dashboard]:
    with (
        run_service("tests.web.apps:keys_app") as service,
        closing(Dashboard(service, headers={"X-API-Key": ADMIN})) as opened,
    ):
        yield opened


@pytest.fixture(scope="module")
def users() -> Iterator[Dashboard]:
    with run_service("tests.web.apps:users_app") as service, closing(Dashboard(service)) as opened:
        opened.client.cookies.set("user", "eve")
        yield opened


@pytest.fixture
def guarded_tab(browser: Browser, keys: Dashboard) -> Iterator[Tab]:
    with open_tabs(browser, keys.url) as open_one:
        tab = open_one()
        tab.expected.append("status of 401")
        yield tab


@pytest.fixture
def user_tab(browser: Browser, users: Dashboard) -> Iterator[Tab]:
    with open_tabs(browser, users.url) as open_one:
        tab = open_one()
        tab.expected.append("status of 401")
        yield tab


def enter(page: Page, key: str) -> None:
    dialog = page.get_by_role("dialog", name="Who are you?")
    dialog.get_by_label("API key").fill(key)
    dialog.get_by_role("button", name="Enter").click()


def list_pages(page: Page) -> list[str]:
    links = page.get_by_role("navigation", name="Pages").get_by_role("link")
    expect(links.first).to_be_visible()
    return links.all_inner_texts()


def ask(page: Page, method: str, url: str) -> int:
    """The status that a page gets for a request of its own."""
    status: int = page.evaluate("([method, url]) => fetch(url, { method }).then(({ status }) => status)", [method, url])
    return status


def test_a_key_is_asked_for_and_kept_for_the_tab_alone(guarded_tab: Tab, keys: Dashboard) -> None:
    tab, page = guarded_tab, guarded_tab.page
    tab.open()
    dialog = page.get_by_role("dialog", name="Who are you?")
    expect(dialog).to_contain_text("Enter an API key")
    enter(page, "a-key-that-nobody-has")
    expect(dialog.get_by_role("alert")).to_have_text("This API key is not valid.")
    enter(page, "no key")
    expect(dialog.get_by_role("alert")).to_contain_text("neither blanks")
    enter(page, ADMIN)
    expect(page.get_by_role("group", name="Connection")).to_have_attribute("data-live", "live")
    assert list_pages(page) == ["Jobs", "Queues", "Schedules", "Workers"]
    page.reload()
    expect(page.get_by_role("group", name="Connection")).to_have_attribute("data-live", "live")
    assert page.evaluate("sessionStorage.getItem('servicekit.key')") == ADMIN
    assert ADMIN not in str(page.evaluate("[document.cookie, JSON.stringify(localStorage), location.href]"))
    assert not any(ADMIN in url for url in tab.requests)  # addresses stand in logs
    assert not any("$ticket" in url for url in tab.requests)
    assert ADMIN not in keys.service.log
    page.get_by_role("button", name="Sign out").click()
    expect(dialog).to_be_visible()


def test_a_key_that_was_not_entered_can_be_entered_later(guarded_tab: Tab) -> None:
    guarded_tab.open()
    expect(guarded_tab.page.get_by_label("API key")).to_be_focused()
    guarded_tab.page.keyboard.press("Escape")
    expect(guarded_tab.page.get_by_role("dialog")).to_have_count(0)
    expect(guarded_tab.page.get_by_role("alert")).to_contain_text("Enter an API key")
    guarded_tab.page.get_by_role("button", name="Enter a key").click()
    enter(guarded_tab.page, READER)
    expect(guarded_tab.page.get_by_role("group", name="Connection")).to_have_attribute("data-live", "live")
    assert list_pages(guarded_tab.page) == ["Jobs"]


def test_streams_are_read_with_the_key_and_are_those_of_its_owner(guarded_tab: Tab, keys: Dashboard) -> None:
    watcher = Watcher(guarded_tab.page, guarded_tab.url, key=ACTOR)
    watcher.wait_state("live")
    other = keys.submit("/noop", wait=True)
    own = keys.submit("/noop", headers={"X-API-Key": ACTOR})
    watcher.wait_job(own, "completed")
    assert other not in [job_id for job_id, _, _ in watcher.get("records")]


def test_without_a_key_no_stream_is_told_of_anything(guarded_tab: Tab, keys: Dashboard) -> None:
    keys.seed()
    watcher = Watcher(guarded_tab.page, guarded_tab.url)
    watcher.wait_state("reconnecting")
    assert watcher.get("locked") > 0
    assert (watcher.get("records"), watcher.get("resets")) == ([], 0)


def test_the_cookie_of_a_user_is_enough_for_the_page_its_stream_and_its_actions(
    user_tab: Tab, users: Dashboard
) -> None:
    tab, page = user_tab, user_tab.page
    tab.open()
    expect(page.get_by_role("alert")).to_contain_text("Log in first.")
    expect(page.get_by_role("dialog")).to_have_count(0)  # no key would help
    origin = users.service.url
    assert ask(page, "POST", f"{origin}/login/ana") == 204
    page.get_by_role("button", name="Load the page again").click()
    expect(page.get_by_role("group", name="Connection")).to_have_attribute("data-live", "live")
    assert list_pages(page) == ["Jobs"]
    watcher = Watcher(page, tab.url)
    watcher.wait_state("live")
    assert ask(page, "POST", f"{origin}/forever") == 202
    watcher.page.wait_for_function("() => heard.records.some((each) => each[2] === 'running')")
    job_id = watcher.get("records")[0][0]
    assert ask(page, "POST", f"{origin}/api/v1/jobs/{job_id}/$cancel") in (200, 202)
    watcher.wait_job(job_id, "canceled")


@pytest.fixture
def other_site() -> Iterator[str]:
    """A page of another site: for a browser, `localhost` is another one than `127.0.0.1`."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>Elsewhere</title><link rel=icon href=data:,>")

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, name="another site").start()
        yield f"http://localhost:{server.server_port}/"
        server.shutdown()


def test_pages_of_other_sites_do_nothing_with_the_cookie(user_tab: Tab, users: Dashboard, other_site: str) -> None:
    page, origin = user_tab.page, users.service.url
    user_tab.open()
    assert ask(page, "POST", f"{origin}/login/ana") == 204
    job_id = users.submit("/forever", headers={"Cookie": "user=ana"})
    user_tab.expected += ["status of 403", "another host was asked", "ERR_BLOCKED_BY_RESPONSE"]
    page.goto(other_site)
    for path in (f"/api/v1/jobs/{job_id}/$cancel", "/noop"):
        page.evaluate(
            "url => { fetch(url, { method: 'POST', mode: 'no-cors', credentials: 'include' }).catch(() => null); }",
            f"{origin}{path}",
        )
        users.service.wait_log(rf'"POST {re.escape(quote(path))} HTTP/1.1" 403')
    assert users.record(job_id)["status"] in ("pending", "running")


def test_the_dialog_tells_nobody_what_was_typed(guarded_tab: Tab) -> None:
    def autocomplete_of(page: Page) -> Any:
        return page.get_by_label("API key").evaluate("input => [input.type, input.autocomplete, input.name]")

    guarded_tab.open()
    assert autocomplete_of(guarded_tab.page) == ["password", "off", ""]
