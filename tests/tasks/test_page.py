"""The page with the forms, in a browser, in an application that is mounted in another one."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.chromium import CHROMIUM_OPTIONS
from tests.needs import needs, program
from tests.service import run_service

pytestmark = needs("chromium")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("page")
    with run_service("tests.tasks.page_app:app", environment={"FOLDER": str(folder)}) as service:
        yield f"{service.url}/mounted"


@pytest.fixture(scope="module")
def browser_page() -> Iterator[Page]:
    with tempfile.TemporaryDirectory() as profile, sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            profile, executable_path=program("chromium"), args=CHROMIUM_OPTIONS
        )
        yield context.new_page()
        context.close()


@pytest.fixture
def page(browser_page: Page, url: str) -> Iterator[Page]:
    errors: list[object] = []
    browser_page.on("pageerror", lambda error: errors.append(error))
    browser_page.goto("about:blank")
    browser_page.goto(f"{url}/tasks")
    yield browser_page
    assert errors == []


def choose(page: Page, name: str) -> None:
    page.get_by_role("navigation").get_by_role("button", name=name).click()
    expect(page.get_by_role("heading", name=name)).to_be_visible()


def test_a_form_has_a_field_for_each_parameter_and_its_job_gets_what_was_filled_in(page: Page) -> None:
    choose(page, "everything")
    expect(page.get_by_text("One parameter of each kind: <i>nothing is markup</i>.")).to_be_visible()
    expect(page.get_by_text("From 1 to 9.")).to_be_visible()
    expect(page.get_by_label("password")).to_have_attribute("type", "password")
    page.get_by_label("text").fill("<b>bold</b>")
    page.get_by_label("number *", exact=True).fill("7")
    page.get_by_label("ratio").fill("0.25")
    page.get_by_label("color").select_option("blue")
    address = page.get_by_role("group", name="address")
    expect(address.get_by_text("Where it is.")).to_be_visible()
    address.get_by_label("street").fill("Main")
    expect(address.get_by_label("code")).to_have_attribute("type", "password")
    address.get_by_label("code").fill("mellon")
    expect(address.get_by_role("group", name="door").get_by_label("floor")).to_have_value("2")
    address.get_by_label("names").fill("Ada\nBob")
    page.get_by_label("limits").fill('{"a": 1}')
    page.get_by_label("password").fill("sesame")
    page.get_by_label("labels").fill("one\ntwo words")
    page.get_by_label("numbers").fill("1\n2")
    page.get_by_label("is_loud").uncheck()
    page.get_by_label("size").select_option("s")
    page.get_by_label("greeting").fill("")
    page.get_by_role("button", name="Execute").click()
    expect(page.get_by_role("status")).to_have_text("completed")
    expect(page.get_by_label("Result")).not_to_be_empty()
    assert json.loads(page.get_by_label("Result").inner_text()) == {
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
        "level": 5,
        "limits": {"a": 1},
    }
    assert "sesame" not in page.content()


def test_what_is_wrong_is_told_at_its_field(page: Page) -> None:
    choose(page, "everything")
    for label, text in (("text", "a"), ("ratio", "1"), ("password", "b"), ("labels", "c"), ("number *", "7")):
        page.get_by_label(label, exact=label.endswith("*")).fill(text)
    page.get_by_label("numbers").fill("many")
    page.get_by_label("street").fill("Main")
    page.get_by_label("code").fill("d")
    page.get_by_label("names").fill("Ada")
    page.get_by_label("limits").fill('{"a": "b"}')
    page.get_by_role("button", name="Execute").click()
    expect(page.get_by_role("alert")).to_contain_text("Not executed")
    expect(page.get_by_label("limits")).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_text("a: Input should be a valid integer")).to_be_visible()
    expect(page.get_by_text("0: Input should be a valid integer")).to_be_visible()
    page.get_by_label("numbers").fill("1")
    page.get_by_label("limits").fill("")
    page.get_by_label("floor").fill("10")
    page.get_by_label("floor").evaluate("input => input.form.noValidate = true")
    page.get_by_role("button", name="Execute").click()
    expect(page.get_by_label("floor")).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_text("Input should be less than or equal to 9")).to_be_visible()
    page.get_by_label("limits").fill("{")
    page.get_by_role("button", name="Execute").click()
    expect(page.get_by_text("This is no JSON")).to_be_visible()


def test_a_command_is_watched_line_by_line_and_leads_to_its_artifact(page: Page) -> None:
    choose(page, "speak")
    page.get_by_label("words").fill("all")
    page.get_by_role("button", name="Execute").click()
    expect(page.get_by_role("status")).to_have_text("completed")
    for step in (1, 2, 3):
        expect(page.get_by_label("Log")).to_contain_text(f"line {step} <b>of</b> all\n")
    expect(page.get_by_label("Log")).to_contain_text("careful")
    expect(page.get_by_role("progressbar")).to_have_attribute("value", "1")
    artifact = page.get_by_role("link", name="The artifact")
    address = artifact.evaluate("link => link.href")
    assert httpx.get(address).json()["data"]["exit_code"] == 0
    expect(page.get_by_role("listitem").filter(has_text="completed").first).to_be_visible()


def test_a_job_is_canceled_and_found_again_after_a_reload(page: Page) -> None:
    choose(page, "forever")
    page.get_by_role("button", name="Execute").click()
    expect(page.get_by_role("status")).to_have_text("running")
    expect(page.get_by_text("waiting")).to_be_visible()
    page.reload()
    expect(page.get_by_role("status")).to_have_text("running")
    page.get_by_role("button", name="Cancel", exact=True).click()
    expect(page.get_by_role("status")).to_have_text("canceled")
    expect(page.get_by_role("button", name="Cancel", exact=True)).to_be_disabled()
    expect(page.get_by_role("button", name="canceled").first).to_be_visible()


def test_an_error_of_a_task_is_a_text(page: Page) -> None:
    choose(page, "fail")
    page.get_by_label("text").fill("<img src=x onerror=alert(1)>")
    page.get_by_role("button", name="Execute").click()
    expect(page.get_by_role("status")).to_have_text("failed")
    expect(page.get_by_text("ValueError: <img src=x onerror=alert(1)>", exact=True)).to_be_visible()
    page.get_by_text("Traceback", exact=True).click()
    expect(page.get_by_text("raise ValueError(text)")).to_be_visible()
    assert page.locator("img").count() == 0


def test_a_task_that_is_disabled_meanwhile_cannot_be_executed(page: Page, url: str) -> None:
    choose(page, "fail")
    page.get_by_label("text").fill("a")
    httpx.post(f"{url}/api/v1/tasks/fail/$disable")
    page.get_by_role("button", name="Execute").click()
    expect(page.get_by_role("alert")).to_have_text("Not executed: The task 'fail' is disabled.")
    expect(page.get_by_role("button", name="Execute")).to_be_disabled()
    httpx.post(f"{url}/api/v1/tasks/fail/$enable")


def test_the_page_needs_nothing_from_elsewhere_and_allows_nothing_from_elsewhere(url: str) -> None:
    answer = httpx.get(f"{url}/tasks")
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "http://" not in answer.text
    assert "https://" not in answer.text
    assert "innerHTML" not in answer.text


def test_the_page_is_part_of_the_package() -> None:
    assert (Path("src/servicekit/tasks/page.html")).is_file()
