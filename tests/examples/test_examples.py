"""The examples, used as a newcomer would: over HTTP, in a browser, and by `make demo`."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from playwright.sync_api import Page, Route, expect, sync_playwright

from examples import controlled_work_api, job_notes_api, job_scheduler_api, job_scheduler_sse_api
from tests.chromium import CHROMIUM_OPTIONS
from tests.needs import needs, program
from tests.service import STOP_SECONDS, run_service

ROOT = Path(__file__).parents[2]
STEP_SECONDS = 0.05
LIFE = ["pending", "running", "completed"]
# Without what a make that runs these tests tells the makes that it starts.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}


# --- examples/job_scheduler_api.py -------------------------------------------------------------------------------


@pytest.fixture
def pi_client() -> Iterator[TestClient]:
    with TestClient(job_scheduler_api.app) as client:
        yield client


def test_a_submission_is_answered_at_once_and_its_result_fetched_later(pi_client: TestClient) -> None:
    submitted = pi_client.post("/api/v1/pi", json={"darts": 100_000, "seed": 1})
    assert submitted.status_code == 202
    job_id = submitted.json()["job_id"]
    assert submitted.headers["Location"] == f"/api/v1/jobs/{job_id}"

    record = read_records(pi_client.get(submitted.json()["stream_url"]).text)[-1]
    assert record["status"] == "completed"
    assert (record["progress"]["done"], record["progress"]["total"]) == (100_000, 100_000)

    result = pi_client.get(f"/api/v1/pi/{job_id}").json()
    assert result["darts"] == 100_000
    assert result["pi"] == pytest.approx(3.14, abs=0.05)


def test_there_is_no_result_before_the_end(pi_client: TestClient) -> None:
    submitted = pi_client.post("/api/v1/pi", json={"darts": 100_000_000}).json()
    answer = pi_client.get(f"/api/v1/pi/{submitted['job_id']}")
    assert answer.status_code == 409
    assert "not finished" in answer.json()["detail"]
    assert pi_client.delete(f"/api/v1/jobs/{submitted['job_id']}").status_code == 204


@pytest.mark.parametrize("job_id", ["01JQRS7XK5N8Z3VQ2M4T6W8Y0A", "nonsense"])
def test_an_unknown_job_has_no_result(pi_client: TestClient, job_id: str) -> None:
    answer = pi_client.get(f"/api/v1/pi/{job_id}")
    assert answer.status_code == 404
    assert answer.json() == {"detail": "Job not found"}


@pytest.mark.parametrize("darts", [0, -1, 100_000_001, "many", None])
def test_absurd_numbers_of_darts_are_refused(pi_client: TestClient, darts: object) -> None:
    assert pi_client.post("/api/v1/pi", json={"darts": darts}).status_code == 422


# --- examples/job_notes_api.py -----------------------------------------------------------------------------------


@pytest.fixture
def notes_client(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[TestClient]:
    monkeypatch.chdir(tmp_path)
    with TestClient(job_notes_api.app) as client:
        yield client


def test_notes_belong_to_a_job_and_go_with_it(notes_client: TestClient) -> None:
    job_id = notes_client.post("/api/v1/orders?number=17").json()["job_id"]
    assert notes_client.get(f"/api/v1/jobs/{job_id}?wait=30").json()["status"] == "failed"
    notes_client.post(f"/api/v1/notes/{job_id}", json={"text": "The shop was closed."})
    answer = notes_client.post(f"/api/v1/notes/{job_id}", json={"text": "<b>Again</b>"})
    assert (answer.status_code, answer.json()) == (201, ["The shop was closed.", "<b>Again</b>"])
    page = notes_client.get("/notes").text
    assert f"<li><code>{job_id}</code> &lt;b&gt;Again&lt;/b&gt;</li>" in page

    notes_client.delete(f"/api/v1/jobs/{job_id}")
    assert notes_client.post(f"/api/v1/notes/{job_id}", json={"text": "Too late"}).status_code == 404


def test_the_notes_of_a_deleted_job_are_gone_when_the_service_has_stopped(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    with TestClient(job_notes_api.app) as client:
        kept, deleted = (client.post(f"/api/v1/orders?number={number}").json()["job_id"] for number in (1, 2))
        for job_id in (kept, deleted):
            client.get(f"/api/v1/jobs/{job_id}?wait=30")
            client.post(f"/api/v1/notes/{job_id}", json={"text": "Closed."})
        client.delete(f"/api/v1/jobs/{deleted}")
    with TestClient(job_notes_api.app) as client:
        assert client.get(f"/api/v1/notes/{kept}").json() == ["Closed."]
        assert client.get(f"/api/v1/notes/{deleted}").json() == []


# --- examples/job_scheduler_sse_api.py ---------------------------------------------------------------------------


@pytest.fixture
def sse_client(monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setattr(job_scheduler_sse_api, "STEP_SECONDS", STEP_SECONDS)
    with TestClient(job_scheduler_sse_api.app) as client:
        yield client


def test_the_stream_shows_each_step_until_completed(sse_client: TestClient) -> None:
    submitted = sse_client.post("/api/v1/slow-compute", json={"steps": 3})
    assert submitted.status_code == 202
    assert submitted.json()["message"] == "Job submitted with 3 steps. Stream real-time status..."

    stream = sse_client.get(submitted.json()["stream_url"], params={"poll_interval": STEP_SECONDS})
    records = read_records(stream.text)
    assert [record["status"] for record in records] == sorted((r["status"] for r in records), key=LIFE.index)
    assert records[-1]["status"] == "completed"
    assert (records[-1]["progress"]["done"], records[-1]["progress"]["message"]) == (3, "step 3 of 3")
    done = [record["progress"]["done"] for record in records if record["progress"]]
    assert done == sorted(done)


@pytest.mark.parametrize("steps", [0, -1, 3601, 1.5, "thirty", None])
def test_absurd_numbers_of_steps_are_refused(sse_client: TestClient, steps: object) -> None:
    assert sse_client.post("/api/v1/slow-compute", json={"steps": steps}).status_code == 422


def test_the_page_needs_nothing_from_elsewhere(sse_client: TestClient) -> None:
    answer = sse_client.get("/")
    assert answer.headers["Content-Type"].startswith("text/html")
    assert "EventSource" in answer.text
    assert not re.search(r"https?://|src=|@import", answer.text)


# --- examples/controlled_work_api.py -----------------------------------------------------------------------------

TO_THE_END = {"Prefer": "wait=30"}


@pytest.fixture
def work_client() -> Iterator[TestClient]:
    with TestClient(controlled_work_api.app) as client:
        yield client


def test_primes_are_counted_in_a_process_of_its_own_and_its_stream_has_the_log(work_client: TestClient) -> None:
    submitted = work_client.post("/api/v1/primes", params={"below": 250_000}).json()
    stream = work_client.get(submitted["stream_url"], params={"logs": True}).text

    *_, record = [told for told in read_records(stream) if "status" in told]
    assert (record["status"], record["queue"]) == ("completed", "heavy")
    assert record["progress"]["done"] == record["progress"]["total"] == 3
    lines = [told["text"] for told in read_records(stream) if "text" in told]
    assert lines == ["9592 primes below 100002", "17984 primes below 200002", "22044 primes below 250000"]
    assert work_client.get(f"/api/v1/jobs/{submitted['job_id']}/$result").json() == 22_044


@pytest.mark.parametrize(("below", "count"), [(2, 0), (3, 1), (4, 2), (100, 25)])
def test_small_primes_are_counted_right(work_client: TestClient, below: int, count: int) -> None:
    assert work_client.post("/api/v1/primes", params={"below": below}, headers=TO_THE_END).json()["result"] == count


def test_a_computation_is_canceled_although_it_does_not_look(work_client: TestClient) -> None:
    job_path = f"/api/v1/jobs/{work_client.post('/api/v1/primes', params={'below': 10**9}).json()['job_id']}"
    work_client.post(f"{job_path}/$cancel")
    assert work_client.get(job_path, params={"wait": 30}).json()["status"] == "canceled"


def test_a_program_sorts_lines(work_client: TestClient) -> None:
    answer = work_client.post("/api/v1/sorted", json=["pear", "apple", "pear"], headers=TO_THE_END)
    assert answer.status_code == 200
    assert answer.json()["result"] == {"exit_code": 0, "output": "apple\npear\n"}


def test_an_order_is_placed_at_the_third_attempt(work_client: TestClient) -> None:
    answer = work_client.post("/api/v1/orders", params={"number": 17}, headers=TO_THE_END).json()
    assert answer["result"] == "order 17 is placed"
    record = work_client.get(f"/api/v1/jobs/{answer['job_id']}").json()
    assert [past["error"] for past in record["attempts"]] == 2 * ["ConnectionError: the shop is busy"]


def test_the_queue_and_the_schedule_are_there(work_client: TestClient) -> None:
    assert [(queue["name"], queue["max_concurrency"]) for queue in work_client.get("/api/v1/queues").json()] == [
        ("heavy", 2)
    ]
    (schedule,) = work_client.get("/api/v1/schedules").json()
    assert schedule["next_at"].endswith("-12-31T23:00:00Z")


# --- examples/task_execution_api.py ------------------------------------------------------------------------------


@pytest.fixture
def task_client(tmp_path: Path) -> Iterator[httpx.Client]:
    example = "examples/task_execution_api.py"
    # In a folder of its own, where it keeps its files.
    with (
        run_service(example, cwd=tmp_path, environment={"STEP_SECONDS": str(STEP_SECONDS)}) as service,
        httpx.Client(base_url=service.url, timeout=STOP_SECONDS) as client,
    ):
        yield client


def test_tasks_are_listed_executed_watched_canceled_and_made(task_client: httpx.Client) -> None:
    assert [task["name"] for task in task_client.get("/api/v1/tasks").json()] == ["count_words", "countdown"]
    words = {"parameters": {"text": "to be or not to be", "most": 1}}
    answer = task_client.post("/api/v1/tasks/count_words/$execute", json=words, headers=TO_THE_END)
    assert answer.json()["result"] == {"to": 2}

    submitted = task_client.post("/api/v1/tasks/countdown/$execute", json={"parameters": {"seconds": 3}}).json()
    stream = task_client.get(submitted["stream_url"], params={"logs": True}).text
    assert [told["text"] for told in read_records(stream) if "text" in told] == ["3", "2", "1", "Go!"]
    record = task_client.get(f"/api/v1/jobs/{submitted['job_id']}").json()
    assert (record["progress"]["done"], record["progress"]["total"]) == (2, 3)
    artifact = task_client.get(f"/api/v1/artifacts/{record['artifact_id']}").json()["data"]
    assert (artifact["exit_code"], artifact["stdout"].splitlines()[-1]) == (0, "Go!")

    parameters = {"seconds": 3600, "last_word": "; reboot"}
    job_id = task_client.post("/api/v1/tasks/countdown/$execute", json={"parameters": parameters}).json()["job_id"]
    with task_client.stream("GET", f"/api/v1/jobs/{job_id}/$stream?logs=true") as lines:
        assert any('"text":"3600"' in line for line in lines.iter_lines())
    task_client.post(f"/api/v1/jobs/{job_id}/$cancel")
    record = task_client.get(f"/api/v1/jobs/{job_id}?wait=30").json()
    assert record["status"] == "canceled"
    artifact = task_client.get(f"/api/v1/artifacts/{record['artifact_id']}").json()["data"]
    assert artifact["stdout"].startswith("::progress 0/3600 3600 to go\n3600\n")
    assert artifact["task"]["parameters"] == parameters

    template = {"name": "hamlet", "task_type": "python", "command": "count_words", "parameters": {"text": "to be"}}
    assert task_client.post("/api/v1/tasks", json=template).status_code == 201
    answer = task_client.post("/api/v1/tasks/hamlet/$execute", headers=TO_THE_END)
    assert answer.json()["result"] == {"to": 1, "be": 1}
    assert len(task_client.get("/api/v1/jobs?tag=task:countdown").json()) == 2
    assert "<title>Tasks</title>" in task_client.get("/tasks").text


# --- make demo, and the page in a browser ------------------------------------------------------------------------


class Demo:
    """A running tools/demo.py, with all that it has printed until it began to just serve."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout
        self.process = process
        self.output = ""
        for line in process.stdout:
            self.output += line
            if line.startswith("Ctrl-C"):
                break
        else:
            raise AssertionError(f"The demo ended early:\n{self.output}")
        self.url = re.findall(r"http://localhost:\d+", self.output)[0]

    def rest_of_output(self) -> str:
        """All that comes until it has ended, which must be long before its jobs have."""
        return self.process.communicate(timeout=STOP_SECONDS)[0]


