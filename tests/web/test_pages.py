"""The pages of queues, schedules, workers and tasks, on a service that has some of each."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Locator, Route, expect

from tests.needs import FRONTEND, needs
from tests.service import run_service
from tests.web.axe import find_violations
from tests.web.conftest import Dashboard, Tab

pytestmark = needs("chromium")

PAGES = ("queues", "schedules", "workers", "tasks?task=harvest")
TIMETABLES = {
    "@daily": "every day at 00:00",
    "* * * * *": "every minute",
    "0 3 * * *": "every day at 03:00",
    "*/5 * * * *": "every 5 minutes",
    "0-59 * * * *": "every minute",
    "0 * * * *": "every hour",
    "5,35 * * * *": "every hour at :05 and :35",
    "30 */4 * * *": "every 4 hours at :30",
    "0 8-18 * * *": "every hour from 08:00 to 18:00",
    "*/15 9-17 * * MON-FRI": "every 15 minutes from 09:00 to 17:59, Monday to Friday",
    "0 9 * * 1-5": "Monday to Friday at 09:00",
    "0 3,15 * * 6,7": "Saturday and Sunday at 03:00 and 15:00",
    "0 0 * * 7": "every Sunday at 00:00",
    "0 0 1,15 * *": "on the 1st and 15th of the month at 00:00",
    "0 0 L * *": "on the last day of the month at 00:00",
    "0 8 LW 1,7 *": "on the last working day of the month at 08:00, in January and July",
    "0 10 * * FRI#2": "on the second Friday at 10:00",
    "0 10 * * 5L": "on the last Friday at 10:00",
    "0 0 13 * FRI": "on the 13th of the month and every Friday at 00:00",
    "0 6 * JUN-AUG *": "every day at 06:00, in June to August",
    "*/7 * * * *": None,
    "0 0 */2 * 1": None,
    "not a timetable": None,
}


@pytest.fixture(scope="module")
def dashboard() -> Iterator[Dashboard]:
    with run_service("tests.web.picture_app:app") as service:
        dashboard = Dashboard(service)
        with dashboard.client:
            for name in ("sync 3", "weather"):  # whose jobs could come in the middle of a test
                dashboard.client.post(f"/api/v1/schedules/{name}/$pause").raise_for_status()
            yield dashboard


@pytest.fixture(autouse=True)
def _clear(dashboard: Dashboard) -> Iterator[None]:
    yield
    dashboard.clear()


def find_row(tab: Tab, name: str) -> Locator:
    return tab.page.get_by_role("row").filter(has=tab.page.get_by_role("rowheader", name=re.compile(f"^{name}")))


def test_a_queue_is_paused_and_resumed_while_its_numbers_go_on(tab: Tab, dashboard: Dashboard) -> None:
    tab.open("queues")
    row = find_row(tab, "ml")
    expect(row.get_by_role("cell").nth(1)).to_have_text("0 / 2")
    for model in ("xgb", "nn", "lgbm"):
        dashboard.submit("/train", params={"model": model, "region": "north"})
    expect(row.get_by_role("cell").nth(0)).to_have_text("1")
    expect(row.get_by_role("cell").nth(1)).to_have_text("2 / 2")
    expect(row.get_by_role("rowheader").get_by_text("full")).to_be_visible()
    row.get_by_role("button", name="Pause").click()
    expect(row.get_by_text("paused")).to_be_visible()
    assert [queue["is_paused"] for queue in dashboard.client.get("/api/v1/queues").json() if queue["name"] == "ml"] == [
        True
    ]
    row.get_by_role("button", name="Resume").click()
    expect(row.get_by_role("rowheader").get_by_text("full")).to_be_visible()
    row.get_by_role("cell").nth(1).get_by_role("link").click()
    expect(tab.page).to_have_url(re.compile(r"/jobs/\?q=queue%3Aml(%20|\+)status%3Arunning$"))


def test_what_was_asked_for_before_a_queue_was_paused_is_not_waited_for(tab: Tab, dashboard: Dashboard) -> None:
    tab.open("queues")
    row = find_row(tab, "ml")
    expect(row.get_by_role("button", name="Pause")).to_be_visible()
    held: list[Route] = []
    tab.page.route("**/api/v1/queues", lambda route: held.append(route), times=1)  # and never answered
    dashboard.seed("/sync", params={"site": 3})  # a change, after which the page asks again
    while not held:
        tab.page.evaluate("new Promise(requestAnimationFrame)")
    with tab.page.expect_event("requestfailed", lambda request: request.url.endswith("/api/v1/queues")):
        row.get_by_role("button", name="Pause").click()
    row.get_by_role("button", name="Resume").click()
    expect(row.get_by_role("button", name="Pause")).to_be_visible()


def test_a_queue_shows_how_long_its_jobs_waited(tab: Tab, dashboard: Dashboard) -> None:
    dashboard.seed("/sync", params={"site": 3})
    tab.open("queues")
    row = find_row(tab, "io")
    expect(row.get_by_role("cell").nth(5)).to_have_text(re.compile(r"\d m?s$"))
    expect(row.get_by_role("cell").nth(3)).to_have_text("0 %")


def test_a_queue_is_shown_though_its_jobs_have_ended(tab: Tab, dashboard: Dashboard) -> None:
    dashboard.client.post("/api/v1/tasks/harvest/$execute", json={"parameters": {"region": "no"}}).raise_for_status()
    tab.open("queues")
    row = find_row(tab, "default")
    expect(row.get_by_role("cell").nth(3)).to_have_text("0 %")
    expect(row.get_by_role("cell").nth(1)).to_have_text("0")


def test_a_row_stays_where_it_is_under_the_pointer(tab: Tab, dashboard: Dashboard) -> None:
    queues = [
        {"name": name, "is_paused": False, "pending": 1, "running": 0, "max_concurrency": None} for name in ("b", "c")
    ]
    tab.page.route("**/api/v1/queues", lambda route: route.fulfill(json=queues))
    tab.page.route("**/$activity*", lambda route: route.fulfill(json={"queues": [], "groups": []}))
    tab.open("queues")
    find_row(tab, "c").hover()
    queues[:] = [{**queues[0], "name": "a"}, queues[1]]
    dashboard.seed("/sync", params={"site": 3})
    expect(tab.page.get_by_role("rowheader").get_by_role("link")).to_have_text(["b", "c", "a"])
    tab.page.mouse.move(0, 0)
    dashboard.seed("/sync", params={"site": 3})
    expect(tab.page.get_by_role("rowheader").get_by_role("link")).to_have_text(["a", "c"])  # b had no jobs of late


def test_a_schedule_says_when_it_comes_and_is_paused_resumed_and_removed(tab: Tab, dashboard: Dashboard) -> None:
    tab.open("schedules")
    row = find_row(tab, "weather")
    expect(row).to_contain_text("every 15 minutes from 06:00 to 20:59, Monday to Friday")
    expect(row).to_contain_text("*/15 6-20 * * MON-FRI · Europe/Berlin")
    row = find_row(tab, "clean up")
    expect(row.get_by_role("cell").nth(1)).to_have_text(re.compile(r"^in [\d: dhs]+$"))
    row.get_by_role("button", name="Pause").click()
    expect(row.get_by_text("paused")).to_be_visible()
    expect(row.get_by_role("cell").nth(1)).to_have_text("–")
    row.get_by_role("button", name="Resume").click()
    expect(row.get_by_text("paused")).to_be_hidden()
    row = find_row(tab, "monthly report")
    for answer in ("Keep it", "Remove"):
        row.get_by_role("button", name="Remove").click()
        dialog = tab.page.get_by_role("dialog", name="Remove the schedule “monthly report”?")
        expect(dialog.get_by_role("button", name="Keep it")).to_be_focused()
        dialog.get_by_role("button", name=answer).click()
        expect(row).to_have_count(0 if answer == "Remove" else 1)
    assert dashboard.client.get("/api/v1/schedules/monthly report").status_code == 404


def test_a_schedule_shows_its_last_job_and_its_problem(tab: Tab, dashboard: Dashboard) -> None:
    job_id = dashboard.submit("/train", params={"model": "nn", "region": "north"})
    dashboard.wait_running(job_id)
    (schedule, *_) = dashboard.client.get("/api/v1/schedules").json()
    schedule |= {"last_job_id": job_id, "last_at": "2026-03-01T12:00:00Z", "problem": "<b>The target is gone.</b>"}
    tab.page.route("**/api/v1/schedules", lambda route: route.fulfill(json=[schedule]))
    tab.open("schedules")
    row = find_row(tab, schedule["name"])
    expect(row.get_by_role("link", name="The last job, running")).to_have_attribute("href", f"./{job_id}")
    expect(row.get_by_text("<b>The target is gone.</b>")).to_be_visible()


def test_a_schedule_whose_last_job_is_not_kept_says_so(tab: Tab, dashboard: Dashboard) -> None:
    (schedule, *_) = dashboard.client.get("/api/v1/schedules").json()
    schedule |= {"last_job_id": "01JQRS7XK5N8Z3VQ2M4T6W8Y0A", "last_at": "2026-03-01T12:00:00Z"}
    tab.page.route("**/api/v1/schedules", lambda route: route.fulfill(json=[schedule]))
    tab.open("schedules")
    expect(find_row(tab, schedule["name"])).to_contain_text("not kept any more")


def test_a_worker_shows_what_it_runs_until_it_has_ended(tab: Tab, dashboard: Dashboard) -> None:
    job_id = dashboard.submit("/train", params={"model": "nn", "region": "north"})
    tab.open("workers")
    row = find_row(tab, dashboard.wait_running(job_id)["process"])
    expect(row).to_contain_text("answers this page")
    line = row.get_by_role("listitem")
    expect(line).to_contain_text("70 %")
    expect(line).to_contain_text("fold 8 of 10")
    expect(line.get_by_role("link", name="train(model='nn', region='north')")).to_have_attribute("href", f"./{job_id}")
    dashboard.client.post(f"/api/v1/jobs/{job_id}/$cancel")
    expect(row).to_contain_text("nothing")


def test_a_worker_shows_what_kinds_of_jobs_cannot_begin_there(tab: Tab, dashboard: Dashboard) -> None:
    (worker,) = dashboard.client.get("/api/v1/workers").json()
    twin = worker | {"runners": ["ray"], "problems": {"ray": "The cluster is away."}, "is_this": False}
    worker |= {"runners": ["thread"], "problems": {"thread": "can't start new thread"}}
    told = [worker, twin]  # two workers of one process
    tab.page.route("**/api/v1/workers", lambda route: route.fulfill(json=told))
    tab.open("workers")
    row = find_row(tab, worker["name"])
    expect(row).to_contain_text(
        "Jobs of the kind thread cannot begin: can't start new thread. "
        "Jobs of the kind ray cannot begin: The cluster is away."
    )
    expect(row.get_by_role("rowheader")).to_contain_text("runs thread, ray")
    twin |= {"runners": ["thread"], "problems": {}}  # jobs in threads begin in one of the two
    dashboard.submit("/export", params={"rows": 1})  # the change of a job, after which the page asks again
    expect(row).not_to_contain_text("cannot begin")


def test_a_job_that_takes_long_or_does_not_stop_is_marked(tab: Tab, dashboard: Dashboard) -> None:
    jobs = [dashboard.submit("/export", params={"rows": 100}) for _ in range(3)]
    changes: list[dict[str, str]] = [
        {},
        {"started_at": "2026-01-01T00:00:00Z"},
        {"cancel_requested_at": "2026-01-01T00:00:00Z"},
    ]
    records = [dashboard.wait_running(job_id) | change for job_id, change in zip(jobs, changes, strict=True)]
    total = {"name": "export", "queue": "io", "run_p95": 3_600}
    tab.page.route("**/api/v1/jobs?status_filter=running*", lambda route: route.fulfill(json=records))
    tab.page.route("**/$activity*", lambda route: route.fulfill(json={"groups": [total]}))
    tab.open("workers")
    lines = [tab.page.get_by_role("listitem").filter(has=tab.page.locator(f"[href='./{each}']")) for each in jobs]
    expect(lines[1].locator(".badge")).to_have_text("long")
    expect(lines[2].locator(".badge")).to_have_text("stopping")
    expect(lines[0].locator(".badge")).to_be_hidden()


def test_a_task_is_executed_by_its_form_and_its_run_is_followed(tab: Tab, dashboard: Dashboard) -> None:
    tab.open("tasks")
    tab.page.get_by_role("navigation", name="Tasks").get_by_role("button", name="harvest").click()
    expect(tab.page).to_have_url(re.compile(r"/tasks\?task=harvest$"))
    tab.page.get_by_label("region").fill("north")
    tab.page.get_by_label("crop").select_option("oats")
    tab.page.get_by_role("button", name="Execute").click()
    expect(tab.page.get_by_text("Submitted:")).to_be_visible()
    row = tab.page.get_by_role("row").filter(has_text="completed")
    expect(row).to_be_visible()
    (job,) = dashboard.client.get("/api/v1/jobs?tag=task:harvest").json()
    expect(row.get_by_role("link")).to_have_attribute("href", f"./{job['id']}")
    tab.page.reload()
    expect(tab.page.get_by_role("heading", name="harvest")).to_be_visible()


def test_a_task_is_disabled_and_enabled(tab: Tab, dashboard: Dashboard) -> None:
    tab.open("tasks?task=report")
    tab.page.get_by_role("button", name="Disable").click()
    expect(tab.page.get_by_role("button", name="Execute")).to_be_disabled()
    expect(tab.page.get_by_role("navigation", name="Tasks").get_by_text("disabled")).to_be_visible()
    assert dashboard.client.get("/api/v1/tasks/report").json()["enabled"] is False
    tab.page.get_by_role("button", name="Enable").click()
    expect(tab.page.get_by_role("button", name="Execute")).to_be_enabled()


def change_service(tab: Tab, change: Callable[[dict[str, Any]], None]) -> None:
    def respond(route: Route) -> None:
        document = route.fetch(max_retries=1).json()  # the connection that it takes may just be ended
        change(document)
        route.fulfill(json=document)

    tab.page.route("**/$service", respond)


def test_who_may_not_act_has_no_buttons(tab: Tab, dashboard: Dashboard) -> None:
    change_service(tab, lambda document: document["access"].update(may_act=False))
    for address in PAGES:
        tab.open(address)
        expect(tab.page.locator(".page-table tbody tr, .task h2").first).to_be_visible()
        for name in ("Pause", "Resume", "Remove", "Execute", "Disable"):
            expect(tab.page.locator("main").get_by_role("button", name=name)).to_have_count(0)


def test_who_sees_only_its_own_jobs_executes_tasks_and_disables_none(tab: Tab) -> None:
    change_service(tab, lambda document: document["access"].update(owner="ana", everything=False))
    tab.open("tasks?task=report")
    expect(tab.page.get_by_role("navigation", name="Pages").get_by_role("link")).to_have_text(["Jobs", "Tasks"])
    expect(tab.page.get_by_role("button", name="Execute")).to_be_visible()
    expect(tab.page.get_by_role("button", name="Disable")).to_have_count(0)


@pytest.mark.parametrize(
    ("address", "path", "heading"),
    [
        ("queues", "queues", "No queues in use"),
        ("schedules", "schedules", "No schedules"),
        ("tasks", "tasks", "No tasks"),
    ],
)
def test_an_empty_page_says_what_would_be_there(tab: Tab, address: str, path: str, heading: str) -> None:
    tab.page.route(f"**/api/v1/{path}", lambda route: route.fulfill(json=[]))
    tab.page.route("**/$activity*", lambda route: route.fulfill(json={"queues": []}))
    tab.open(address)
    expect(tab.page.get_by_role("heading", name=heading)).to_be_visible()


def test_a_page_that_cannot_be_read_says_why_and_comes_back(tab: Tab, dashboard: Dashboard) -> None:
    tab.expected = ["503"]
    answer = {"status": 503, "json": {"detail": "Jobs cannot be read or written at the moment"}}
    tab.page.route("**/api/v1/queues", lambda route: route.fulfill(**answer))
    tab.open("queues")
    expect(tab.page.get_by_role("alert")).to_have_text(
        "The queues cannot be read: Jobs cannot be read or written at the moment"
    )
    tab.page.unroute("**/api/v1/queues")
    dashboard.seed("/sync", params={"site": 3})
    expect(find_row(tab, "ml")).to_be_visible()
    expect(tab.page.get_by_role("alert")).to_be_hidden()


@pytest.mark.parametrize("page", ["queues", "schedules", "workers", "tasks"])
def test_what_cannot_be_read_is_not_said_to_be_empty(tab: Tab, page: str) -> None:
    tab.expected = ["503"]
    tab.page.route("**/api/v1/**", lambda route: route.fulfill(status=503, json={"detail": "Not now"}))
    tab.open(page)
    expect(tab.page.get_by_role("alert")).to_contain_text("cannot be read: Not now")
    expect(tab.page.get_by_role("heading", level=2)).to_have_count(0)
    expect(tab.page.get_by_role("table")).to_have_count(0)


def test_tasks_are_shown_as_soon_as_they_can_be_read(tab: Tab) -> None:
    tab.expected = ["503"]
    answer = {"status": 503, "json": {"detail": "Not now"}}
    tab.page.route("**/api/v1/tasks", lambda route: route.fulfill(**answer), times=1)
    tab.open("tasks")
    expect(tab.page.get_by_role("alert")).to_contain_text("The tasks cannot be read: Not now")
    expect(tab.page.get_by_role("button", name="Execute")).to_be_visible()
    expect(tab.page.get_by_role("alert")).to_be_hidden()


def test_hostile_names_are_texts_that_fit_the_screen(phone: Tab, dashboard: Dashboard) -> None:
    name = "<img src=x onerror=alert(1)>" + "ä" * 150 + "/.."
    queue = {"name": name, "is_paused": False, "pending": 10**9, "running": 10**7, "max_concurrency": 10**6}
    (schedule, *_) = dashboard.client.get("/api/v1/schedules").json()
    schedule |= {"name": name, "target_name": name, "problem": name * 3, "is_paused": False}
    worker = {"name": name, "started_at": "2020-01-01T00:00:00Z", "is_stopping": True, "runs_jobs": False}
    worker |= {"running": 10**7, "is_this": False, "seen_at": None, "runners": None, "problems": {"ray": name * 3}}
    records = {"queues": queue, "schedules": schedule, "workers": worker}
    phone.page.route("**/$activity*", lambda route: route.fulfill(json={"queues": [], "groups": []}))
    for page in records:
        phone.page.route(
            f"**/api/v1/{page}", lambda route: route.fulfill(json=[records[route.request.url.rpartition("/")[2]]])
        )
        phone.open(page)
        expect(phone.page.get_by_role("rowheader")).to_contain_text(name)
        assert phone.page.evaluate("document.querySelector('main').scrollWidth <= innerWidth")
    assert phone.page.locator("img").count() == 0


def test_timetables_are_told_in_words(tab: Tab) -> None:
    tab.open("schedules")
    described = tab.page.evaluate(
        """async (expressions) => {
          const { describeCron } = await import('./assets/timetable-words.js');
          return Object.fromEntries(expressions.map((expression) => [expression, describeCron(expression)]));
        }""",
        list(TIMETABLES),
    )
    assert described == TIMETABLES


@needs(FRONTEND)
@pytest.mark.parametrize("look", ["light", "dark", "phone"])
def test_the_pages_are_accessible_and_fit_the_screen(
    open_tab: Callable[..., Tab], dashboard: Dashboard, look: str
) -> None:
    dashboard.submit("/train", params={"model": "nn", "region": "north"})
    dashboard.client.post("/api/v1/tasks/harvest/$execute", json={"parameters": {"region": "north"}})
    size = {"width": 390, "height": 844} if look == "phone" else {"width": 1440, "height": 900}
    tab = open_tab(viewport=size, color_scheme="dark" if look == "dark" else "light")
    for address in PAGES:
        tab.open(address)
        expect(tab.page.locator(".page-table tbody tr").first).to_be_visible()
        assert find_violations(tab.page) == []
        assert tab.page.evaluate("document.querySelector('main').scrollWidth <= innerWidth")
