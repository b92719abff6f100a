"""The list for those who may only look, and for those who see their own jobs."""

from playwright.sync_api import expect

from tests.needs import needs
from tests.web.conftest import Dashboard, Tab
from tests.web.test_list import rows, wait_until_live

pytestmark = needs("chromium")
APP = "users_app"


def enter(tab: Tab, dashboard: Dashboard, user: str) -> None:
    """Log in, and open the list."""
    tab.page.context.add_cookies([{"name": "user", "value": user, "url": dashboard.service.url}])
    dashboard.client.cookies.set("user", "eve")
    tab.open()
    wait_until_live(tab.page)


def test_who_may_only_look_finds_nothing_to_press(tab: Tab, dashboard: Dashboard) -> None:
    enter(tab, dashboard, "rob")
    expect(tab.page.get_by_role("heading", name="No jobs yet")).to_be_visible()
    assert tab.page.locator(".example").count() == 0  # they would answer 403
    dashboard.submit("/wanted", json={"owner": "rob", "is_running": True})
    expect(rows(tab.page)).to_have_count(1)
    assert tab.page.get_by_role("checkbox").count() == 0
    tab.page.keyboard.press("j")
    expect(rows(tab.page).get_by_role("link")).to_be_focused()
    for key in ("x", "a", "c", "r", "Backspace"):
        tab.page.keyboard.press(key)
    assert tab.page.get_by_role("dialog").count() == 0
    tab.page.keyboard.press("?")
    keys = tab.page.get_by_role("dialog")
    expect(keys).to_contain_text("Next job")
    expect(keys).not_to_contain_text("Cancel")


def test_who_sees_its_own_jobs_is_shown_no_others(tab: Tab, dashboard: Dashboard) -> None:
    enter(tab, dashboard, "ana")
    for owner in ("ben", "ana"):
        dashboard.submit("/wanted", json={"name": f"job of {owner}", "owner": owner, "is_running": True})
    expect(rows(tab.page)).to_have_count(1)
    expect(rows(tab.page)).to_contain_text("job of ana")
    running = tab.page.get_by_role("group", name="State").get_by_role("link", name="running")
    expect(running).to_have_attribute("title", "1 running")
    assert tab.page.locator(".c-owner").first.is_hidden()
    tab.page.keyboard.press("/")
    expect(tab.page.get_by_role("option", name="name:")).to_be_visible()
    assert tab.page.get_by_role("option", name="owner:").count() == 0