def start_demo(*command: str, **environment: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        command or [sys.executable, "tools/demo.py", "--port", "0", "--steps", "2"],
        cwd=ROOT,
        env=ENVIRONMENT | {"STEP_SECONDS": str(STEP_SECONDS), "SERVICEKIT_JOBS_URL": "memory://"} | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    with start_demo(TMPDIR=str(tmp_path)) as process:  # one that is killed leaves its folder
        try:
            yield Demo(process)
        finally:
            process.kill()


def test_the_demo_shows_a_stream_until_completed_and_where_to_go_on(demo: Demo) -> None:
    events = read_records(demo.output)
    assert events[-1]["status"] == "completed"
    assert events[-1]["progress"]["message"] == "step 2 of 2"
    assert "curl -s -X POST" in demo.output
    assert f"{demo.url}/docs" in demo.output
    assert httpx.get(f"{demo.url}/docs").status_code == 200
    assert f"{demo.url}/jobs " in demo.output
    assert "<main" in httpx.get(f"{demo.url}/jobs", follow_redirects=True).text


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_the_demo_ends_cleanly_although_a_stream_is_open(demo: Demo, stop: signal.Signals) -> None:
    stream_url = httpx.post(f"{demo.url}/api/v1/slow-compute", json={"steps": 3600}).json()["stream_url"]
    with httpx.stream("GET", demo.url + stream_url) as stream:
        next(stream.iter_lines())
        demo.process.send_signal(stop)
        assert demo.rest_of_output().split() == ["Stopped."]
    assert demo.process.returncode == 0


def test_the_demo_finds_itself_although_there_is_a_proxy(tmp_path: Path) -> None:
    nowhere, folder = "http://127.0.0.1:9", str(tmp_path)
    with start_demo(http_proxy=nowhere, HTTP_PROXY=nowhere, no_proxy="", NO_PROXY="", TMPDIR=folder) as process:
        assert read_records(Demo(process).output)[-1]["status"] == "completed"
        process.kill()


def test_the_demo_keeps_its_jobs_in_a_folder_that_goes_with_it(tmp_path: Path) -> None:
    with start_demo(SERVICEKIT_JOBS_URL="", TMPDIR=str(tmp_path)) as process:
        try:
            demo = Demo(process)
            assert [file.name for file in tmp_path.glob("*/jobs.db")] == ["jobs.db"]
            process.send_signal(signal.SIGINT)
            assert demo.rest_of_output().split() == ["Stopped."]
        finally:
            process.kill()
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_of_a_killed_demo(demo: Demo) -> None:
    demo.process.kill()
    demo.process.wait()
    with pytest.raises(httpx.ConnectError):
        httpx.get(demo.url)


def test_the_demo_says_that_its_port_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with start_demo(sys.executable, "tools/demo.py", "--port", str(port)) as process:
            output, _ = process.communicate(timeout=STOP_SECONDS)
    assert process.returncode == 1
    assert output == f"Port {port} is taken by another program. Choose another, for example: make demo PORT=8001\n"


IN_A_TERMINAL = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"


def test_make_ends_with_success_after_ctrl_c() -> None:
    # Where make takes for granted that everything is installed: that is the environment of these tests.
    make = ["make", "demo", f"VENV={sys.prefix}", "-o", f"{sys.prefix}/.installed", "PORT=0", "STEPS=1"]
    with start_demo(sys.executable, "-c", IN_A_TERMINAL, *make) as process:
        demo = Demo(process)
        assert process.stdin
        process.stdin.write("\x03")
        process.stdin.flush()
        assert demo.rest_of_output().split() == ["^C", "Stopped."]
    assert process.returncode == 0


@pytest.fixture
def page() -> Iterator[Page]:
    with tempfile.TemporaryDirectory() as profile, sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            profile, executable_path=program("chromium"), args=CHROMIUM_OPTIONS
        )
        yield context.new_page()
        context.close()


