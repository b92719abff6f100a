"""What the first view costs: how much a browser asks for until there is a row, and nothing of it from elsewhere."""

from urllib.parse import urlsplit

from playwright.sync_api import Request, expect

from tests.needs import needs
from tests.web.conftest import Dashboard, Tab

pytestmark = needs("chromium")

MOST_BYTES = 60_000
MOST_REQUESTS = 8


def test_the_first_row_needs_few_requests_and_few_bytes(tab: Tab, dashboard: Dashboard) -> None:
    dashboard.seed(count=50)
    asked: list[Request] = []
    tab.page.on("request", lambda request: asked.append(request) if request.url.startswith("http") else None)
    tab.page.add_init_script(
        """
        new MutationObserver((_, observer) => {
          if (!document.querySelector('tbody tr a')) return;
          observer.disconnect();
          window.atFirstRow = performance.getEntriesByType('resource').filter((each) => each.responseEnd > 0).length;
        }).observe(document, { childList: true, subtree: true });
        """
    )
    tab.open()
    expect(tab.page.locator("tbody tr a").first).to_be_visible()
    tab.page.wait_for_function("() => window.atFirstRow > 0")
    first = asked[: 1 + tab.page.evaluate("atFirstRow")]
    names = [urlsplit(request.url).path.rpartition("/")[2] for request in first]
    assert len(first) <= MOST_REQUESTS, names
    sizes = [request.sizes() for request in first]
    sent = [size["responseBodySize"] + size["responseHeadersSize"] for size in sizes]
    assert sum(sent) <= MOST_BYTES, dict(zip(names, sent, strict=True))
