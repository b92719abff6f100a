"""A page outlives a deploy behind the proxies as the guide configures them: nothing is missing, nothing comes twice."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.chromium import CHROMIUM_OPTIONS
from tests.docs.pages import ROOT, read_sections
from tests.docs.proxies import run_apache, run_nginx
from tests.needs import needs, program
from tests.ports import find_free_port
from tests.service import Service, run_service

SECONDS = 30
_PAGE = """
<!doctype html><title>A page</title>
<script>
  const told = [];
  let errors = 0;
  function watch(url) {
    const source = window.source = new EventSource(url);
    source.onmessage = (event) => {
      told.push(`${event.lastEventId} ${JSON.parse(event.data).status}`);
      if (told.at(-1).endsWith("completed")) source.close();
    };
    source.onerror = () => errors++;
  }
</script>
"""

Run = Callable[[str, Path], AbstractContextManager[str]]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program("chromium"), args=CHROMIUM_OPTIONS)
        yield chromium
        chromium.close()


def configuration(language: str, service: Service) -> str:
    """The block of the guide, with the port where the service really is."""
    blocks = [block for section in read_sections(ROOT / "docs/guide.md") for block in section.blocks]
    (block,) = [block for block in blocks if block.language == language]
    return block.text.replace("127.0.0.1:8000", f"127.0.0.1:{service.port}")


@pytest.mark.parametrize(
    ("language", "run_proxy"),
    [
        pytest.param("nginx", run_nginx, marks=needs("chromium", "nginx")),
        pytest.param("apache", run_apache, marks=needs("chromium", "apache")),
    ],
)
def test_a_page_misses_nothing_while_the_service_is_away(
    language: str, run_proxy: Run, browser: Browser, tmp_path: Path
) -> None:
    environment = {"SERVICEKIT_JOBS_URL": f"sqlite:///{tmp_path}/jobs.db"}
    end = tmp_path / "end"
    with (
        run_service("tests.docs.waiting_app:app", port=find_free_port(), environment=environment) as first,
        run_proxy(configuration(language, first), tmp_path) as proxy_url,
        browser.new_page() as page,
    ):
        page.set_default_timeout(SECONDS * 1_000)
        page.route(f"{proxy_url}/page", lambda route: route.fulfill(body=_PAGE, content_type="text/html"))
        page.goto(f"{proxy_url}/page")
        submitted = httpx.post(f"{first.url}/wait", params={"path": str(end)}).json()
        page.evaluate("(url) => watch(url)", submitted["stream_url"])
        page.wait_for_function("told.length && told.at(-1).endsWith('running')")
        first.stop()
        page.wait_for_function("errors >= 3")  # it has come back twice, and nobody was there
        assert httpx.get(f"{proxy_url}/api/v1/jobs").status_code in (502, 503)  # which others are told as ever
        assert page.evaluate("source.readyState") == 0
        with run_service("tests.docs.waiting_app:app", port=first.port, environment=environment):
            page.wait_for_function("told.filter((each) => each.endsWith('running')).length == 2")
            end.touch()
            page.wait_for_function("source.readyState === EventSource.CLOSED")
            told = [each.split() for each in page.evaluate("told")]
    assert [status for _, status in told if status != "pending"] == ["running", "running", "completed"]
    assert "pending" in [status for _, status in told[1:-1]]
    numbers = [int(number) for number, _ in told]
    assert numbers == sorted(set(numbers))
