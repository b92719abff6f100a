"""The list while changes, answers and the page itself overtake each other: each order is made, none is waited for."""

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import APIResponse, Locator, Page, Route, expect

from tests.needs import needs
from tests.web.conftest import Dashboard, Tab

pytestmark = needs("chromium")

OWN_PAGE = """async () => {
  await import('./job-list.js');
  const list = document.createElement('job-list');
  list.setAttribute('src', '/api/v1/jobs');
  list.addEventListener('servicekit:read', () => { window.wasRead = true; });
  document.body.replaceChildren(list);
}"""


def row(page: Page, job_id: str) -> Locator:
    return page.locator(f"tr[data-id='{job_id}']")


def cancel(dashboard: Dashboard, job_id: str) -> None:
    dashboard.client.post(f"/api/v1/jobs/{job_id}/$cancel").raise_for_status()
    dashboard.client.get(f"/api/v1/jobs/{job_id}", params={"wait": 60})


def open_own_page(tab: Tab, dashboard: Dashboard) -> Page:
    """A page that is not the dashboard's, with a list of its own."""
    tab.expected.append("favicon")
    tab.page.goto(f"{dashboard.url}assets/kit.js")
    tab.page.evaluate(OWN_PAGE)
    return tab.page


@contextmanager
def held_answer(page: Page, address: str) -> Iterator[list[APIResponse]]:
    """What the service answers there, once, is old when it comes: at the end of the block."""
    held: list[Route] = []

    def hold(route: Route) -> None:
        if held:
            route.continue_()
            return
        held.append(route)
        answers.append(route.fetch(max_retries=1))  # the connection that it takes may just be ended

    answers: list[APIResponse] = []
    page.route(address, hold)
    yield answers
    held[0].fulfill(response=answers[0])


def test_a_change_that_overtakes_its_page_is_not_lost(tab: Tab, dashboard: Dashboard) -> None:
    dashboard.clear()
    running, deleted = dashboard.submit("/forever"), dashboard.seed()[0]
    dashboard.submit("/noop", wait=True, params={"count": 50})
    with held_answer(tab.page, "**/jobs?*cursor=*") as answers:
        tab.open()
        expect(tab.page.locator(".connection")).to_have_attribute("data-live", "live")
        expect(tab.page.locator("tr.job").first).to_be_visible()
        while not answers:
            tab.page.evaluate("new Promise(requestAnimationFrame)")
        cancel(dashboard, running)
        dashboard.client.delete(f"/api/v1/jobs/{deleted}").raise_for_status()
        expect(row(tab.page, dashboard.seed()[0])).to_be_visible()  # what was before it has come as well
    expect(tab.page.locator("job-list .foot")).to_have_text("All 52 jobs")
    tab.page.evaluate("document.querySelector('job-list .scroller').scrollTop = 1e6")
    expect(row(tab.page, running)).to_contain_text("canceled")


def test_a_change_while_a_search_is_read_is_not_lost_with_the_connection(tab: Tab, dashboard: Dashboard) -> None:
    dashboard.clear()
    running = dashboard.submit("/forever")
    page = tab.page
    tab.open()
    expect(row(page, running)).to_be_visible()
    expect(page.locator(".connection")).to_have_attribute("data-live", "live")
    page.evaluate("""() => document.querySelector('job-list').source.live.subscribe((event) => {
      if (event.type === 'reset') window.wasReset = true;
      const records = event.type === 'changes' ? [...event.records.values()] : [];
      if (records.some(({status}) => status === 'canceled')) window.hasChanged = true;
    })""")
    with held_answer(page, "**/jobs?*name=forever*") as answers:
        page.get_by_role("combobox", name="Search jobs").fill("name:forever")
        page.keyboard.press("Enter")
        while not answers:
            page.evaluate("new Promise(requestAnimationFrame)")
        page.evaluate("['offline', 'online'].forEach((type) => window.dispatchEvent(new Event(type)))")
        page.wait_for_function("() => window.wasReset")
        cancel(dashboard, running)
        page.wait_for_function("() => window.hasChanged")
    expect(page.locator("job-list")).not_to_have_attribute("data-reading", "")
    expect(row(page, running)).to_contain_text("canceled")


def test_a_list_that_is_moved_in_its_page_goes_on(tab: Tab, dashboard: Dashboard) -> None:
    page = open_own_page(tab, dashboard)
    page.wait_for_function("() => window.wasRead")
    page.evaluate("""() => {
      const [list, place] = [document.querySelector('job-list'), document.createElement('section')];
      list.draw();
      window.wasRead = false;
      document.body.append(place);
      place.append(list);
    }""")
    page.wait_for_function("() => window.wasRead")
    expect(row(page, dashboard.seed()[0])).to_be_visible()


def test_a_list_that_is_taken_out_of_its_page_ends_its_stream(tab: Tab, dashboard: Dashboard) -> None:
    page = open_own_page(tab, dashboard)
    page.wait_for_function("() => document.querySelector('job-list').source?.live.state === 'live'")
    with page.expect_event("requestfailed", lambda request: "$stream" in request.url):
        page.evaluate("document.querySelector('job-list').remove()")
