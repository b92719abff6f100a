"""The dashboard in a real browser, on a real service.

    pytestmark = needs("chromium")

    def test_something(tab: Tab, dashboard: Dashboard) -> None:
        job_id = dashboard.submit("/forever")
        tab.open()
        expect(tab.page.get_by_role("row")).to_contain_text("running")

Each module has a service of its own, `dashboard`, with the application `APP` of the module: the name of one in
`tests.web.apps`, `app` by default, or that of a module with its application. A tab fails its test if it has an error,
writes one to the console, breaks its policy, or asks another host for anything. `expect` waits for a minute, so that no
verdict depends on the machine.
"""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, expect, sync_playwright

from tests.chromium import CHROMIUM_OPTIONS
from tests.needs import program
from tests.service import Service, run_service

PATIENCE_MILLISECONDS = 60_000
WIDE = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}
OFFLINE = ["net::ERR_INTERNET_DISCONNECTED", "net::ERR_NETWORK_CHANGED"]
"""What a browser writes into its console while it has no network."""

expect.set_options(timeout=PATIENCE_MILLISECONDS)


class Dashboard:
    """A service with a dashboard, and a client for its routes. `path` is where it is mounted, or a proxy has it."""

    def __init__(self, service: Service, *, path: str = "", headers: dict[str, str] | None = None) -> None:
        self.service = service
        # Each request has a connection of its own: the service ends one that was idle for some seconds.
        limits = httpx.Limits(max_keepalive_connections=0)
        self.client = httpx.Client(base_url=service.url + path, headers=headers, timeout=60, limits=limits)

    @property
    def url(self) -> str:
        """Where the list is."""
        return f"{str(self.client.base_url).rstrip('/')}/jobs/"

    def submit(self, path: str, *, wait: bool = False, **options: Any) -> str:
        """Submit a job by an endpoint, and its id. With `wait`, the job has ended."""
        headers = options.pop("headers", {}) | ({"Prefer": "wait=60"} if wait else {})
        response = self.client.post(path, headers=headers, **options)
        response.raise_for_status()
        return str(response.json()["job_id"])

    def seed(self, path: str = "/noop", count: int = 1, **options: Any) -> list[str]:
        """Jobs that have ended, the oldest first."""
        return [self.submit(path, wait=True, **options) for _ in range(count)]

    def record(self, job_id: str) -> dict[str, Any]:
        """The record of a job."""
        found: dict[str, Any] = self.client.get(f"/api/v1/jobs/{job_id}").raise_for_status().json()
        return found

    def wait_running(self, job_id: str) -> dict[str, Any]:
        """The record of a job as soon as it runs."""
        with self.client.stream("GET", f"/api/v1/jobs/{job_id}/$stream") as events:
            for line in events.iter_lines():
                if line.startswith("data:") and '"running"' in line:
                    return self.record(job_id)
        raise AssertionError(f"The job {job_id} has ended, and was not seen to run.")

    def close(self) -> None:
        """Close the connections of the client."""
        self.client.close()

    def clear(self) -> None:
        """Delete all jobs."""
        while jobs := self.client.get("/api/v1/jobs", params={"limit": 1000}).json():
            for job in jobs:
                self.client.delete(f"/api/v1/jobs/{job['id']}")


class Tab:
    """A page of the browser on a dashboard, with all that it did wrong."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.problems: list[str] = []
        self.requests: list[str] = []
        self.expected: list[str] = []
        """Texts of problems that the test provokes, such as the status of an answer."""
        page.on("pageerror", lambda error: self.problems.append(f"error: {error.stack or error}"))
        page.on("console", self._note)
        page.on("request", self._check_host)

    def open(self, address: str = "") -> None:
        """Go to an address of the dashboard, relative to the list's."""
        self.page.goto(f"{self.url}{address}")

    def check(self) -> None:
        """Fail if anything went wrong that was not expected."""
        assert [each for each in self.problems if not any(text in each for text in self.expected)] == []

    def _note(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.problems.append(f"console: {message.text} {message.location}")

    def _check_host(self, request: Request) -> None:
        self.requests.append(request.url)
        if request.url.startswith("http") and urlsplit(request.url).netloc != urlsplit(self.url).netloc:
            self.problems.append(f"another host was asked: {request.url}")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser for the module: while Playwright runs, no test of another module can have an event loop of its own."""
    with sync_playwright() as playwright:
        executable = program("chromium")
        chromium = playwright.chromium.launch(
            executable_path=executable, args=CHROMIUM_OPTIONS, timeout=PATIENCE_MILLISECONDS
        )
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def dashboard(request: pytest.FixtureRequest) -> Iterator[Dashboard]:
    """The service of the module."""
    name = getattr(request.module, "APP", "app")
    app = name if ":" in name else f"tests.web.apps:{name}"
    with run_service(app) as service, closing(Dashboard(service)) as opened:
        yield opened


@pytest.fixture
def open_tab(browser: Browser, dashboard: Dashboard) -> Iterator[Callable[..., Tab]]:
    """Opens tabs of one browser: `open_tab()`; options are those of Playwright's context, of the first one."""
    with open_tabs(browser, dashboard.url) as open_one:
        yield open_one


@pytest.fixture
def tab(open_tab: Callable[..., Tab]) -> Tab:
    """One tab, as wide as a screen."""
    return open_tab()


@pytest.fixture
def phone(open_tab: Callable[..., Tab]) -> Tab:
    """One tab, as narrow as a phone."""
    return open_tab(viewport=PHONE, has_touch=True, is_mobile=True)


@contextmanager
def open_tabs(browser: Browser, url: str) -> Iterator[Callable[..., Tab]]:
    contexts: list[BrowserContext] = []
    opened: list[Tab] = []

    def open_one(**options: Any) -> Tab:
        if not contexts:
            contexts.append(browser.new_context(**{"viewport": WIDE, **options}))
            contexts[0].set_default_timeout(PATIENCE_MILLISECONDS)
        opened.append(Tab(contexts[0].new_page(), url))
        return opened[-1]

    try:
        yield open_one
    finally:
        for context in contexts:
            context.close()
    for each in opened:
        each.check()
