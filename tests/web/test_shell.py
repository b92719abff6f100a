"""The frame of the page: what it asks for, the ways between its pages, themes and keys."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Route, expect

from tests.needs import FRONTEND, needs
from tests.web.axe import find_violations
from tests.web.conftest import PHONE, Dashboard, Tab

pytestmark = needs("chromium")


def test_a_job_appears_as_soon_as_it_is_submitted(tab: Tab, dashboard: Dashboard) -> None:
    tab.open()
    expect(tab.page.get_by_text("live", exact=True)).to_be_visible()
    job_id = dashboard.submit("/forever")
    row = tab.page.locator(f"[data-id='{job_id}']")
    expect(row).to_contain_text("running")
    dashboard.client.post(f"/api/v1/jobs/{job_id}/$cancel")
    expect(row).to_contain_text("canceled")


def test_the_theme_is_switched_and_kept(tab: Tab) -> None:
    tab.open()
    theme = tab.page.get_by_role("button", name="Theme")
    for expected in ("light", "dark"):
        theme.click()
        expect(tab.page.locator("html")).to_have_attribute("data-theme", expected)
    tab.page.reload()
    expect(tab.page.locator("html")).to_have_attribute("data-theme", "dark")


def test_a_browser_that_lets_pages_keep_nothing_shows_all_the_same(tab: Tab) -> None:
    tab.page.add_init_script(
        """
        const refuse = () => { throw new DOMException('Access is denied', 'SecurityError'); };
        for (const name of ['sessionStorage', 'localStorage']) Object.defineProperty(window, name, { get: refuse });
        """
    )
    tab.open()
    expect(tab.page.get_by_role("group", name="Connection")).to_have_attribute("data-live", "live")
    tab.page.get_by_role("button", name="Theme").click()
    expect(tab.page.locator("html")).to_have_attribute("data-theme", "light")


def test_the_keys_are_listed_and_do_nothing_while_something_is_typed(tab: Tab) -> None:
    tab.open()
    page = tab.page
    expect(page.get_by_role("group", name="Connection")).to_have_attribute("data-live", "live")
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keys")
    expect(dialog.get_by_text("These keys")).to_be_visible()
    page.keyboard.press("?")  # what is behind a dialog hears no keys
    expect(page.get_by_role("dialog")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.get_by_role("button", name="Keys").click()
    expect(dialog).to_be_visible()
    page.keyboard.press("Escape")
    search = page.locator("#search input")
    search.click()
    search.press_sequentially("?")
    expect(search).to_have_value("?")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_links_and_the_buttons_of_the_browser_lead_from_page_to_page_without_loading_anew(tab: Tab) -> None:
    tab.open()
    page = tab.page
    expect(page.get_by_role("group", name="Connection")).to_have_attribute("data-live", "live")
    page.evaluate("window.isTheSame = true")

    def expect_place(name: str) -> None:
        links = page.get_by_role("navigation", name="Pages").get_by_role("link")
        expect(links.and_(page.locator("[aria-current=page]"))).to_have_text(name)
        expect(page).to_have_title(re.compile(name))

    expect_place("Jobs")
    for name in ("Schedules", "Workers"):
        link = page.get_by_role("link", name=name, exact=True)
        link.focus()
        page.keyboard.press("Enter")
        expect_place(name)
        expect(page.locator("main")).to_be_focused()
    page.go_back()
    expect_place("Schedules")
    page.go_forward()
    expect_place("Workers")
    assert page.evaluate("window.isTheSame")
    streams = [url for url in tab.requests if "/jobs/$stream" in url]
    assert len(streams) == 1  # it is that of the whole page


def test_the_connection_is_paused_and_goes_on(open_tab: Callable[..., Tab], dashboard: Dashboard) -> None:
    tab, other = open_tab(), open_tab()
    tab.open()
    other.open()
    connection = tab.page.get_by_role("group", name="Connection")
    expect(connection).to_have_attribute("data-live", "live")
    connection.get_by_role("button", name="Pause").click()
    expect(connection).to_contain_text("paused")
    expect(connection).to_contain_text("data from")
    job_id = dashboard.submit("/noop", wait=True)
    expect(other.page.locator(f"[data-id='{job_id}']")).to_contain_text("completed")  # so the browser was told of it
    expect(tab.page.locator(f"[data-id='{job_id}']")).to_have_count(0)
    connection.get_by_role("button", name="Go on").click()
    expect(tab.page.locator(f"[data-id='{job_id}']")).to_contain_text("completed")


@pytest.mark.parametrize(
    "answer",
    [
        {"status": 404},
        {"content_type": "text/javascript", "body": "import { nothing } from './kit.js'; export const show = nothing;"},
    ],
)
def test_a_part_of_the_page_that_is_gone_or_another_since_an_update_says_so(tab: Tab, answer: dict[str, Any]) -> None:
    tab.open()
    expect(tab.page.get_by_role("group", name="Connection")).to_have_attribute("data-live", "live")
    tab.expected.append("status of 404")
    tab.page.route("**/schedules-page.js", lambda route: route.fulfill(**answer))
    tab.page.get_by_role("link", name="Schedules").click()
    expect(tab.page.get_by_role("alert")).to_contain_text("the service may have been updated")
    tab.page.get_by_role("link", name="Workers").click()
    expect(tab.page.get_by_role("alert")).to_have_count(0)


def test_a_service_that_has_changed_while_it_was_away_says_so(tab: Tab) -> None:
    tab.open()
    connection = tab.page.get_by_role("group", name="Connection")
    expect(connection).to_have_attribute("data-live", "live")
    lose = "['offline', 'online'].forEach((type) => window.dispatchEvent(new Event(type)))"
    with tab.page.expect_response("**/$service"):
        tab.page.evaluate(lose)
    reload = tab.page.get_by_role("button", name="Load again")
    expect(reload).to_have_count(0)

    def answer_otherwise(route: Route) -> None:
        told = route.fetch().json()
        route.fulfill(json={**told, "access": {**told["access"], "may_act": False}})

    tab.page.route("**/$service", answer_otherwise)
    expect(connection).to_have_attribute("data-live", "live")
    tab.page.evaluate(lose)
    reload.click()
    expect(connection).to_have_attribute("data-live", "live")
    expect(reload).to_have_count(0)


@needs(FRONTEND)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_frame_breaks_no_rule_of_accessibility(open_tab: Callable[..., Tab], scheme: str) -> None:
    tab = open_tab(color_scheme=scheme, reduced_motion="reduce")
    tab.open()
    expect(tab.page.get_by_role("group", name="Connection")).to_have_attribute("data-live", "live")
    assert find_violations(tab.page) == []
    tab.page.keyboard.press("?")
    expect(tab.page.get_by_role("dialog")).to_be_visible()
    assert find_violations(tab.page) == []


def test_on_a_phone_nothing_scrolls_sideways_and_all_is_large_enough_to_touch(phone: Tab) -> None:
    phone.open()
    expect(phone.page.get_by_role("group", name="Connection")).to_have_attribute("data-live", "live")
    assert phone.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    small = phone.page.evaluate(
        """[...document.querySelectorAll('#header nav a, #header button, #header input')]
           .map((each) => [each.outerHTML.slice(0, 80), each.getBoundingClientRect()])
           .filter(([, box]) => box.height < 44).map(([html]) => html)"""
    )
    assert small == []


@pytest.mark.parametrize(
    "answer",
    [
        {"status": 503, "json": {"detail": "Not now"}},
        {"status": 404, "body": "404 page not found"},
        {"body": "<html>a proxy</html>"},
    ],
)
def test_a_page_that_is_opened_while_the_service_is_away_comes_back(tab: Tab, answer: dict[str, Any]) -> None:
    tab.expected = ["503", "404"]
    tab.page.route("**/$service", lambda route: route.fulfill(**answer))
    tab.open()
    expect(tab.page.get_by_role("alert")).to_contain_text("It is asked again every few seconds.")
    tab.page.unroute("**/$service")
    expect(tab.page.get_by_role("group", name="Connection")).to_have_attribute("data-live", "live")
    expect(tab.page.get_by_role("alert")).to_have_count(0)