@needs("chromium")
def test_the_page_submits_a_job_and_shows_it_until_completed(demo: Demo, page: Page) -> None:
    page.goto(demo.url)
    page.get_by_label("Steps").fill("3")
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_role("status")).to_have_text("completed")
    expect(page.get_by_role("progressbar")).to_have_attribute("value", "1")
    expect(page.get_by_text("stream ended")).to_be_visible()
    expect(page.get_by_role("button", name="Cancel")).to_be_disabled()


@needs("chromium")
def test_the_page_cancels_a_job(demo: Demo, page: Page) -> None:
    page.goto(demo.url)
    page.get_by_label("Steps").fill("3600")
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_role("status")).to_have_text("running")
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("status")).to_have_text("deleted")
    # The demo's own job is the only one that is left.
    assert [job["status"] for job in httpx.get(f"{demo.url}/api/v1/jobs").json()] == ["completed"]


@needs("chromium")
def test_the_page_finds_its_job_again_after_a_reload_and_when_the_service_has_lost_it(demo: Demo, page: Page) -> None:
    job_id = httpx.post(f"{demo.url}/api/v1/slow-compute", json={"steps": 3600}).json()["job_id"]
    page.goto(f"{demo.url}/#{job_id}")
    expect(page.get_by_text("live", exact=True)).to_be_visible()
    expect(page.get_by_role("status")).to_have_text("running")
    page.reload()
    expect(page.get_by_role("status")).to_have_text("running")

    lost = "01JQRS7XK5N8Z3VQ2M4T6W8Y0A"
    page.goto(f"{demo.url}/#{lost}")
    page.reload()
    expect(page.get_by_role("status")).to_have_text("unknown to the service")


