"""The guide's EventSource, React and Vue code in a real browser, in front of the real service."""

import re
import subprocess
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Error, Page, expect, sync_playwright

from tests.chromium import CHROMIUM_OPTIONS
from tests.guide.jobs import (
    TIMEOUT,
    drop_streams,
    finish,
    run_app,
    submit,
    submit_finished,
    wait_stream_answers,
    wait_streams,
)
from tests.guide.quoted import fill_in
from tests.needs import FRONTEND, needs, program
from tests.ports import find_free_port
from tests.service import ROOT, Service

pytestmark = needs("chromium", "node", FRONTEND)

UNKNOWN_ID = "01JQRS7XK5N8Z3VQ2M4T6W8Y0A"
KEEP_SOURCES = """
    window.sources = [];
    window.EventSource = class extends EventSource {
        constructor(url, options) { super(url, options); window.sources.push(this); }
    };
"""
"""The components keep their EventSource to themselves; this lets a test look at it."""

CLOSED = "sources.length > 0 && sources.every((source) => source.readyState === EventSource.CLOSED)"
"""An EventSource that is closed never connects again."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    bundle = tmp_path_factory.mktemp("frontend")
    vite = ROOT / "tests/frontend/node_modules/vite/bin/vite.js"
    build = [program("node"), str(vite), "build", "--outDir", str(bundle), "--emptyOutDir", "--logLevel", "warn"]
    built = subprocess.run(build, cwd=ROOT / "tests/frontend", capture_output=True, text=True, timeout=60, check=False)
    assert (built.returncode, built.stdout, built.stderr) == (0, "", "")
    with run_app("create_app", FRONTEND=str(bundle)) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program("chromium"), args=CHROMIUM_OPTIONS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    errors: list[Error] = []
    context = browser.new_context()
    context.set_default_timeout(TIMEOUT * 1000)
    page = context.new_page()
    page.add_init_script(KEEP_SOURCES)
    page.on("pageerror", lambda error: errors.append(error))
    yield page
    context.close()
    assert [error for error in errors if "SwaggerUIBundle" not in error.message] == []


@pytest.fixture
def console(page: Page) -> list[str]:
    """What the page's scripts write to its console; what the browser itself remarks there has no arguments."""
    lines: list[str] = []
    page.on("console", lambda message: lines.append(message.text) if message.args else None)
    return lines


def wait_first_event(page: Page, console: list[str]) -> None:
    """The page has the headers of a stream a moment before."""
    while not console:
        page.wait_for_timeout(10)


def wait_closed(page: Page) -> None:
    page.wait_for_function(CLOSED)


def occupy(service: Service) -> Callable[[], None]:
    """Take all five slots of the service. Returns what frees them."""
    job_ids = [submit(service, may_wait=True) for _ in range(5)]

    def free() -> None:
        for job_id in job_ids:
            finish(service, job_id)

    return free


# --- EventSource -------------------------------------------------------------------------------------------------


def read_on_page(page: Page, service: Service, snippet: str, job_id: str) -> None:
    """Run a script of the guide on a page of the service."""
    page.goto(f"{service.url}/page")
    page.add_script_tag(content=fill_in(snippet, job_id=job_id))


@pytest.mark.parametrize(("error", "last"), [(None, "completed"), ("Invalid input", "failed")])
def test_the_page_shows_each_status_and_closes_at_the_end(
    page: Page, console: list[str], service: Service, error: str | None, last: str
) -> None:
    free = occupy(service)
    job_id = submit(service, error=error, may_wait=True)
    read_on_page(page, service, "event_source.js", job_id)
    status = page.locator("#status")
    expect(status).to_have_text("pending")
    free()
    expect(status).to_have_text("running")
    finish(service, job_id)
    expect(status).to_have_text(last)
    wait_closed(page)
    assert console == ["Status: pending", "Status: running", f"Status: {last}", "Job finished"]
    wait_stream_answers(service, job_id, 200)


def test_the_pages_error_handler_closes_a_stream_that_broke_off(
    page: Page, console: list[str], service: Service
) -> None:
    job_id = submit(service)
    read_on_page(page, service, "event_source.js", job_id)
    expect(page.locator("#status")).to_have_text("running")
    drop_streams(service)
    wait_closed(page)
    assert console[-1].startswith("SSE connection error:")
    wait_stream_answers(service, job_id, 200)


def test_a_page_that_never_closes_comes_back_once_and_is_told_to_stop(
    page: Page, console: list[str], service: Service
) -> None:
    job_id = submit(service)
    # Swagger's own scripts come from elsewhere, and are not what is tested.
    page.route(lambda url: not url.startswith(service.url), lambda route: route.abort())
    page.goto(f"{service.url}/docs", wait_until="commit")
    page.add_script_tag(content=fill_in("console.js", job_id=job_id))
    wait_first_event(page, console)
    finish(service, job_id)
    wait_closed(page)
    assert [re.findall(r"status: (\w+)", line) for line in console] == [["running"], ["completed"]]
    wait_stream_answers(service, job_id, 200, 204)


def test_a_page_that_comes_back_sees_the_rest_and_nothing_twice(
    page: Page, console: list[str], service: Service
) -> None:
    job_id = submit(service)
    read_on_page(page, service, "console.js", job_id)
    wait_first_event(page, console)
    drop_streams(service)
    wait_streams(service, 0)
    wait_streams(service, 1)
    drop_streams(service)
    wait_streams(service, 0)
    finish(service, job_id)
    wait_closed(page)
    assert [re.findall(r"status: (\w+)", line) for line in console] == [["running"], ["completed"]]
    wait_stream_answers(service, job_id, 200, 200, 200, 204)


