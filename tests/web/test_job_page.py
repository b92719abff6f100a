"""The page of one job, in every state of it."""

import re
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Locator, Page, Route, expect

from tests.needs import needs
from tests.web.conftest import Dashboard, Tab
from tests.web.job_apps import HOSTILE

pytestmark = needs("chromium")
APP = "tests.web.job_apps:app"

UNKNOWN = "01JQRS7XK5N8Z3VQ2M4T6W8Y0A"


def tell(dashboard: Dashboard, job_id: str, *steps: list[Any]) -> None:
    """Let the job do these things, one after the other."""
    dashboard.client.post(f"/tell/{job_id}", json=list(steps)).raise_for_status()


def start(dashboard: Dashboard, *steps: list[Any], path: str = "/train", **call: Any) -> str:
    job_id = dashboard.submit(path, json={"model": "xgb", **call})
    tell(dashboard, job_id, *steps)
    return job_id


def finish(dashboard: Dashboard, *steps: list[Any], path: str = "/train", **call: Any) -> str:
    job_id = start(dashboard, *steps, path=path, **call)
    dashboard.client.get(f"/api/v1/jobs/{job_id}", params={"wait": 60})
    return job_id


def open_followed(tab: Tab, job_id: str) -> None:
    """Open the page of a job, until its stream is there: before, one would be asked for that a deletion has ended."""
    with tab.page.expect_response(lambda response: f"{job_id}/$stream" in response.url):
        tab.open(job_id)


def state(page: Page) -> Locator:
    return page.locator(".job-mark")


def pane(page: Page, name: str) -> Locator:
    """Open a pane."""
    page.get_by_role("tab", name=name).click()
    return page.get_by_role("tabpanel")


def button(page: Page, name: str) -> Locator:
    return page.locator(".job-actions").get_by_role("button", name=name)


# --- a job's life ----------------------------------------------------------------------------------------------------


def test_the_page_of_a_job_is_paused_and_goes_on(open_tab: Callable[..., Tab], dashboard: Dashboard) -> None:
    job_id = start(dashboard, ["progress", 1, 4, "fold 1"])
    paused, other = open_tab(), open_tab()
    paused.page.clock.install()
    for tab in (paused, other):
        open_followed(tab, job_id)
        expect(tab.page.locator("job-status")).to_contain_text("fold 1")
    paused.page.get_by_role("button", name="Pause").click()
    before = paused.page.locator("job-status").inner_text()
    tell(dashboard, job_id, ["progress", 2, 4, "fold 2"])
    expect(other.page.locator("job-status")).to_contain_text("fold 2")
    paused.page.clock.run_for(5_000)
    assert paused.page.locator("job-status").inner_text() == before
    paused.page.get_by_role("button", name="Go on").click()
    expect(paused.page.locator("job-status")).to_contain_text("fold 2")
    tell(dashboard, job_id, ["return"])


SELECT = "(element) => { getSelection().selectAllChildren(element); return String(getSelection()); }"


def test_what_is_selected_stays_so_while_the_job_goes_on(tab: Tab, dashboard: Dashboard) -> None:
    job_id = start(dashboard, ["progress", 1, 4, "fold 1"])
    page = tab.page
    page.clock.install()
    tab.open(job_id)
    expect(page.locator("job-status")).to_contain_text("fold 1")
    for place in (".job-message", ".timeline-ends time >> nth=0"):
        words = page.locator(place).evaluate(SELECT)
        page.clock.run_for(3_000)
        assert page.evaluate("String(getSelection())") == words
    raw = pane(page, "Raw").locator("pre")
    words = raw.evaluate(SELECT)
    tell(dashboard, job_id, ["progress", 2, 4, "fold 2"])
    expect(page.locator("job-status")).to_contain_text("fold 2")
    assert page.evaluate("String(getSelection())") == words
    page.evaluate("getSelection().removeAllRanges()")
    expect(raw).to_contain_text("fold 2")
    tell(dashboard, job_id, ["return"])


