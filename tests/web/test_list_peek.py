"""The job beside the list, on a screen that has room for both."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.needs import FRONTEND, needs
from tests.web.axe import find_violations
from tests.web.conftest import Dashboard, Tab

pytestmark = needs("chromium")

SCREEN: Any = {"viewport": {"width": 1720, "height": 900}}


@pytest.fixture
def wide(open_tab: Callable[..., Tab], dashboard: Dashboard) -> Tab:
    dashboard.clear()
    return open_tab(**SCREEN)


def peek(page: Page) -> Locator:
    return page.get_by_role("complementary", name="Job beside the list")


def open_list(tab: Tab, address: str = "") -> None:
    tab.open(address)
    expect(tab.page.get_by_role("combobox", name="Search jobs")).to_be_visible()


def test_a_job_is_shown_beside_the_list_and_the_address_keeps_it(wide: Tab, dashboard: Dashboard) -> None:
    running = dashboard.submit("/forever")
    open_list(wide, "?q=status:running")
    page = wide.page
    page.locator(f"tr[data-id='{running}'] .c-queue").click()
    expect(peek(page).get_by_role("heading", name="forever")).to_be_visible()
    expect(peek(page).get_by_role("progressbar").first).to_be_visible()
    expect(page).to_have_url(re.compile(f"q=status%3Arunning&job={running}|q=status:running&job={running}"))
    expect(page).to_have_title(re.compile("^status:running"))
    page.reload()
    expect(peek(page).get_by_role("heading", name="forever")).to_be_visible()
    page.keyboard.press("Escape")
    expect(peek(page)).to_be_hidden()
    assert "job=" not in page.url
    assert page.url.endswith("running")
    dashboard.client.post(f"/api/v1/jobs/{running}/$cancel")


def test_it_follows_the_keys_of_the_list(wide: Tab, dashboard: Dashboard) -> None:
    older = dashboard.submit("/fail", wait=True, params={"text": "no flour"})
    dashboard.seed("/reports", json={"region": "north"})
    open_list(wide)
    page = wide.page
    page.keyboard.press("j")
    page.keyboard.press("p")
    expect(peek(page).get_by_role("heading", name="report")).to_be_visible()
    page.keyboard.press("j")
    expect(peek(page).get_by_text("no flour").first).to_be_visible()
    expect(peek(page).get_by_role("heading", name="report")).to_have_count(0)
    expect(page.locator(f"tr[data-id='{older}']").get_by_role("link")).to_be_focused()
    peek(page).get_by_role("button", name="Retry").click()
    expect(peek(page).get_by_text("repeats")).to_be_visible()
    assert older not in page.url
    peek(page).get_by_role("link", name="Open", exact=True).click()
    expect(page).to_have_title(re.compile("^failed"))
    page.keyboard.press("Escape")
    expect(peek(page).get_by_text("repeats")).to_be_visible()


def test_a_narrow_screen_shows_the_list_alone(wide: Tab, dashboard: Dashboard) -> None:
    [job_id] = dashboard.seed()
    open_list(wide, f"?job={job_id}")
    expect(peek(wide.page).get_by_role("heading", name="noop")).to_be_visible()
    wide.page.set_viewport_size({"width": 1440, "height": 900})
    expect(peek(wide.page)).to_be_hidden()
    wide.page.locator(f"tr[data-id='{job_id}'] .c-queue").click()
    expect(wide.page.get_by_role("complementary", name="Job beside the list")).to_be_hidden()
    wide.page.set_viewport_size({"width": 1720, "height": 900})
    expect(peek(wide.page).get_by_role("heading", name="noop")).to_be_visible()


@needs(FRONTEND)
def test_the_job_beside_the_list_breaks_no_rule_of_accessibility(wide: Tab, dashboard: Dashboard) -> None:
    job_id = dashboard.submit("/fail", wait=True, params={"text": "no flour"})
    open_list(wide, f"?job={job_id}")
    expect(peek(wide.page).get_by_text("no flour").first).to_be_visible()
    assert find_violations(wide.page) == []