@needs("chromium")
def test_the_page_says_what_is_wrong_with_a_submission(demo: Demo, page: Page) -> None:
    page.goto(demo.url)
    demo.process.kill()
    demo.process.wait()
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_role("alert")).to_contain_text("Not submitted")


def read_records(text: str) -> list[dict[str, Any]]:
    """The records in the `data:` lines of a stream, or of what the demo printed."""
    return [json.loads(line) for line in re.findall(r"^\s*data: (.*)$", text, flags=re.MULTILINE)]


@needs("chromium")
def test_the_page_opens_a_stream_again_that_a_proxy_has_closed_for_good(demo: Demo, page: Page) -> None:
    asked: list[str] = []

    def answer(route: Route) -> None:
        asked.append(route.request.url.partition("?")[2])
        if len(asked) == 2:  # the browser has come back by itself, and the proxy has found nobody
            route.fulfill(status=502)
        elif len(asked) == 1:  # a stream that breaks off after an event
            route.fulfill(body='id: 2\ndata: {"status": "running"}\nretry: 1\n\n', content_type="text/event-stream")
        else:
            route.continue_()

    page.route("**/*$stream*", answer)
    page.goto(demo.url)
    page.get_by_label("Steps").fill("1")
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_role("status")).to_have_text("completed", timeout=20_000)
    assert asked[2] == "lastEventId=2"
