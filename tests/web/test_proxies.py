"""A proxy answers for a service that is away for a moment, or an answer breaks off on its way: that is no answer."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

from playwright.sync_api import Route, expect

from tests.needs import needs
from tests.web.conftest import Dashboard, Tab

pytestmark = needs("chromium")

LIST = "**/api/v1/jobs?limit=50"


def answer_as_a_proxy(route: Route) -> None:
    route.fulfill(status=404, content_type="text/plain", body="404 page not found")


class _BreaksOff(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"[")

    def log_message(self, *_: object) -> None:
        """It has nothing to say."""


@contextmanager
def broken_answers() -> Iterator[str]:
    """The address of a server whose answers break off."""
    with HTTPServer(("127.0.0.1", 0), _BreaksOff) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def expect_the_list_to_come_back(tab: Tab, job_id: str) -> None:
    """Also without a new connection, which would have it read again."""
    expect(tab.page.locator(".connection")).to_have_attribute("data-live", "live")
    expect(tab.page.get_by_role("heading", name="Jobs cannot be read")).to_be_visible()
    expect(tab.page.locator("job-list")).to_contain_text("The service does not answer")
    tab.page.unroute(LIST)
    expect(tab.page.locator(f"tr[data-id='{job_id}']")).to_be_visible()


def test_a_job_is_not_gone_because_a_proxy_says_so(tab: Tab, dashboard: Dashboard) -> None:
    tab.expected.append("404")
    job_id = dashboard.submit("/forever")
    tab.page.route(f"**/{job_id}/$stream*", answer_as_a_proxy)
    tab.open(job_id)
    article = tab.page.locator(".job-page")
    expect(article).to_have_class(re.compile(r"\bstale\b"))
    tab.page.unroute_all()
    dashboard.client.post(f"/api/v1/jobs/{job_id}/$cancel")
    expect(article).to_have_attribute("data-status", "canceled")
    expect(article).not_to_have_class(re.compile(r"\b(stale|deleted)\b"))


def test_a_list_comes_back_after_a_proxy_has_answered(tab: Tab, dashboard: Dashboard) -> None:
    tab.expected.append("404")
    [job_id] = dashboard.seed()
    tab.page.route(LIST, answer_as_a_proxy)
    tab.open()
    expect_the_list_to_come_back(tab, job_id)


def test_a_list_comes_back_after_an_answer_that_broke_off(tab: Tab, dashboard: Dashboard) -> None:
    tab.expected.append("net::ERR_CONTENT_LENGTH_MISMATCH")
    [job_id] = dashboard.seed()
    with broken_answers() as address:
        tab.page.route(LIST, lambda route: route.continue_(url=address))
        tab.open()
        expect_the_list_to_come_back(tab, job_id)