def test_a_running_job_is_followed_to_its_end(tab: Tab, dashboard: Dashboard) -> None:
    job_id = start(dashboard, ["progress", 1, 4, "fold 1"], tags=["nightly", "ml team"])
    tab.open(job_id)
    page = tab.page
    expect(state(page)).to_have_text("◐running")
    expect(page.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "25")
    expect(page.locator("job-status")).to_contain_text("fold 1")
    expect(page).to_have_title(re.compile("^25 % train"))
    icon = page.locator("link[rel=icon]").get_attribute("href")
    tell(dashboard, job_id, ["progress", 3, 4, "fold 3"], ["log", "rmse=0.121"])
    expect(page.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "75")
    expect(page.get_by_role("region", name="Lines of the log")).to_contain_text("rmse=0.121")
    assert page.locator("link[rel=icon]").get_attribute("href") != icon
    tell(dashboard, job_id, ["return", {"rmse": 0.12}])
    expect(state(page)).to_have_text("●completed")
    expect(page.get_by_role("tabpanel")).to_contain_text("0.12")
    expect(page).to_have_title(re.compile("^completed train"))
    expect(page.locator(".unseen[role=status]")).to_contain_text("train completed after")
    expect(page.get_by_role("progressbar")).to_have_count(0)


def test_a_job_of_which_nothing_comes_has_run_for_as_long_as_it_has(tab: Tab, dashboard: Dashboard) -> None:
    job_id = start(dashboard, ["progress", 1, 4, "fold 1"])
    tab.open(job_id)
    expect(state(tab.page)).to_have_text("◐running")
    record = dashboard.record(job_id) | {"elapsed_seconds": 0, "remaining_seconds": 9}
    shown = tab.page.evaluate(
        """async (record) => {
            await import('./assets/job-status.js');
            // The page guesses the clock of the service by answers that can come late: some seconds are spare.
            const started = Date.now() - 3_605_000;
            const progress = { ...record.progress, reported_at: new Date(started + 1_800_000).toISOString() };
            const element = document.createElement('job-status');
            document.body.append(element);
            element.record = { ...record, started_at: new Date(started).toISOString(), progress };
            return element.textContent;
        }""",
        record,
    )
    assert re.search(r"1:00:\d\d elapsed~59:\d\d left$", shown), shown


def test_a_failed_job_shows_its_error_first(tab: Tab, dashboard: Dashboard) -> None:
    _, job_id = dashboard.seed("/parse", 2, params={"text": "{oops"})
    tab.open(job_id)
    hero = tab.page.get_by_role("region", name="Why it failed")
    expect(hero).to_contain_text("ValueError")
    expect(hero).to_contain_text("Invalid input: {oops")
    expect(hero).to_contain_text("job_apps.py:")  # where it happened, in code of the application's own
    same = hero.get_by_role("link", name=re.compile("same error: [0-9]+ jobs in 24 h"))
    expect(same).to_have_attribute("href", re.compile("error%3A"))
    trace = tab.page.get_by_role("tabpanel")
    expect(trace).to_contain_text("JSONDecodeError")
    library = trace.get_by_text("self.scan_once")
    expect(library).to_be_hidden()
    trace.get_by_text("calls in Python").click()
    expect(library).to_be_visible()


def test_every_attempt_is_told_with_its_end(tab: Tab, dashboard: Dashboard) -> None:
    job_id = finish(dashboard, ["log", "third time"], ["return", 1], path="/flaky")
    tab.open(job_id)
    steps = tab.page.get_by_role("list", name="Attempts").get_by_role("listitem")
    expect(steps).to_have_count(3)
    expect(steps.first).to_contain_text("ConnectionError: no answer, try 1")
    expect(steps.last).to_contain_text("completed")
    expect(tab.page.locator(".timeline-ends")).to_contain_text("last attempt ran ")
    expect(tab.page.locator(".piece.attempt")).to_have_count(3)
    events = pane(tab.page, "Events").locator("tbody tr")
    expect(events.last).to_contain_text("completed")
    expect(events.nth(1)).to_contain_text("attempt 1")
    expect(events.nth(2)).to_contain_text("no answer, try 1")
    expect(events).to_have_count(7)  # submitted, and for each attempt its begin and end
    expect(pane(tab.page, "Error")).to_contain_text("no answer, try 2")


