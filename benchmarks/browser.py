"""A real browser on our service's dashboard, and what it measures of the page."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.contestants import on_all_cores
from tests.chromium import CHROMIUM_OPTIONS
from tools.system_packages import find_program

_SCREEN = {"width": 1440, "height": 900}
# Noted in the page itself, by its own clock: when there was a first row, and when the browser had drawn the end of each
# job.
_NOTES = """
window.noted = { firstRow: null, ended: {} };
noted.observer = new MutationObserver(() => {
  const rows = document.querySelectorAll('tr[data-id]');
  if (!rows.length) return;
  noted.firstRow ??= performance.now();
  const ended = [...rows].filter((row) => row.dataset.state === 'completed' && !(row.dataset.id in noted.ended));
  for (const row of ended) noted.ended[row.dataset.id] = null;
  if (ended.length) requestAnimationFrame(() => setTimeout(() => {
    for (const row of ended) noted.ended[row.dataset.id] ??= Date.now() / 1000;
  }));
});
noted.observer.observe(document, { childList: true, subtree: true, attributes: true, attributeFilter: ['data-state'] });
"""


_TASKS = ["-*", "toplevel"]  # what a trace records: nothing but what each thread does


class Task(NamedTuple):
    """A task of the thread on which the page's scripts run, styles are found and the layout is made."""

    seconds: float
    """By the clock: other programs may have had the processor meanwhile."""
    cpu_seconds: float


def has_browser() -> bool:
    """Whether there is a Chromium."""
    return find_program("chromium") is not None


@contextmanager
def running_browser() -> Iterator[Browser]:
    """A Chromium, until the end of the block. It may use all cores, as anybody's: it is made of many processes."""
    with ExitStack() as stack:
        with on_all_cores():
            playwright = stack.enter_context(sync_playwright())  # which starts the process that starts the browser
            browser = playwright.chromium.launch(executable_path=find_program("chromium"), args=CHROMIUM_OPTIONS)
        stack.callback(browser.close)
        yield browser


@contextmanager
def opened(browser: Browser, url: str) -> Iterator[Page]:
    """The dashboard of this service, live, in a browser that has never seen it."""
    context = browser.new_context(viewport=_SCREEN)  # type: ignore[arg-type] # it is a dict of two integers
    try:
        page = context.new_page()
        page.add_init_script(_NOTES)
        page.goto(f"{url}/jobs/")
        page.wait_for_selector("[data-live=live]", timeout=60_000)
        yield page
    finally:
        context.close()


@contextmanager
def tracing(browser: Browser, page: Page) -> Iterator[list[Task]]:
    """Record the tasks of the page during the block. They are in the list after it."""
    tasks: list[Task] = []
    page.evaluate("noted.observer.disconnect()")  # it would be a part of what is measured
    browser.start_tracing(page=page, categories=_TASKS)
    yield tasks
    events: list[dict[str, Any]] = json.loads(browser.stop_tracing())["traceEvents"]
    threads = {
        (each["pid"], each["tid"])
        for each in events
        if each["name"] == "thread_name" and each["args"]["name"] == "CrRendererMain"
    }
    tasks.extend(
        Task(each["dur"] / 1e6, each["tdur"] / 1e6)
        for each in events
        # The task in which the recording ends has no end.
        if each["name"].endswith("::RunTask") and (each["pid"], each["tid"]) in threads and "tdur" in each
    )


class ThreadClock:
    """The CPU time of the thread of `Task`."""

    def __init__(self, page: Page) -> None:
        self._session = page.context.new_cdp_session(page)
        self._session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def seconds(self) -> float:
        """How much it has had since the page was opened."""
        metrics = {each["name"]: each["value"] for each in self._session.send("Performance.getMetrics")["metrics"]}
        return float(metrics["TaskDuration"])


def heap_bytes(page: Page) -> float:
    """What the page holds in memory when its garbage is collected."""
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    used: float = session.send("Runtime.getHeapUsage")["usedSize"]
    return used
