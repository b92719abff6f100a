"""The frame of the page: what it asks for, the ways between its pages, themes and keys."""

from playwright.sync_api import expect

from tests.needs import needs
from tests.web.conftest import Dashboard, Tab

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