def test_a_job_that_does_not_stop_is_not_said_to_have_stopped(tab: Tab, dashboard: Dashboard) -> None:
    job_id = start(dashboard, ["progress", 1], path="/stubborn")
    tab.open(job_id)
    page = tab.page
    button(page, "Cancel").click()
    with page.expect_response(re.compile("cancel$")) as answer:
        page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    assert answer.value.status == 202
    notice = page.locator(".job-notice")
    expect(notice).to_have_text(re.compile("Asked to stop .* It has not stopped yet."))
    expect(notice).to_contain_text(f"To end it sooner, restart the process {dashboard.record(job_id)['process']}.")
    expect(state(page)).to_have_text("◐running")
    expect(button(page, "Cancel")).to_be_hidden()
    tell(dashboard, job_id, ["return", 1])
    expect(state(page)).to_have_text("●completed")
    expect(notice).to_be_hidden()


def test_a_pending_job_says_why_it_waits(tab: Tab, dashboard: Dashboard) -> None:
    queues, workers = "/api/v1/queues", "**/api/v1/workers"
    running = start(dashboard, path="/narrow")
    job_id = start(dashboard, path="/narrow")
    tab.open(job_id)
    reason = tab.page.locator(".job-waiting")
    expect(reason).to_have_text("The queue narrow is full: it runs 1 of 1 jobs.")
    expect(tab.page.locator(".timeline-ends")).to_contain_text("waiting for ")
    href = reason.get_by_role("link").get_attribute("href")
    dashboard.client.post(f"{queues}/narrow/$pause").raise_for_status()
    dashboard.seed("/parse", params={"text": "1"})  # the change of a job, after which the page asks again
    expect(reason).to_have_text("The queue narrow is paused: none of its jobs start.")
    tab.page.route(workers, lambda route: route.fulfill(json=[]))
    tab.page.route(f"**{queues}", lambda route: route.fulfill(json=[]))
    tell(dashboard, running, ["return", 1])
    expect(reason).to_have_text("Nothing runs jobs here at the moment: see the workers.")
    tab.page.unroute(workers)
    (worker,) = dashboard.client.get("/api/v1/workers").json()
    told = dict(worker)
    tab.page.route(workers, lambda route: route.fulfill(json=[told]))
    for change, words in (
        ({"runners": ["thread"]}, "No worker runs jobs of the kind coroutine: see the workers."),
        ({"problems": {"coroutine": "no memory"}}, "No worker can begin it at the moment: no memory."),
        ({}, "It waits for a free place."),
    ):
        told = worker | change
        dashboard.seed("/parse", params={"text": "1"})
        expect(reason).to_have_text(words)
    tab.page.unroute(workers)
    dashboard.client.post(f"{queues}/narrow/$resume").raise_for_status()
    expect(state(tab.page)).to_have_text("◐running")
    expect(reason).to_be_hidden()
    tell(dashboard, job_id, ["return", 1])
    tab.open(str(href).removeprefix("./"))
    expect(tab.page.get_by_role("combobox", name="Search jobs")).to_have_value("status:running queue:narrow")


def test_a_job_that_is_to_start_later_says_when(tab: Tab, dashboard: Dashboard) -> None:
    job_id = dashboard.submit("/narrow", params={"delay": 720})
    open_followed(tab, job_id)
    expect(tab.page.locator(".job-waiting")).to_have_text(re.compile(r"^It starts at .*\d:\d\d:\d\d, in 1[12]:\d\d\.$"))
    dashboard.client.delete(f"/api/v1/jobs/{job_id}").raise_for_status()
    expect(tab.page.locator(".job-waiting")).to_be_hidden()


def test_who_does_not_see_everything_is_told_nothing_of_queues(tab: Tab, dashboard: Dashboard) -> None:
    def respond(route: Route) -> None:
        document = route.fetch(max_retries=1).json()  # the connection that it takes may just be ended
        document["access"].update(owner="ana", everything=False)
        route.fulfill(json=document)

    tab.page.route("**/$service", respond)
    running, job_id = (start(dashboard, path="/narrow") for _ in range(2))
    tab.open(job_id)
    expect(tab.page.locator(".job-waiting")).to_have_text("It waits for its turn.")
    assert not [url for url in tab.requests if url.endswith(("/queues", "/workers"))]
    tell(dashboard, running, ["return", 1])
    tell(dashboard, job_id, ["return", 1])


