"""How soon the dashboard shows something, how soon it shows a change, and what a thousand changes a second cost it."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from playwright.sync_api import Browser, Page

from benchmarks.browser import ThreadClock, has_browser, heap_bytes, opened, running_browser, tracing
from benchmarks.clients import Connection, request_of
from benchmarks.contestants import Contestant, Contestants
from benchmarks.disk import temporary_folder
from benchmarks.figures import OURS, Figure, Target, percentile
from benchmarks.filled import fill
from benchmarks.servers import Server, serving

_SUBMIT = request_of("POST", "/noop")
_CHANGES_OF_A_JOB = 3  # submitted, started, ended
_CHANGES_PER_SECOND = 1_000
_LOOK_SECONDS = 0.05  # apart, so that changes come at any time of the page's frames


def measure(contestants: Contestants, *, quick: bool) -> Iterator[Figure]:
    if not has_browser():
        print("There is no Chromium: the dashboard is not measured.", file=sys.stderr)
        return
    rounds, kept, changes, seconds = (1, 1_000, 5, 1.0) if quick else (7, 100_000, 200, 60.0)
    with running_browser() as browser:
        with serving_filled(contestants.ours, kept) as server:
            yield from measure_first_view(server, browser, kept, rounds)
            yield from measure_flood(server, browser, kept, seconds)
        with serving_dashboard(contestants.ours) as server:
            yield from measure_changes(server, browser, changes)


def measure_first_view(server: Server, browser: Browser, kept: int, rounds: int) -> Iterator[Figure]:
    views = [view_first(server, browser) for _ in range(rounds)]
    name = f"{kept:,} jobs kept: a browser that has nothing yet"
    yield Figure(f"{name}, first row after", "ms", {OURS: [view["first_row"] for view in views]}, (Target(700),))
    yield Figure(f"{name}, requests until then", "", {OURS: [view["requests"] for view in views]}, (Target(8),))
    yield Figure(f"{name}, bytes until then", "kB", {OURS: [view["bytes"] / 1000 for view in views]}, (Target(60),))


def view_first(server: Server, browser: Browser) -> dict[str, float]:
    with opened(browser, url_of(server)) as page:
        page.wait_for_function("() => noted.firstRow !== null")
        first_row: float = page.evaluate("noted.firstRow")
        loaded: list[list[float]] = page.evaluate(
            """[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
               .filter((each) => each.responseEnd) // what is still waited for has none
               .map((each) => [each.responseEnd, each.transferSize])"""
        )
    before = [size for ended, size in loaded if ended <= first_row]
    return {"first_row": first_row, "requests": len(before), "bytes": sum(before)}


def measure_changes(server: Server, browser: Browser, changes: int) -> Iterator[Figure]:
    """Jobs end one after the other. From the end that the service has written down until the browser has drawn it."""
    with opened(browser, url_of(server)) as page:
        delays = [wait_drawn(server, page) for _ in range(changes)]
    for percent, label, targets in ((50, "median", ()), (95, "p95", (Target(150),))):
        yield Figure(
            f"from the end of a job to the screen, {label}", "ms", {OURS: [percentile(delays, percent) * 1000]}, targets
        )


def wait_drawn(server: Server, page: Page) -> float:
    time.sleep(_LOOK_SECONDS)
    job_id: str = server.post("/noop")["job_id"]
    drawn_at: float = page.wait_for_function("id => noted.ended[id]", arg=job_id, timeout=60_000).json_value()
    record: dict[str, Any] = server.get(f"/api/v1/jobs/{job_id}")
    return max(drawn_at - datetime.fromisoformat(record["finished_at"]).timestamp(), 0)


def measure_flood(server: Server, browser: Browser, kept: int, seconds: float) -> Iterator[Figure]:
    """Whether the page is still quick to answer: a task longer than 50 ms is one that a user can notice."""
    with opened(browser, url_of(server)) as page, Connection(server.address) as connection:
        clock = ThreadClock(page)
        with tracing(browser, page) as tasks:
            before = clock.seconds()
            made = submit_steadily(connection, seconds)
            busy = clock.seconds() - before
        heap = heap_bytes(page)
    name = f"{kept:,} jobs kept, {made * _CHANGES_OF_A_JOB / seconds:,.0f} changes a second for {seconds:g} s"
    longest = {"CPU": max(task.cpu_seconds for task in tasks), "the clock": max(task.seconds for task in tasks)}
    for by, longest_seconds in longest.items():
        targets = (Target(50),) if by == "CPU" else ()
        note = "" if targets else "other programs have had the processor meanwhile"
        yield Figure(f"{name}: longest task of the page by {by}", "ms", {OURS: [longest_seconds * 1000]}, targets, note)
    yield Figure(f"{name}: CPU of the page's thread", "% core", {OURS: [busy / seconds * 100]})
    yield Figure(f"{name}: heap of the page then", "MB", {OURS: [heap / 1e6]}, (Target(30),))


def submit_steadily(connection: Connection, seconds: float) -> int:
    """Submit by the clock, and how many were submitted in that time."""
    start, made = time.monotonic(), 0
    while (passed := time.monotonic() - start) < seconds:
        if made * _CHANGES_OF_A_JOB > passed * _CHANGES_PER_SECOND:
            time.sleep(0.001)
            continue
        connection.exchange(_SUBMIT)
        made += 1
    return made


@contextmanager
def serving_filled(ours: Contestant, kept: int) -> Iterator[Server]:
    with temporary_folder() as folder:
        fill(folder / "jobs.db", finished=kept, pending=0)
        with serving_dashboard(ours, SERVICEKIT_JOBS_URL=f"sqlite:///{folder / 'jobs.db'}") as server:
            yield server


@contextmanager
def serving_dashboard(ours: Contestant, **environment: str) -> Iterator[Server]:
    settings = {"SERVICEKIT_JOBS_URL": "memory://", **environment}
    with serving(ours, BENCHMARK_HAS_DASHBOARD="1", BENCHMARK_KEEPS_ALL="1", **settings) as server:
        yield server


def url_of(server: Server) -> str:
    host, port = server.address
    return f"http://{host}:{port}"
