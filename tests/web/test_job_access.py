"""The page of one job for those who may only look, and for those who come with a key."""

import re

import pytest
from playwright.sync_api import expect

from tests.needs import FRONTEND, needs
from tests.web.apps import ACTOR, READER
from tests.web.axe import find_violations
from tests.web.conftest import Dashboard, Tab

pytestmark = needs("chromium")
APP = "tests.web.job_apps:keys_app"


@pytest.fixture
def job_id(dashboard: Dashboard) -> str:
    """A job that runs, of the owner of the keys."""
    dashboard.client.headers["X-API-Key"] = ACTOR
    return dashboard.submit("/train", json={"model": "xgb"})


def come_in(tab: Tab, key: str, address: str) -> None:
    """Open an address with a key that was typed in before."""
    tab.expected.append("401")
    tab.page.add_init_script(f"sessionStorage.setItem('servicekit.key', '{key}')")
    tab.open(address)


def test_a_key_reads_the_stream_and_the_log_and_acts(tab: Tab, dashboard: Dashboard, job_id: str) -> None:
    come_in(tab, ACTOR, job_id)
    expect(tab.page.locator(".job-mark")).to_have_text("◐running")
    dashboard.client.post(f"/tell/{job_id}", json=[["log", "a secret line"], ["progress", 1, 2]])
    expect(tab.page.get_by_role("region", name="Lines of the log")).to_contain_text("a secret line")
    expect(tab.page.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "50")
    assert [url for url in tab.requests if ACTOR in url] == []
    tab.page.keyboard.press("c")
    tab.page.keyboard.press("Enter")
    expect(tab.page.locator(".job-mark")).to_have_text("■canceled")


def test_a_reader_has_no_button_that_would_be_refused(tab: Tab, dashboard: Dashboard, job_id: str) -> None:
    come_in(tab, READER, job_id)
    expect(tab.page.locator(".job-mark")).to_have_text("◐running")
    expect(tab.page.locator(".job-actions").get_by_role("button")).to_have_count(0)
    for key in ("c", "r", "Backspace"):
        tab.page.keyboard.press(key)
    expect(tab.page.get_by_role("dialog")).to_have_count(0)
    dashboard.client.post(f"/tell/{job_id}", json=[["return", 1]])
    expect(tab.page.locator(".job-mark")).to_have_text("●completed")
    expect(tab.page.locator(".job-actions").get_by_role("button")).to_have_count(0)


def test_everything_is_reached_by_keyboard(tab: Tab, dashboard: Dashboard, job_id: str) -> None:
    come_in(tab, ACTOR, job_id)
    expect(tab.page.locator(".job-mark")).to_have_text("◐running")
    wanted = {
        "Cancel",
        "Delete",
        "Copy",
        "Copy the id",
        "Least level",
        "Find in the log",
        "Lines of the log",
        "Arguments",
    }
    reached = set()
    for _ in range(40):
        tab.page.keyboard.press("Tab")
        reached.add(
            tab.page.evaluate("document.activeElement.getAttribute('aria-label') ?? document.activeElement.innerText")
            .split("\n")[0]
            .removesuffix(" c")
            .removesuffix(" ⌫")
        )
    assert wanted <= reached


@needs(FRONTEND)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_rule_of_accessibility_is_broken(tab: Tab, dashboard: Dashboard, job_id: str, theme: str) -> None:
    failed = dashboard.submit("/parse", params={"text": "{"}, wait=True)
    dashboard.client.post(
        f"/tell/{job_id}", json=[["log", "oh", "error"], ["log", "hm", "warning"], ["progress", 1, 2]]
    )
    tab.page.emulate_media(color_scheme="light" if theme == "light" else "dark")
    come_in(tab, ACTOR, job_id)
    expect(tab.page.get_by_role("progressbar")).to_be_visible()
    expect(tab.page.get_by_role("region", name="Lines of the log")).to_contain_text("hm")
    assert find_violations(tab.page) == []
    tab.open(f"{failed}#events")
    expect(tab.page.get_by_role("region", name="Why it failed")).to_be_visible()
    expect(tab.page).to_have_title(re.compile("^failed parse"))
    assert find_violations(tab.page) == []


def test_the_elements_work_in_a_page_of_others(tab: Tab, dashboard: Dashboard, job_id: str) -> None:
    """Under a strict policy, with a key, and without the dashboard's own page around them."""
    page_url = f"{dashboard.service.url}/page/"
    tab.page.route(
        page_url,
        lambda route: route.fulfill(
            body='<!doctype html><link rel="icon" href="data:,"><script type="module" src="/jobs/assets/components.js">'
            "</script>",
            content_type="text/html",
            headers={"Content-Security-Policy": "default-src 'self'; img-src data:"},
        ),
    )
    tab.page.goto(page_url)
    tab.page.evaluate(
        """async ([jobId, apiKey]) => {
            for (const name of ['job-status', 'job-log', 'job-list']) {
                await customElements.whenDefined(name);
                const element = Object.assign(document.createElement(name), { apiKey });
                element.setAttribute('src', '/api/v1/jobs');
                element.setAttribute('job-id', jobId);
                document.body.append(element);
            }
        }""",
        [job_id, READER],
    )
    expect(tab.page.locator("job-status")).to_contain_text("running")
    expect(tab.page.locator(f"job-list [data-id='{job_id}']")).to_contain_text("train")
    dashboard.client.post(f"/tell/{job_id}", json=[["log", "for all to read"], ["raise", "no disk"]])
    expect(tab.page.locator("job-log")).to_contain_text("for all to read")
    expect(tab.page.locator("job-status")).to_contain_text("ValueError: no disk")
    expect(tab.page.locator(f"job-list [data-id='{job_id}']")).to_contain_text("failed")
    assert [url for url in tab.requests if READER in url] == []