def test_a_run_is_on_pace_only_if_it_will_end_in_time(tab: Tab, dashboard: Dashboard) -> None:
    tab.open(finish(dashboard, ["return", 1]))
    words = tab.page.evaluate(
        """async (runs) => {
            const { paceOf } = await import('./assets/job-history.js');
            return runs.map((run) => paceOf(...run));
        }""",
        [[10, None, 60], [10, 60, 60], [10, 611, 60], [100, None, 60], [10, 1, None]],
    )
    assert words == ["on pace", "on pace", "will take longer than usual (1:00)", "longer than usual (1:00)", ""]


def test_a_question_outlives_what_happens_meanwhile(tab: Tab, dashboard: Dashboard) -> None:
    job_id = start(dashboard, ["progress", 1, 4])
    tab.open(job_id)
    page = tab.page
    expect(button(page, "Cancel")).to_be_visible()
    page.keyboard.press("c")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Cancel train")
    tell(dashboard, job_id, ["progress", 2, 4])
    expect(page.locator("[aria-valuenow='50']")).to_have_count(1)
    expect(dialog).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    assert dashboard.record(job_id)["cancel_requested_at"] is None
    assert page.url.endswith(job_id)
    page.keyboard.press("c")
    page.keyboard.press("Enter")
    expect(state(page)).to_have_text("■canceled")
    expect(page.locator("job-status")).to_contain_text("50 %")


def test_run_again_leads_to_the_new_job(tab: Tab, dashboard: Dashboard) -> None:
    job_id = finish(dashboard, ["return", 1])
    tab.open(job_id)
    expect(state(tab.page)).to_have_text("●completed")
    tab.page.keyboard.press("r")
    expect(state(tab.page)).to_have_text("◐running")
    assert not tab.page.url.endswith(job_id)
    tab.page.get_by_title(job_id).click()  # what it repeats
    expect(state(tab.page)).to_have_text("●completed")
    assert tab.page.url.endswith(job_id)


def test_a_job_that_is_deleted_stays_readable(tab: Tab, dashboard: Dashboard) -> None:
    job_id = start(dashboard, ["log", "last words"])
    open_followed(tab, job_id)
    lines = tab.page.get_by_role("region", name="Lines of the log")
    expect(lines).to_contain_text("last words")
    dashboard.client.delete(f"/api/v1/jobs/{job_id}").raise_for_status()
    expect(tab.page.get_by_text("This job was deleted.").first).to_be_visible()
    expect(lines).to_contain_text("last words")
    expect(button(tab.page, "Delete")).to_be_hidden()
    expect(tab.page).to_have_title(re.compile("^deleted train"))


def test_a_job_that_has_ended_is_seen_to_be_deleted(tab: Tab, dashboard: Dashboard) -> None:
    job_id = finish(dashboard, ["return", 1])
    open_followed(tab, job_id)
    expect(tab.page.get_by_role("tabpanel")).to_contain_text("1")  # it asks for nothing else any more
    expect(tab.page.get_by_text("live", exact=True)).to_be_visible()
    dashboard.client.delete(f"/api/v1/jobs/{job_id}").raise_for_status()
    expect(tab.page.get_by_text("This job was deleted.").first).to_be_visible()


def test_delete_asks_first(tab: Tab, dashboard: Dashboard) -> None:
    job_id = finish(dashboard, ["return", 1])
    open_followed(tab, job_id)
    expect(tab.page.get_by_role("tabpanel")).to_contain_text("1")
    expect(button(tab.page, "Delete")).to_be_visible()
    tab.page.keyboard.press("Backspace")
    tab.page.get_by_role("dialog").get_by_role("button", name="Leave it").click()
    expect(tab.page.locator("dialog")).to_have_count(0)
    assert dashboard.record(job_id)["status"] == "completed"
    tab.page.keyboard.press("Backspace")
    expect(tab.page.get_by_role("button", name="Leave it")).to_be_focused()  # so Enter deletes nothing
    tab.page.get_by_role("button", name="Delete the job").click()
    expect(tab.page.get_by_text("This job was deleted.").first).to_be_visible()
    assert dashboard.client.get(f"/api/v1/jobs/{job_id}").status_code == 404