def test_a_page_finds_out_that_a_restarted_service_has_lost_its_job(page: Page, console: list[str]) -> None:
    with run_app("create_app", port=find_free_port()) as first:
        job_id = submit(first)
        read_on_page(page, first, "console.js", job_id)
        page.wait_for_function("es.readyState === EventSource.OPEN")
        first.kill()
    with run_app("create_app", port=first.port) as second:
        wait_closed(page)
        wait_stream_answers(second, job_id, 404)


@pytest.mark.parametrize("job_id", ["nonsense", UNKNOWN_ID])
def test_an_id_that_leads_nowhere_closes_the_event_source(
    page: Page, console: list[str], service: Service, job_id: str
) -> None:
    read_on_page(page, service, "check_errors.js", job_id)
    wait_closed(page)
    assert console[-1] == "ReadyState: 2"


# --- Other origins -----------------------------------------------------------------------------------------------


def read_from_elsewhere(page: Page, service: Service, other: Service, job_id: str) -> None:
    """Run the guide's troubleshooting script on a page of one service, so that it opens a stream of another."""
    page.goto(f"{service.url}/page")
    page.evaluate("(href) => document.head.append(Object.assign(document.createElement('base'), { href }))", other.url)
    script = fill_in("check_errors.js", job_id=job_id)
    page.add_script_tag(content=f"{script}\nes.onmessage = (e) => console.log(JSON.parse(e.data).status);")


def test_another_origins_stream_is_refused_without_cors(page: Page, console: list[str], service: Service) -> None:
    with run_app("create_app") as other:
        job_id = submit(other)
        read_from_elsewhere(page, service, other, job_id)
        wait_closed(page)
        wait_stream_answers(other, job_id, 200)  # it is the browser that keeps it from the page
    assert console[-1] == "ReadyState: 2"
    assert "running" not in console


def test_another_origins_stream_is_read_with_cors(page: Page, console: list[str], service: Service) -> None:
    with run_app("create_app_with_cors", PAGE_ORIGIN=service.url) as other:
        job_id = submit_finished(other)
        read_from_elsewhere(page, service, other, job_id)
        wait_closed(page)
    assert console == [
        "completed",
        "EventSource error: Event",
        "ReadyState: 0",
        "EventSource error: Event",
        "ReadyState: 2",
    ]


# --- React and Vue -----------------------------------------------------------------------------------------------


def show_component(page: Page, service: Service, framework: str, job_id: str) -> None:
    page.goto(f"{service.url}/frontend/{framework}.html?job={job_id}")


@pytest.mark.parametrize("framework", ["react", "vue"])
def test_the_component_shows_a_job_from_pending_to_completed(page: Page, service: Service, framework: str) -> None:
    free = occupy(service)
    job_id = submit(service, may_wait=True)
    show_component(page, service, framework, job_id)
    expect(page.get_by_role("heading")).to_have_text(f"Job {job_id}")
    expect(page.get_by_text("Status: pending")).to_be_visible()
    free()
    expect(page.get_by_text("Status: running")).to_be_visible()
    finish(service, job_id)
    expect(page.get_by_text("Status: completed")).to_be_visible()
    expect(page.locator(".error")).to_have_count(0)
    wait_closed(page)
    wait_stream_answers(service, job_id, 200)


@pytest.mark.parametrize("framework", ["react", "vue"])
def test_the_component_shows_why_a_job_has_failed(page: Page, service: Service, framework: str) -> None:
    job_id = submit_finished(service, error="Invalid input")
    show_component(page, service, framework, job_id)
    expect(page.get_by_text("Status: failed")).to_be_visible()
    expect(page.locator(".error")).to_have_text("ValueError: Invalid input")
    wait_closed(page)


@pytest.mark.parametrize("framework", ["react", "vue"])
def test_the_component_closes_its_stream_when_it_goes_away(page: Page, service: Service, framework: str) -> None:
    job_id = submit(service)
    show_component(page, service, framework, job_id)
    expect(page.get_by_text("Status: running")).to_be_visible()
    page.evaluate("unmount()")
    wait_closed(page)
    wait_streams(service, 0)
    finish(service, job_id)


def test_the_react_component_follows_another_job(page: Page, service: Service) -> None:
    first, second = submit(service), submit_finished(service)
    show_component(page, service, "react", first)
    expect(page.get_by_text("Status: running")).to_be_visible()
    page.evaluate("(jobId) => show(jobId)", second)
    expect(page.get_by_text("Status: completed")).to_be_visible()
    wait_closed(page)
    wait_streams(service, 0)
    finish(service, first)


def test_the_react_component_gives_up_a_stream_that_broke_off(page: Page, service: Service) -> None:
    job_id = submit(service)
    show_component(page, service, "react", job_id)
    expect(page.get_by_text("Status: running")).to_be_visible()
    drop_streams(service)
    wait_closed(page)
    finish(service, job_id)
    wait_stream_answers(service, job_id, 200)


def test_the_vue_component_comes_back_to_a_stream_that_broke_off(page: Page, service: Service) -> None:
    job_id = submit(service)
    show_component(page, service, "vue", job_id)
    expect(page.get_by_text("Status: running")).to_be_visible()
    drop_streams(service)
    wait_streams(service, 0)
    finish(service, job_id)
    expect(page.get_by_text("Status: completed")).to_be_visible()
    wait_closed(page)
    wait_stream_answers(service, job_id, 200, 200)
