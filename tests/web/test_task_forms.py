"""The forms of the dashboard's page of tasks, in an application that is mounted in another one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.needs import needs
from tests.service import run_service
from tests.web.conftest import Dashboard, Tab

pytestmark = needs("chromium")


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dashboard]:
    folder: Path = tmp_path_factory.mktemp("tasks")
    with run_service("tests.tasks.page_app:app", environment={"FOLDER": str(folder)}) as service:
        dashboard = Dashboard(service, path="/mounted")
        with dashboard.client:
            yield dashboard


def fill(page: Page, values: dict[str, str]) -> None:
    for label, text in values.items():
        page.get_by_label(label, exact=label.endswith("*")).fill(text)


def result(client: httpx.Client, task: str) -> Any:
    (job, *_) = client.get("/api/v1/jobs", params={"tag": f"task:{task}"}).json()
    return client.get(f"/api/v1/jobs/{job['id']}/$result").json()


def test_a_form_has_a_field_for_each_parameter_and_its_job_gets_what_was_filled_in(
    tab: Tab, dashboard: Dashboard
) -> None:
    tab.open("tasks?task=everything")
    page = tab.page
    expect(page.get_by_text("One parameter of each kind: <i>nothing is markup</i>.")).to_be_visible()
    expect(page.get_by_text("From 1 to 9.")).to_be_visible()
    expect(page.get_by_label("password")).to_have_attribute("type", "password")
    fill(page, {"text": "<b>bold</b>", "number *": "7", "ratio": "0.25", "password": "sesame"})
    page.get_by_label("color").select_option("blue")
    address = page.get_by_role("group", name="address")
    expect(address.get_by_text("Where it is.")).to_be_visible()
    address.get_by_label("street").fill("Main")
    address.get_by_label("code").fill("mellon")
    expect(address.get_by_role("group", name="door").get_by_label("floor")).to_have_value("2")
    address.get_by_label("names").fill("Ada\nBob")
    fill(page, {"limits": '{"a": 12345678901234567890}', "labels": "one\ntwo words", "numbers": "1\n2", "greeting": ""})
    fill(page, {"level": "9007199254740993"})
    page.get_by_label("is_loud").uncheck()
    page.get_by_label("size").select_option("s")
    page.get_by_role("button", name="Execute").click()
    job_id = page.get_by_text("Submitted: ").get_by_role("link").inner_text()
    runs = page.get_by_role("row")
    expect(runs.filter(has=page.locator(f"[href='./{job_id}']"))).to_contain_text("completed")
    assert result(dashboard.client, "everything") == {
        "text": "<b>bold</b>",
        "number": 7,
        "ratio": 0.25,
        "color": "blue",
        "address": ["Main", 1, "nollem"],
        "door": {"floor": 2, "names": ["Ada", "Bob"]},
        "password": "emases",
        "labels": ["one", "two words"],
        "numbers": [1, 2],
        "is_loud": False,
        "size": "s",
        "note": None,
        "greeting": "",
        "level": 9007199254740993,
        "limits": {"a": 12345678901234567890},
    }
    assert "sesame" not in page.content()


def test_the_form_can_begin_with_the_values_of_an_earlier_run(tab: Tab, dashboard: Dashboard) -> None:
    address = {"street": "Main", "number": 4, "code": "mellon"}
    given = {
        "text": "a" * 2_000, "number": 7, "ratio": 0.5, "color": "blue", "address": address, "password": "sesame",
        "labels": ["one", "two words"], "numbers": [1, 2], "size": "s", "level": 9007199254740993, "limits": {"a": 1},
        "is_loud": False,
    }  # fmt: skip
    job_id = dashboard.submit("/api/v1/tasks/everything/$execute", wait=True, json={"parameters": given})
    tab.open(job_id)
    page = tab.page
    page.get_by_role("link", name="Retry with edits").click()
    expect(page.get_by_label("number *", exact=True).first).to_have_value("7")
    expect(page.get_by_label("labels")).to_have_value("one\ntwo words")
    expect(page.get_by_label("size")).to_have_value("0")
    expect(page.get_by_label("level")).to_have_value("9007199254740993")
    expect(page.get_by_label("is_loud")).not_to_be_checked()
    expect(page.get_by_label("text *", exact=True)).to_have_value("")
    expect(
        page.get_by_text("It does not show the whole value of text, color, address, password: enter that again.")
    ).to_be_visible()
    fill(page, {"text": "short", "street": "Side", "code": "mellon", "password": "open"})
    page.get_by_label("ratio").fill("0.25")
    page.get_by_role("button", name="Execute").click()
    page.get_by_text("Submitted: ").get_by_role("link").click()
    expect(page.locator(".job-mark")).to_have_text("●completed")
    made = result(dashboard.client, "everything")
    assert (made["text"], made["number"], made["ratio"], made["level"]) == ("short", 7, 0.25, 9007199254740993)
    assert (made["limits"], made["numbers"], made["is_loud"], made["size"]) == ({"a": 1}, [1, 2], False, "s")


def test_the_form_of_a_command_can_begin_with_earlier_values_too(tab: Tab, dashboard: Dashboard) -> None:
    job_id = dashboard.submit("/api/v1/tasks/speak/$execute", wait=True, json={"parameters": {"words": "one; two"}})
    tab.open(job_id)
    tab.page.get_by_role("link", name="Retry with edits").click()
    expect(tab.page.get_by_label("words")).to_have_value("one; two")


def test_what_is_wrong_is_told_at_its_field(tab: Tab) -> None:
    tab.expected = ["422"]
    tab.open("tasks?task=everything")
    page = tab.page
    fill(page, {"text": "a", "ratio": "1", "password": "b", "labels": "c", "number *": "7", "numbers": "many"})
    fill(page, {"street": "Main", "code": "d", "names": "Ada", "limits": '{"a": "b"}'})
    page.get_by_role("button", name="Execute").click()
    expect(page.get_by_role("alert")).to_have_text("Not executed: see the fields")
    expect(page.get_by_label("limits")).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_text("a: Input should be a valid integer")).to_be_visible()
    expect(page.get_by_text("0: Input should be a valid integer")).to_be_visible()
    expect(page.get_by_label("numbers")).to_be_focused()
    fill(page, {"numbers": "1", "limits": "", "floor": "10"})
    page.get_by_label("floor").evaluate("input => input.form.noValidate = true")
    page.get_by_role("button", name="Execute").click()
    expect(page.get_by_label("floor")).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_text("Input should be less than or equal to 9")).to_be_visible()
    fill(page, {"limits": "{"})
    page.get_by_role("button", name="Execute").click()
    expect(page.get_by_text("This is no JSON")).to_be_visible()


def test_a_task_that_is_disabled_meanwhile_cannot_be_executed(tab: Tab, dashboard: Dashboard) -> None:
    tab.expected = ["409"]
    tab.page.clock.install(time=0)
    tab.page.clock.pause_at(1)  # else the page could have learned it by itself
    tab.open("tasks?task=fail")
    fill(tab.page, {"text": "a"})
    dashboard.client.post("/api/v1/tasks/fail/$disable").raise_for_status()
    tab.page.get_by_role("button", name="Execute").click()
    expect(tab.page.get_by_role("alert")).to_have_text("Not executed: The task 'fail' is disabled.")
    expect(tab.page.get_by_role("button", name="Execute")).to_be_disabled()
    dashboard.client.post("/api/v1/tasks/fail/$enable").raise_for_status()


def test_the_error_of_a_run_is_a_text(tab: Tab) -> None:
    tab.open("tasks?task=fail")
    fill(tab.page, {"text": "<img src=x onerror=alert(1)>"})
    tab.page.get_by_role("button", name="Execute").click()
    row = tab.page.get_by_role("row").filter(has_text="failed").first
    expect(row.get_by_text("ValueError: <img src=x onerror=alert(1)>", exact=True)).to_be_visible()
    assert tab.page.locator("img").count() == 0
