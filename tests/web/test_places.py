"""The dashboard below a mount, and behind a proxy that cuts the path."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.needs import needs
from tests.service import run_service
from tests.web.conftest import Dashboard, Tab, open_tabs
from tests.web.places import run_stripping_proxy

pytestmark = needs("chromium")

PREFIX = "/tools/bakery"


@pytest.fixture(params=["mount", "proxy", "proxy that the service knows", "path"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Dashboard, str]]:
    """A service, and where its list of jobs is."""
    app = {"mount": "mounted_app", "path": "elsewhere_app"}.get(request.param, "app")
    options = ["--root-path", PREFIX] if "knows" in request.param else []
    with (
        run_service(f"tests.web.apps:{app}", options=options) as service,
        closing(Dashboard(service, path="/mounted" if app == "mounted_app" else "")) as dashboard,
    ):
        if "proxy" in request.param:
            with run_stripping_proxy(service.url, PREFIX, tmp_path) as url:
                yield dashboard, f"{url}{PREFIX}/jobs"
        elif app == "elsewhere_app":
            yield dashboard, f"{service.url}/admin/of/jobs"
        else:
            yield dashboard, f"{service.url}/mounted/jobs"


@needs("nginx")
def test_the_page_finds_its_files_its_data_and_its_pages(browser: Browser, place: tuple[Dashboard, str]) -> None:
    dashboard, url = place
    with open_tabs(browser, f"{url}/") as open_one:
        tab: Tab = open_one()
        tab.page.goto(f"{url}?q=status:running")
        assert tab.page.url == f"{url}/?q=status:running"
        expect(tab.page.get_by_role("group", name="Connection")).to_have_attribute("data-live", "live")
        for name in ("Schedules", "Workers", "Jobs"):
            tab.page.get_by_role("link", name=name, exact=True).click()
            expect(tab.page.get_by_role("link", name=name, exact=True)).to_have_attribute("aria-current", "page")
            assert tab.page.url.startswith(f"{url}/")
        dashboard.seed()
        tab.open("workers")
        expect(tab.page.get_by_role("group", name="Connection")).to_have_attribute("data-live", "live")
        assert all(each.startswith(url.rpartition("/jobs")[0].rpartition("/admin")[0]) for each in tab.requests)