def test_an_unknown_job_is_said_to_be_unknown(tab: Tab) -> None:
    tab.expected.append("404")
    tab.open(UNKNOWN)
    expect(tab.page.get_by_role("heading", name="No such job")).to_be_visible()
    expect(tab.page.get_by_text(UNKNOWN)).to_be_visible()
    tab.page.get_by_role("link", name="All jobs").click()
    expect(tab.page).to_have_url(re.compile("/jobs/$"))


# --- panes -----------------------------------------------------------------------------------------------------------


def test_the_arguments_are_shown_in_their_order(tab: Tab, dashboard: Dashboard) -> None:
    tab.open(start(dashboard, params={"10": 2**70, "2": "two"}))
    expect(tab.page.get_by_role("heading", level=1)).to_have_text(re.compile(r"^train\(model='xgb', "))
    shown = pane(tab.page, "Arguments")
    assert shown.locator(".json-key").all_inner_texts() == ["model", "params", "10", "2"]
    expect(shown).to_contain_text(str(2**70))


def test_metadata_is_shown_as_it_is(tab: Tab, dashboard: Dashboard) -> None:
    job_id = finish(dashboard, ["return"], metadata={"order": 2**70, "10": 1, "2": 2})
    tab.open(job_id)
    shown = pane(tab.page, "Arguments").locator("h3:has-text('Metadata') + .json")
    expect(shown).to_contain_text(str(2**70))
    assert [key.inner_text() for key in shown.locator(".json-key").all()] == ["order", "10", "2"]


def test_a_result_is_shown_as_it_is(tab: Tab, dashboard: Dashboard) -> None:
    result = {
        "10": "ten",
        "2": "two",
        "big": 2**70,
        "rows": [{"id": number} for number in range(250)],
        "text": "x" * 10_000,
    }
    tab.open(finish(dashboard, ["return", result]))
    shown = tab.page.get_by_role("tabpanel")
    expect(shown).to_contain_text(str(2**70))
    assert [key.inner_text() for key in shown.locator(".json > ul > li .json-key").all()][:3] == ["10", "2", "big"]
    expect(shown.get_by_text("10,000 characters")).to_be_visible()
    shown.get_by_text("rows").click()
    rows = shown.locator(".json > ul > li > details > ul > li")
    expect(rows).to_have_count(101)  # of 250, and the button for more
    shown.get_by_role("button", name="100 more of 150").click()
    expect(rows).to_have_count(201)


def test_a_large_result_is_for_a_program(tab: Tab, dashboard: Dashboard) -> None:
    job_id = finish(dashboard, ["return", ["x" * 1_000] * 700])
    tab.open(job_id)
    shown = tab.page.get_by_role("tabpanel")
    expect(shown).to_contain_text("larger than 500,000 characters")
    with tab.page.expect_download() as download:
        shown.get_by_role("button", name="Download").click()
    assert download.value.suggested_filename == f"{job_id}.json"
    tab.expected.append("503")
    tab.page.route("**/$result", lambda route: route.fulfill(status=503, json={"detail": "The disk is away."}))
    shown.get_by_role("button", name="Download").click()
    expect(shown.get_by_role("alert")).to_have_text("It cannot be saved: The disk is away.")


def test_an_artifact_can_be_downloaded(tab: Tab, dashboard: Dashboard) -> None:
    tab.open(dashboard.submit("/keep", wait=True))
    with tab.page.expect_download() as download:
        tab.page.get_by_role("tabpanel").get_by_role("link", name="Download").click()
    assert download.value.suggested_filename == "model.json"


def test_each_pane_has_an_address(tab: Tab, dashboard: Dashboard) -> None:
    job_id = finish(dashboard, ["return", 1])
    tab.open(f"{job_id}#raw")
    expect(tab.page.get_by_role("tabpanel")).to_contain_text('"restart_problem": null')
    tab.page.get_by_role("tab", name="Raw").press("ArrowLeft")
    expect(tab.page.get_by_role("tab", name="Events")).to_have_attribute("aria-selected", "true")
    assert tab.page.url.endswith("#events")
    tab.page.reload()
    expect(tab.page.get_by_role("tabpanel")).to_contain_text("submitted")


