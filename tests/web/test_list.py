"""The list of jobs: what a row tells, which rows are read, what a search finds, and what stays where it is."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import CDPSession, Locator, Page, Route, expect

from tests.needs import FRONTEND, needs
from tests.web.axe import find_violations
from tests.web.conftest import OFFLINE, PHONE, Dashboard, Tab

pytestmark = needs("chromium")

LOADED_LATER = ("list-follower", "list-page", "query", "list-chart", "list-empty", "bulk", "list-peek", "job-page")

HOSTILE = {
    "<img src=x onerror=alert(1)>": "<img src=x onerror=alert(1)>",
    "\u202egnp.exe": "\\u202egnp.exe",
    "\u200b\u2060": '"\\u200b\\u2060"',
    "n" * 200: "n" * 200,
    "a\ufdd0b": "a\\ufdd0b",
    "z" + "\u0335" * 150: "z",
}


NOTE_TEXTS = """(element) => {
  window.texts = [];
  new MutationObserver(() => texts.push(element.textContent))
    .observe(element, { childList: true, characterData: true, subtree: true });
}"""
"""What an element said, also if that was only for a moment."""

LIST_OF_PAGES = """async (pages) => {
  await import('./job-list.js');
  window.asked = [];
  const page = async (_, params) => ({ items: pages[Math.min(asked.push(params), pages.length) - 1], next: null });
  const api = { page, get: async () => [] };
  const live = { state: 'live', since: null, subscribe: () => () => {}, start: () => () => {} };
  const list = Object.assign(document.createElement('job-list'), { source: { api, live, service: null, jobs: '' } });
  list.setAttribute('query', 'after:15m');
  document.body.replaceChildren(list);
}"""
"""A list whose service answers with these pages, one after the other, and with the last one from then on."""


@pytest.fixture(autouse=True)
def empty(dashboard: Dashboard) -> None:
    dashboard.clear()


def wanted(dashboard: Dashboard, *, wait: bool = True, **job: object) -> str:
    """A job that looks like that."""
    return dashboard.submit("/wanted", wait=wait and not job.get("is_running"), json=job)


def row(page: Page, job_id: str) -> Locator:
    return page.locator(f"tr[data-id='{job_id}']")


def rows(page: Page) -> Locator:
    return page.locator("job-list tr.job")


def suggestions(page: Page) -> Locator:
    return page.get_by_role("listbox", name="Suggestions").get_by_role("option")


def wait_until_live(page: Page) -> None:
    expect(page.locator(".connection")).to_have_attribute("data-live", "live")
    expect(page.locator("job-list")).not_to_have_attribute("data-reading", "")
    expect(page.get_by_role("combobox", name="Search jobs")).to_be_visible()


def rest(page: Page) -> None:
    """Put the pointer and the focus outside of the table."""
    page.mouse.move(5, 5)


def test_a_row_tells_what_happened(tab: Tab, dashboard: Dashboard) -> None:
    running = wanted(dashboard, name="train", queue="ml", is_running=True)
    failed = wanted(dashboard, name="sync", error="first line\nand the last one")
    done = wanted(dashboard, name="predict")
    canceled = wanted(dashboard, name="export", is_running=True)
    tab.open()
    expect(row(tab.page, canceled)).to_contain_text("third of ten")
    dashboard.client.post(f"/api/v1/jobs/{canceled}/$cancel")
    expect(row(tab.page, canceled)).to_contain_text("canceled at 30 %")
    expect(row(tab.page, running)).to_contain_text(re.compile(r"running.*train.*30 %.*third of ten.*ml"))
    bar = row(tab.page, running).get_by_role("progressbar")
    expect(bar).to_have_attribute("aria-valuenow", "30")
    expect(row(tab.page, failed)).to_contain_text("ValueError: and the last one")
    expect(row(tab.page, done)).to_contain_text("completed")
    assert [each.get_attribute("data-id") for each in rows(tab.page).all()] == [canceled, done, failed, running]
    assert row(tab.page, done).get_by_role("link").get_attribute("href") == f"./{done}"
    assert tab.page.get_by_role("progressbar").count() == 1


def test_the_time_of_what_runs_goes_on_by_itself(tab: Tab, dashboard: Dashboard) -> None:
    job_id = dashboard.submit("/forever")
    tab.open()
    elapsed = row(tab.page, job_id).locator(".elapsed")
    before = elapsed.text_content() or ""
    expect(elapsed).not_to_have_text(before)


def test_the_first_view_needs_few_requests(tab: Tab, dashboard: Dashboard) -> None:
    dashboard.seed(count=2)
    tab.page.add_init_script(
        "new MutationObserver(() => { if (document.querySelector('tr.job')) "
        "window.first ??= performance.getEntriesByType('resource').map((each) => each.name); })"
        ".observe(document, {childList: true, subtree: true})"
    )
    tab.open()
    expect(rows(tab.page)).to_have_count(2)
    asked = tab.page.evaluate("window.first")
    assert len(asked) + 1 <= 8, asked  # and the page itself


def test_pages_are_read_as_they_are_scrolled_to_and_the_document_stays_small(tab: Tab, dashboard: Dashboard) -> None:
    dashboard.submit("/noop", wait=True, params={"count": 180})
    tab.open()
    wait_until_live(tab.page)
    expect(rows(tab.page).first).to_be_visible()
    tab.page.wait_for_function("""() => {
      const scroller = document.querySelector('job-list .scroller');
      scroller.scrollTop = scroller.scrollHeight;
      return document.querySelector('job-list .foot').textContent === 'All 180 jobs';
    }""")
    seen = set[str]()
    while True:
        shown, height, top = tab.page.evaluate("""async () => {
          await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
          const scroller = document.querySelector('job-list .scroller');
          const rows = [...document.querySelectorAll('tr.job')];
          const answer = [rows.map((row) => row.dataset.id), rows.map((row) => row.offsetHeight), scroller.scrollTop];
          scroller.scrollTop -= scroller.clientHeight / 2;
          return answer;
        }""")
        seen |= set(shown)
        assert len(shown) < 60
        assert set(height) == {28}
        if top == 0:
            break
    assert len(seen) == 180


def test_the_search_is_in_the_address(tab: Tab, dashboard: Dashboard) -> None:
    failed = wanted(dashboard, name="sync", error="out of memory", tags=["nightly"])
    done = wanted(dashboard, name="predict")
    tab.open("?q=status:failed%20error:memory")
    expect(rows(tab.page)).to_have_count(1)
    expect(row(tab.page, failed)).to_be_visible()
    search = tab.page.get_by_role("combobox", name="Search jobs")
    expect(search).to_have_value("status:failed error:memory")
    completed = tab.page.get_by_role("link", name="completed")
    expect(tab.page.get_by_role("link", name="failed", exact=False).first).to_have_attribute("aria-current", "true")
    completed.click()
    expect(tab.page.get_by_text("Nothing matches")).to_be_visible()
    expect(search).to_have_value("error:memory status:completed")
    tab.page.get_by_role("button", name="Clear the search").click()
    expect(rows(tab.page)).to_have_count(2)
    assert tab.page.url == tab.url
    tab.page.go_back()
    expect(tab.page.get_by_text("Nothing matches")).to_be_visible()
    tab.page.go_back()
    expect(row(tab.page, failed)).to_be_visible()
    expect(row(tab.page, done)).to_have_count(0)


def test_a_search_is_typed_with_the_keyboard_alone(tab: Tab, dashboard: Dashboard) -> None:
    failed = wanted(dashboard, error="no")
    dashboard.seed()
    tab.open()
    wait_until_live(tab.page)
    tab.page.keyboard.press("/")
    expect(tab.page.get_by_role("combobox", name="Search jobs")).to_be_focused()
    tab.page.mouse.click(5, 5)
    tab.page.keyboard.press("ControlOrMeta+k")
    tab.page.keyboard.type("stat")
    search = tab.page.get_by_role("combobox", name="Search jobs")
    expect(search).to_have_attribute("aria-expanded", "true")
    tab.page.keyboard.press("ArrowDown")
    expect(tab.page.get_by_role("option", name="status:")).to_have_attribute("aria-selected", "true")
    expect(search).to_have_attribute("aria-activedescendant", "suggestion-0")
    tab.page.keyboard.press("Enter")
    expect(search).to_have_value("status:")
    option = tab.page.get_by_role("option", name="status:failed")
    expect(option).to_contain_text("1")
    tab.page.keyboard.type("fa")
    expect(suggestions(tab.page)).to_have_count(1)
    tab.page.keyboard.press("ArrowDown")
    tab.page.keyboard.press("Enter")
    expect(rows(tab.page)).to_have_count(1)
    expect(row(tab.page, failed)).to_be_visible()
    assert tab.page.url.endswith("?q=status%3Afailed")


def test_a_suggested_state_is_added_to_those_that_are_chosen(tab: Tab, dashboard: Dashboard) -> None:
    ended = [wanted(dashboard, error="no"), wanted(dashboard)]
    tab.open()
    wait_until_live(tab.page)
    search = tab.page.get_by_role("combobox", name="Search jobs")
    search.fill("status:failed,c")
    expect(suggestions(tab.page)).to_have_text([re.compile("^status:failed,completed"), re.compile("canceled")])
    search.press("ArrowDown")
    search.press("Enter")
    expect(tab.page).to_have_url(re.compile("status%3Afailed%2Ccompleted$"))
    for job_id in ended:
        expect(row(tab.page, job_id)).to_be_visible()


def test_suggestions_that_come_late_leave_what_is_chosen_meanwhile(tab: Tab) -> None:
    tab.open()
    wait_until_live(tab.page)
    late: list[Route] = []
    tab.page.route("**/$suggestions?field=name*", lambda route: late.append(route))
    tab.page.keyboard.press("/")
    expect(suggestions(tab.page).nth(1)).to_be_visible()
    tab.page.keyboard.type("s")
    while not late:
        tab.page.evaluate("new Promise(requestAnimationFrame)")
    tab.page.keyboard.press("ArrowDown")
    chosen = tab.page.get_by_role("option", name="status:")
    expect(chosen).to_have_attribute("aria-selected", "true")
    late[0].fulfill(json=[])
    expect(suggestions(tab.page)).to_have_count(1)
    expect(chosen).to_have_attribute("aria-selected", "true")


def test_a_time_ago_is_counted_by_the_clock_of_the_service(tab: Tab, dashboard: Dashboard) -> None:
    new = wanted(dashboard)
    tab.page.clock.install(time=datetime.now(UTC) + timedelta(minutes=20))
    tab.open("?q=after:15m")
    wait_until_live(tab.page)
    expect(row(tab.page, new)).to_be_visible()
    tab.open("?q=before:15m")
    wait_until_live(tab.page)
    expect(tab.page.get_by_role("heading", name="Nothing matches")).to_be_visible()


def test_what_matches_a_time_ago_is_judged_again_each_minute(browser_page: Page, dashboard: Dashboard) -> None:
    page = browser_page
    page.goto(f"{dashboard.url}assets/kit.js")
    page.clock.install()
    wanted(dashboard, error="no")
    job = dashboard.client.get("/api/v1/jobs").json()[0]
    pages = [[job | {"id": "B"}, job | {"id": "A"}], [job | {"id": "C"}, job | {"id": "B"}]]
    page.evaluate(LIST_OF_PAGES, pages)
    expect(row(page, "A")).to_be_visible()
    expect(page.locator("job-list")).not_to_have_attribute("data-reading", "")  # all of its parts are there
    page.clock.fast_forward(60_000)
    expect(row(page, "C")).to_be_visible()
    expect(rows(page)).to_have_count(2)
    page.evaluate("document.querySelector('job-list').setAttribute('query', 'status:failed')")
    page.wait_for_function("asked.length === 3")
    page.clock.fast_forward(180_000)
    assert page.evaluate("asked.map((params) => params[0][0])") == ["submitted_after"] * 2 + ["status_filter"]


def test_a_search_that_makes_no_sense_is_not_begun(tab: Tab, dashboard: Dashboard) -> None:
    dashboard.seed()
    tab.open()
    wait_until_live(tab.page)
    search = tab.page.get_by_role("combobox", name="Search jobs")
    search.fill("state:failed")
    search.press("Enter")
    expect(tab.page.get_by_role("alert")).to_contain_text("Jobs cannot be found by “state:”.")
    expect(search).to_have_attribute("aria-invalid", "true")
    expect(rows(tab.page)).to_have_count(1)
    tab.open("?q=status:done")
    expect(tab.page.get_by_role("heading", name="This search is not understood")).to_be_visible()
    expect(rows(tab.page)).to_have_count(0)


def test_an_id_opens_its_job(tab: Tab, dashboard: Dashboard) -> None:
    [job_id] = dashboard.seed()
    tab.open()
    wait_until_live(tab.page)
    search = tab.page.get_by_role("combobox", name="Search jobs")
    search.fill(job_id.lower())
    search.press("Enter")
    expect(tab.page).to_have_url(f"{tab.url}{job_id}")


def test_new_jobs_slide_in_at_rest_and_wait_under_the_pointer(tab: Tab, dashboard: Dashboard) -> None:
    first = dashboard.seed(count=2)
    tab.open()
    wait_until_live(tab.page)
    rest(tab.page)
    [third] = dashboard.seed()
    expect(row(tab.page, third)).to_be_visible()
    row(tab.page, first[0]).hover()
    place = row(tab.page, first[0]).bounding_box()
    dashboard.seed(count=3)
    pill = tab.page.get_by_role("button", name="3 new")
    expect(pill).to_be_visible()
    expect(rows(tab.page)).to_have_count(3)
    assert row(tab.page, first[0]).bounding_box() == place
    pill.hover()
    pill.click()
    expect(rows(tab.page)).to_have_count(6)
    expect(pill).to_be_hidden()


def touch(page: Page, job_id: str) -> CDPSession:
    """Put a finger on a job; where it is sent from, what it does next is sent as well."""
    card = row(page, job_id).bounding_box()
    assert card
    finger = page.context.new_cdp_session(page)
    point = {"x": card["x"] + card["width"] / 2, "y": card["y"] + 20}
    finger.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [point]})
    return finger


def test_a_tap_opens_the_job_that_was_under_the_finger(phone: Tab, dashboard: Dashboard) -> None:
    touched = dashboard.seed(count=3)[1]
    phone.open()
    wait_until_live(phone.page)
    finger = touch(phone.page, touched)
    [new] = dashboard.seed()
    expect(row(phone.page, new).or_(phone.page.get_by_role("button", name="1 new"))).to_be_visible()
    finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    expect(phone.page).to_have_url(f"{phone.url}{touched}")


def test_new_jobs_wait_for_the_end_of_a_touch(phone: Tab, dashboard: Dashboard) -> None:
    [touched] = dashboard.seed()
    phone.open()
    wait_until_live(phone.page)
    finger = touch(phone.page, touched)
    [new] = dashboard.seed()
    expect(phone.page.get_by_role("button", name="1 new")).to_be_visible()
    finger.send("Input.dispatchTouchEvent", {"type": "touchCancel", "touchPoints": []})
    expect(row(phone.page, new)).to_be_visible()


def test_rows_are_filled_where_they_stand_if_most_of_them_change(tab: Tab, dashboard: Dashboard) -> None:
    dashboard.submit("/noop", wait=True, params={"count": 60})
    newest = [wanted(dashboard, name="other") for _ in range(24)][-1]  # of some 35 rows that are in the document
    tab.open("?q=name:noop")
    wait_until_live(tab.page)
    tab.page.evaluate("""
      window.moved = 0;
      new MutationObserver((changes) => { moved += changes.length; })
        .observe(document.querySelector('job-list tbody'), { childList: true });
    """)
    search = tab.page.get_by_role("combobox", name="Search jobs")
    search.fill("")
    search.press("Enter")
    expect(rows(tab.page).first).to_have_attribute("data-id", newest)
    assert tab.page.evaluate("moved") == 0


def test_new_jobs_wait_while_a_row_has_the_focus(tab: Tab, dashboard: Dashboard) -> None:
    [older, newer] = dashboard.seed(count=2)
    tab.open()
    wait_until_live(tab.page)
    rest(tab.page)
    tab.page.keyboard.press("j")
    tab.page.keyboard.press("j")
    expect(row(tab.page, older).get_by_role("link")).to_be_focused()
    dashboard.seed(count=1)
    expect(tab.page.get_by_role("button", name="1 new")).to_be_visible()
    tab.page.keyboard.press("k")
    expect(row(tab.page, newer).get_by_role("link")).to_be_focused()
    tab.page.keyboard.press("n")
    expect(rows(tab.page)).to_have_count(3)
    tab.page.keyboard.press("Enter")
    expect(tab.page).to_have_url(f"{tab.url}{newer}")


def test_parts_that_cannot_be_loaded_are_asked_for_again(open_tab: Callable[..., Tab], dashboard: Dashboard) -> None:
    failed = wanted(dashboard, error="no")
    tab = open_tab(viewport={"width": 1700, "height": 900})
    tab.expected.append("net::ERR_FAILED")
    waiting = {f"{name}.js" for name in LOADED_LATER}

    def fail_once(route: Route) -> None:
        name = route.request.url.rpartition("/")[2]
        if name in waiting:
            waiting.remove(name)
            route.abort()
        else:
            route.fallback()

    tab.page.route("**/assets/**", fail_once)
    tab.open("?q=status:failed")
    expect(row(tab.page, failed)).to_be_visible()
    wait_until_live(tab.page)
    expect(tab.page.locator(".chart-readout")).to_contain_text("at most")
    tab.page.keyboard.press("j")
    tab.page.keyboard.press("x")
    expect(tab.page.get_by_text("1 marked")).to_be_visible()
    tab.page.keyboard.press("p")
    expect(tab.page.get_by_role("complementary", name="Job beside the list")).to_contain_text("ValueError: no")
    tab.page.get_by_role("combobox", name="Search jobs").fill("status:running")
    tab.page.keyboard.press("Enter")
    expect(tab.page.get_by_role("heading", name="Nothing matches")).to_be_visible()
    assert waiting == set()


def test_an_answer_that_never_comes_is_asked_for_again(tab: Tab, dashboard: Dashboard) -> None:
    dashboard.seed()
    page = tab.page
    page.clock.install()
    tab.open()
    wait_until_live(page)
    held: list[Route] = []
    page.route("**/jobs?name=noop*", lambda route: route.fallback() if held else held.append(route))
    search = page.get_by_role("combobox", name="Search jobs")
    search.fill("name:noop")
    search.press("Enter")
    while not held:
        page.evaluate("new Promise(requestAnimationFrame)")
    expect(page.locator("job-list")).to_have_attribute("data-reading", "")
    page.clock.fast_forward(31_000)
    wait_until_live(page)
    expect(rows(page)).to_have_count(1)


def test_escape_leads_back_to_the_list_as_it_was(tab: Tab, dashboard: Dashboard) -> None:
    dashboard.submit("/noop", wait=True, params={"count": 120})
    page = tab.page
    tab.open("?q=name:noop")
    wait_until_live(page)
    rest(page)
    page.wait_for_function("""() => {
      const scroller = document.querySelector('job-list .scroller');
      scroller.scrollTop = scroller.scrollHeight;
      return document.querySelector('job-list .foot').textContent === 'All 120 jobs';
    }""")
    page.evaluate("document.querySelector('job-list .scroller').scrollTop = 2_000")  # beyond the first page
    page.keyboard.press("j")
    focused = page.locator("job-list tr:focus-within")
    present = focused.get_attribute("data-id") or ""
    place = focused.bounding_box()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Retry")).to_be_visible()
    dashboard.seed(count=3)
    page.keyboard.press("Escape")
    expect(row(page, present).get_by_role("link")).to_be_focused()
    wait_until_live(page)
    assert page.url == f"{tab.url}?q=name:noop"
    assert row(page, present).bounding_box() == place
    page.keyboard.press("k")
    before = focused.get_attribute("data-id") or ""
    expect(row(page, before).locator("+ tr")).to_have_attribute("data-id", present)


def test_escape_leads_back_to_the_list_from_the_job_that_a_retry_made(tab: Tab, dashboard: Dashboard) -> None:
    [older, newer] = [wanted(dashboard, error="no") for _ in range(2)]
    tab.open("?q=status:failed")
    wait_until_live(tab.page)
    rest(tab.page)
    tab.page.keyboard.press("j")
    tab.page.keyboard.press("Enter")
    expect(tab.page).to_have_url(f"{tab.url}{newer}")
    tab.page.get_by_role("button", name="Retry").click()
    expect(tab.page).not_to_have_url(f"{tab.url}{newer}")
    expect(tab.page.get_by_role("button", name="Retry")).to_be_visible()
    tab.page.keyboard.press("Escape")
    expect(tab.page).to_have_url(f"{tab.url}?q=status:failed")
    expect(row(tab.page, newer).get_by_role("link")).to_be_focused()
    tab.page.keyboard.press("j")
    expect(row(tab.page, older).get_by_role("link")).to_be_focused()


def test_a_row_that_does_not_match_any_more_stays_under_the_pointer(tab: Tab, dashboard: Dashboard) -> None:
    kept, gone = (dashboard.submit("/forever") for _ in range(2))
    tab.open("?q=status:running")
    wait_until_live(tab.page)
    expect(rows(tab.page)).to_have_count(2)
    row(tab.page, kept).hover()
    dashboard.client.post(f"/api/v1/jobs/{gone}/$cancel")
    expect(row(tab.page, gone)).to_have_attribute("data-departure", "unmatched")
    expect(row(tab.page, gone)).to_contain_text("canceled")
    dashboard.client.delete(f"/api/v1/jobs/{gone}")
    expect(row(tab.page, gone)).to_have_attribute("data-departure", "deleted")
    rest(tab.page)
    expect(row(tab.page, gone)).to_have_count(0)
    expect(row(tab.page, kept)).to_be_visible()


def test_the_sidebar_counts(tab: Tab, dashboard: Dashboard) -> None:
    tab.open()
    wait_until_live(tab.page)
    states = tab.page.get_by_role("group", name="State")
    expect(states.get_by_role("link", name="all")).to_have_attribute("title", "0 in all")
    dashboard.submit("/forever")
    wanted(dashboard, name="report", queue="reports", is_running=True)
    expect(states.get_by_role("link", name="running")).to_have_attribute("title", "2 running")
    queue = tab.page.get_by_role("group", name="Queues").get_by_role("link", name="reports")
    expect(queue).to_have_attribute("title", "reports: 1 running of at most 2, 0 pending")
    queue.focus()
    for _ in range(2):
        wanted(dashboard, name="report", queue="reports", is_running=True, wait=False)
    expect(queue).to_have_attribute("title", "reports: 2 running of at most 2, 1 pending, full")
    expect(queue).to_contain_text("full · 1")
    expect(queue).to_be_focused()
    queue.click()
    expect(rows(tab.page)).to_have_count(3)
    expect(queue).to_have_attribute("aria-current", "true")


def test_hostile_texts_are_texts(tab: Tab, dashboard: Dashboard) -> None:
    tab.page.on("dialog", lambda dialog: tab.problems.append(f"dialog: {dialog.message}"))
    ids = {name: wanted(dashboard, name=name, queue=name, tags=[name], wait=False) for name in HOSTILE}
    failed = wanted(dashboard, error="<script>alert(1)</script>\u202e\n" + "x" * 10_000)
    tab.open()
    for name, job_id in ids.items():
        expect(row(tab.page, job_id).get_by_role("link")).to_contain_text(HOSTILE[name])
        expect(row(tab.page, job_id)).to_contain_text("completed")
    expect(row(tab.page, failed)).to_contain_text("failed")
    heights = tab.page.evaluate(
        "[...document.querySelectorAll('tr.job')].map((row) => row.getBoundingClientRect().height)"
    )
    assert set(heights) == {28}
    assert tab.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    wait_until_live(tab.page)
    for name in ("<img src=x onerror=alert(1)>", "\u202egnp.exe"):
        tab.page.get_by_role("combobox", name="Search jobs").fill(f'name:"{name}"')
        tab.page.keyboard.press("Enter")
        expect(rows(tab.page)).to_have_count(1)


def test_an_empty_list_says_how_jobs_are_submitted(tab: Tab, dashboard: Dashboard) -> None:
    tab.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    tab.open()
    expect(tab.page.get_by_role("heading", name="No jobs yet")).to_be_visible()
    example = tab.page.locator(".example", has_text="Write a report")
    expect(example).to_contain_text('-d \'{"region":"north"}\'')
    button = example.get_by_role("button", name="Copy")
    button.evaluate(NOTE_TEXTS)
    button.click()
    tab.page.wait_for_function("() => texts.includes('Copied')")
    line = tab.page.evaluate("navigator.clipboard.readText()")
    assert line.startswith(f"curl -X POST '{dashboard.service.url}/reports'")
    tab.page.get_by_role("tab", name="curl").press("ArrowRight")
    expect(tab.page.get_by_role("tab", name="Python")).to_have_attribute("aria-selected", "true")
    expect(example).to_contain_text(f'httpx.post("{dashboard.service.url}/reports", json={{"region": "north"}})')
    expect(tab.page.get_by_role("tabpanel")).not_to_contain_text("curl")
    job_id = dashboard.submit("/noop")
    expect(row(tab.page, job_id)).to_be_visible()
    expect(tab.page.get_by_role("heading", name="No jobs yet")).to_be_hidden()


def test_what_is_shown_without_a_connection_is_kept_and_caught_up(tab: Tab, dashboard: Dashboard) -> None:
    tab.expected += OFFLINE
    job_id = dashboard.submit("/forever")
    tab.open()
    wait_until_live(tab.page)
    expect(tab.page.locator(".chart-readout")).to_contain_text("at most")  # the last part of the page that is loaded
    rest(tab.page)
    tab.page.context.set_offline(True)
    expect(tab.page.locator(".connection")).not_to_have_attribute("data-live", "live")
    expect(row(tab.page, job_id)).to_be_visible()
    [newer] = dashboard.seed()
    dashboard.client.delete(f"/api/v1/jobs/{job_id}")
    tab.page.context.set_offline(False)
    expect(row(tab.page, newer)).to_be_visible()
    expect(row(tab.page, job_id)).to_have_count(0)


def test_a_list_that_cannot_be_read_is_read_as_soon_as_it_can(tab: Tab, dashboard: Dashboard) -> None:
    tab.expected.append("503")
    [job_id] = dashboard.seed()
    answer = {"status": 503, "json": {"detail": "The database is away."}}
    tab.page.route("**/api/v1/jobs?limit=50", lambda route: route.fulfill(**answer), times=1)
    tab.open()
    expect(row(tab.page, job_id)).to_be_visible()
    tab.page.route("**/api/v1/jobs?**", lambda route: route.fulfill(**answer))
    tab.page.reload()
    expect(tab.page.get_by_role("heading", name="Jobs cannot be read")).to_be_visible()
    expect(tab.page.locator("job-list")).to_contain_text("The database is away.")
    tab.page.unroute_all()
    expect(row(tab.page, job_id)).to_be_visible()


def test_a_screen_shows_many_rows(tab: Tab, dashboard: Dashboard) -> None:
    dashboard.submit("/noop", wait=True, params={"count": 40})
    tab.open()
    wait_until_live(tab.page)
    tab.page.wait_for_function("""() => [...document.querySelectorAll('tr.job')].filter((row) => {
      const { top, bottom } = row.getBoundingClientRect();
      const head = document.querySelector('job-list thead').getBoundingClientRect().bottom;
      return top >= head && bottom <= innerHeight;
    }).length >= 22""")


def test_who_points_at_a_row_reads_the_whole_call_and_the_end_of_the_error(tab: Tab, dashboard: Dashboard) -> None:
    job_id = wanted(dashboard, name="send", error="A" * 400 + "b" * 400 + "the cause")
    tab.page.set_viewport_size({"width": 1280, "height": 760})
    tab.open()
    expect(tab.page.get_by_role("columnheader", name="Progress or outcome")).to_be_visible()
    text = row(tab.page, job_id).locator(".c-outcome .text")
    expect(text).to_have_attribute("title", "ValueError: " + "A" * 400 + "b" * 400 + "the cause")
    call = row(tab.page, job_id).get_by_role("link")
    expect(call).to_have_attribute("title", re.compile(r"^send\(.*\)$"))
    widths = [each["width"] for each in (call.locator("..").bounding_box(), text.locator("..").bounding_box()) if each]
    assert widths[0] > 330
    assert widths[1] > 220
    longer = wanted(dashboard, error="C" * 3_000 + "the cause")
    expect(row(tab.page, longer).locator(".c-outcome .text")).to_have_attribute(
        "title", re.compile(r"^ValueError: C+.*C+the cause$")
    )


def test_a_phone_shows_cards_and_does_not_scroll_sideways(phone: Tab, dashboard: Dashboard) -> None:
    wanted(dashboard, name="n" * 200, queue="q" * 200, error="e" * 900)
    job_id = dashboard.submit("/forever")
    phone.open()
    wait_until_live(phone.page)
    expect(row(phone.page, job_id)).to_contain_text("third of ten")
    assert phone.page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    card = row(phone.page, job_id).bounding_box()
    assert card
    assert (card["width"], card["height"]) == (PHONE["width"], 72)
    small = """() => [...document.querySelectorAll('main a, main button, main input')]
      .filter((each) => each.checkVisibility())
      .map((each) => each.closest('label') ?? (each.matches('.call') ? each.closest('tr') : each))
      .filter((each) => each.getBoundingClientRect().width < 44 || each.getBoundingClientRect().height < 44)
      .map((each) => each.outerHTML)"""
    assert phone.page.evaluate(small) == []
    phone.page.get_by_role("link", name="failed").tap()
    expect(rows(phone.page)).to_have_count(1)
    row(phone.page, rows(phone.page).first.get_attribute("data-id") or "").tap()
    expect(phone.page).to_have_url(re.compile(r"/jobs/[0-9A-Z]{26}$"))


def test_on_paper_cells_stand_under_their_heads(tab: Tab, dashboard: Dashboard) -> None:
    [job_id] = dashboard.seed()
    tab.open()
    wait_until_live(tab.page)
    tab.page.emulate_media(media="print", color_scheme="dark")
    head = tab.page.locator("job-list th.c-job").bounding_box()
    cell = row(tab.page, job_id).locator(".c-job").bounding_box()
    assert head is not None
    assert cell is not None
    assert (cell["x"], cell["width"]) == (head["x"], head["width"])
    assert row(tab.page, job_id).evaluate("row => getComputedStyle(row).color") == "rgb(23, 32, 44)"  # on white


@needs(FRONTEND)
@pytest.mark.parametrize("theme", ["light", "dark", "phone"])
def test_the_list_breaks_no_rule_of_accessibility(
    open_tab: Callable[..., Tab], dashboard: Dashboard, theme: str
) -> None:
    options = {"viewport": PHONE, "has_touch": True, "is_mobile": True} if theme == "phone" else {"color_scheme": theme}
    dashboard.submit("/forever")
    wanted(dashboard, error="no")
    wanted(dashboard, name="canceled", owner="ana")
    tab = open_tab(**options, reduced_motion="reduce")
    tab.open()
    wait_until_live(tab.page)
    expect(rows(tab.page)).to_have_count(3)
    expect(tab.page.get_by_role("group", name="State").get_by_role("link", name="failed")).to_contain_text("1")
    assert find_violations(tab.page) == []
    tab.page.get_by_role("combobox", name="Search jobs").fill("n")
    expect(suggestions(tab.page).first).to_be_visible()
    assert find_violations(tab.page) == []


def test_a_page_of_ones_own_has_the_list_too(browser_page: Page, dashboard: Dashboard) -> None:
    failed = wanted(dashboard, error="no")
    browser_page.goto(f"{dashboard.url}assets/kit.js")
    browser_page.evaluate("""async () => {
      await import('./job-list.js');
      const list = document.createElement('job-list');
      const attributes = {src: '/api/v1/jobs', query: 'status:failed', limit: '2', href: '/jobs'};
      for (const [name, value] of Object.entries(attributes)) list.setAttribute(name, value);
      document.body.replaceChildren(list);
    }""")
    expect(rows(browser_page)).to_have_count(1)
    assert row(browser_page, failed).get_by_role("link").get_attribute("href") == f"{dashboard.url}{failed}"
    assert browser_page.get_by_role("checkbox").count() == 0
    new = [wanted(dashboard, error=f"no {number}") for number in range(2)]
    expect(row(browser_page, new[1])).to_be_visible()
    expect(rows(browser_page)).to_have_count(2)
    expect(row(browser_page, failed)).to_have_count(0)


@pytest.fixture
def browser_page(open_tab: Callable[..., Tab]) -> Page:
    """A page of the browser that is not the dashboard's."""
    tab = open_tab()
    tab.expected.append("favicon.ico")
    return tab.page