def test_a_job_stands_among_the_runs_of_its_name(tab: Tab, dashboard: Dashboard) -> None:
    job_id = [finish(dashboard, ["return", 1], path="/flaky") for _ in range(3)][1]
    tab.open(job_id)
    expect(tab.page.locator(".history-bar.this")).to_have_count(1)
    expect(tab.page.locator(".job-history")).to_contain_text("median")
    tab.page.locator(".history-bar").last.click()
    expect(tab.page).not_to_have_url(re.compile(job_id))


# --- to be taken away ------------------------------------------------------------------------------------------------


def test_a_report_has_all_that_a_ticket_needs(tab: Tab, dashboard: Dashboard) -> None:
    job_id = finish(dashboard, ["log", "about to fail"], ["raise", "no disk"])
    tab.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    tab.open(job_id)
    expect(tab.page.get_by_role("region", name="Lines of the log")).to_contain_text("about to fail")
    copy = tab.page.locator(".job-copy")
    copy.locator("summary").click()
    copy.get_by_role("button", name="Report").click()
    expect(tab.page.locator(".unseen[role=status]")).to_have_text("Report copied")
    report = tab.page.evaluate("navigator.clipboard.readText()")
    for part in (job_id, "failed", "ValueError: no disk", "about to fail", "submitted", "job_apps.py"):
        assert part in report
    copy.locator("summary").click()
    copy.get_by_role("button", name="curl").click()
    expect(tab.page.locator(".unseen[role=status]")).to_have_text("curl copied")
    assert (
        tab.page.evaluate("navigator.clipboard.readText()") == f"curl -s '{dashboard.service.url}/api/v1/jobs/{job_id}'"
    )
    tab.page.emulate_media(media="print")
    tab.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    expect(tab.page.locator(".job-paper")).to_contain_text("ValueError: no disk")
    expect(tab.page.get_by_role("button", name="Retry")).to_be_hidden()


# --- whoever looks, wherever -----------------------------------------------------------------------------------------


def test_escape_leads_to_the_list_from_a_job_that_was_opened_by_its_address(tab: Tab, dashboard: Dashboard) -> None:
    tab.open(finish(dashboard, ["return", 1]))
    expect(state(tab.page)).to_have_text("●completed")
    tab.page.keyboard.press("Escape")
    expect(tab.page).to_have_url(re.compile("/jobs/$"))


def test_hostile_texts_are_only_texts(phone: Tab, dashboard: Dashboard) -> None:
    job_id = finish(
        dashboard,
        ["log", HOSTILE],
        ["progress", 1, 2, HOSTILE[:400]],
        ["raise", HOSTILE],
        model=HOSTILE,
        params={HOSTILE: HOSTILE},
        tags=["<b>bold</b>"],
    )
    phone.open(job_id)
    page = phone.page
    expect(page.get_by_role("region", name="Why it failed")).to_contain_text("<img src=x onerror=")
    expect(page.get_by_role("region", name="Lines of the log")).to_contain_text(r"\u202etxet")
    for name in ("Arguments", "Events", "Raw", "Error"):
        expect(pane(page, name)).not_to_be_empty()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator("main img, main b").count() == 0
    expect(page).to_have_title(re.compile("^failed train"))


def test_nothing_is_scrolled_sideways_on_a_phone(phone: Tab, dashboard: Dashboard) -> None:
    job_id = start(dashboard, ["progress", 3, 10, "fold 3"], ["flood", 30, 300], tags=["nightly"])
    phone.open(job_id)
    expect(phone.page.get_by_role("progressbar")).to_be_visible()
    assert phone.page.evaluate("document.documentElement.scrollWidth") <= 390
    small = phone.page.evaluate(
        "[...document.querySelectorAll('main :is(button, summary, select, [role=tab])')]"
        ".filter((each) => each.checkVisibility() && each.getBoundingClientRect().height < 44)"
        ".map((each) => each.outerHTML)"
    )
    assert small == []
