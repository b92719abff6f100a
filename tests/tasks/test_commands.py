"""Commands: a program runs in a process of the job, and what it writes comes back byte for byte."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic import BaseModel, SecretStr

from servicekit import ConfigurationError, Resources, Retry
from servicekit.api import ServiceBuilder, ServiceInfo
from servicekit.artifacts import Artifacts
from servicekit.tasks import Tasks, definitions
from servicekit.tasks.programs import Masking

TO_THE_END = {"Prefer": "wait=60"}
TASKS = "/api/v1/tasks"

PYTHON = [sys.executable, "-c"]
ECHO = "import sys, json; json.dump(sys.argv[1:], sys.stdout)"


class Login(BaseModel):
    user: str
    password: SecretStr


def serve(tasks: Tasks, url: str = "memory://") -> TestClient:
    """A client of a service with these tasks, which keeps artifacts beside their file."""
    builder = ServiceBuilder(info=ServiceInfo(display_name="Any")).with_jobs(url=url)
    return TestClient(builder.with_tasks(tasks).with_artifacts(Artifacts(tasks.path.parent / "artifacts")).build())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("commands")


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[TestClient]:
    tasks = Tasks(folder / "tasks.db")
    tasks.add_command("echo", [*PYTHON, ECHO, "{text}", "{files...}"])
    tasks.add_command(
        "exit", [*PYTHON, "import sys; print('out'); sys.exit(int(sys.argv[1]))", "{code}"], ok_codes=(0, 3)
    )
    tasks.add_command("complain", [*PYTHON, "import sys; print('warm'); sys.exit('it is too cold')"])
    tasks.add_command("missing", ["/nowhere/a-program", "{text}"])
    tasks.add_command("elsewhere", ["true"], cwd="/nowhere")
    tasks.add_command("script", [*PYTHON, "{text}"])
    tasks.add_command("login", [*PYTHON, SHOW, "{user}"], parameters=Login, env={"PASSWORD": "{password}"})
    with serve(tasks) as client:
        yield client


SHOW = """
import os, sys
password = os.environ["PASSWORD"]
print(sys.argv[1], password)
sys.stdout.write("in two " + password[:3])
sys.stdout.flush()
sys.stdout.write(password[3:] + " pieces")
sys.stderr.write("wrong password: " + password)
sys.exit(1)
"""


class Run:
    """One run of a command, by what is told of it over HTTP."""

    def __init__(self, record: dict[str, Any], artifact: Any, log: list[str], client: TestClient) -> None:
        self.record = record
        self.artifact = artifact
        self.log = log
        self._client = client

    def download(self, stream: str) -> Any:
        return self._client.get(f"/api/v1/artifacts/{self.artifact[f'{stream}_artifact_id']}/$download")


def execute(client: TestClient, name: str, /, **parameters: object) -> Run:
    answer = client.post(f"{TASKS}/{name}/$execute", json={"parameters": parameters}, headers=TO_THE_END)
    assert answer.status_code == 200, answer.text
    return look(client, answer.json()["job_id"])


def look(client: TestClient, job_id: str) -> Run:
    record = (client.get(f"/api/v1/jobs/{job_id}?wait=60")).json()
    lines = (client.get(f"/api/v1/jobs/{job_id}/$logs")).json()["lines"]
    artifact = None
    if record["artifact_id"] is not None:
        artifact = (client.get(f"/api/v1/artifacts/{record['artifact_id']}")).json()["data"]
    return Run(record, artifact, [line["text"] for line in lines], client)


def submit(client: TestClient, name: str, /, **parameters: object) -> str:
    answer = client.post(f"{TASKS}/{name}/$execute", json={"parameters": parameters})
    assert answer.status_code == 202, answer.text
    job_id: str = answer.json()["job_id"]
    return job_id


def test_arguments_arrive_as_they_were_sent(client: TestClient) -> None:
    odd = "two words; 'it' \"is\" $HOME `id` {files} \\ *\n\tä"
    run = execute(client, "echo", text=odd, files=["a b", "c"])
    assert run.record["status"] == "completed"
    assert json.loads(run.artifact["stdout"]) == [odd, "a b", "c"]
    assert run.artifact["task"]["parameters"] == {"text": odd, "files": ["a b", "c"]}
    assert (run.artifact["exit_code"], run.artifact["stderr"]) == (0, "")
    assert run.artifact["duration"] >= 0
    assert run.record["tags"] == ["task:echo"]


@pytest.mark.parametrize("text", ["-rf", "a\0b"])
def test_what_could_be_an_option_or_no_argument_is_refused(client: TestClient, text: str) -> None:
    answer = client.post(f"{TASKS}/echo/$execute", json={"parameters": {"text": text, "files": []}})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["parameters", "text"]


@pytest.mark.parametrize(("code", "status"), [("0", "completed"), ("3", "completed"), ("2", "failed")])
def test_an_exit_code_that_is_not_ok_is_a_failure_with_its_output(client: TestClient, code: str, status: str) -> None:
    run = execute(client, "exit", code=code)
    assert run.record["status"] == status
    assert (run.artifact["exit_code"], run.artifact["stdout"]) == (int(code), "out\n")
    if status == "completed":
        result = (client.get(f"/api/v1/jobs/{run.record['id']}/$result")).json()
        assert result == {"exit_code": int(code), "output": "out\n", "artifact_id": run.record["artifact_id"]}
    else:
        assert run.record["error"].endswith("exited with code 2")


def test_the_error_has_the_last_line_of_what_the_program_complains(client: TestClient) -> None:
    run = execute(client, "complain")
    assert run.record["error"].startswith("CommandFailed: python")
    assert run.record["error"].endswith(": exited with code 1: it is too cold")
    assert run.artifact["stderr"] == "it is too cold\n"
    assert sorted(run.log) == ["it is too cold", "warm"]


def test_a_missing_program_or_folder_is_a_failure_that_names_it(client: TestClient) -> None:
    run = execute(client, "missing", text="x")
    assert run.record["error"] == "CommandFailed: a-program: there is no such program"
    run = execute(client, "elsewhere")
    assert "No such file or directory: /nowhere" in run.record["error"]


def test_megabytes_that_are_no_text_come_back_byte_for_byte(client: TestClient) -> None:
    script = "import sys; sys.stdout.buffer.write(bytes(range(256)) * 40_000); sys.stderr.buffer.write(b'\\xff\\n')"
    run = execute(client, "script", text=script)
    assert run.record["status"] == "completed", run.record["error"]
    out = run.download("stdout")
    assert out.content == bytes(range(256)) * 40_000
    assert out.headers["Content-Type"] == "application/octet-stream"
    assert (run.download("stderr")).content == b"\xff\n"
    assert "\ufffd" in run.log[-1] or any("\ufffd" in line for line in run.log)


def test_a_large_text_is_an_artifact_of_its_own_below_the_first(client: TestClient) -> None:
    run = execute(client, "script", text="print('ä' * 100_000)")
    out = run.download("stdout")
    assert out.text == "ä" * 100_000 + "\n"
    assert out.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert len(max(run.log, key=len)) < 3_000
    below = (client.get(f"/api/v1/artifacts?parent={run.record['artifact_id']}")).json()
    assert [(each["kind"], each["name"], each["job_id"]) for each in below] == [
        ("task_output", "stdout.txt", run.record["id"])
    ]
    assert run.artifact["stdout"].endswith("ä\n")
    assert run.artifact["stderr_artifact_id"] is None


def test_a_program_reports_progress_and_has_no_input(client: TestClient) -> None:
    script = "import sys; print('::progress 3/4 nearly', flush=True); print(repr(sys.stdin.read()))"
    run = execute(client, "script", text=script)
    assert run.record["progress"] | {"done": 3, "total": 4, "message": "nearly"} == run.record["progress"]
    assert run.log == ["''"]
    assert run.artifact["stdout"] == "::progress 3/4 nearly\n''\n"


def test_a_secret_is_masked_wherever_the_program_writes_it(client: TestClient, folder: Path) -> None:
    run = execute(client, "login", user="ada", password="open-sesame")
    everything = json.dumps([run.record, run.artifact, run.log])
    assert "sesame" not in everything
    assert run.artifact["stdout"] == "ada **********\nin two ********** pieces"
    assert run.record["error"].endswith("wrong password: **********")
    assert run.artifact["task"]["parameters"] == {"user": "ada", "password": "**********"}
    assert all(b"sesame" not in file.read_bytes() for file in folder.rglob("*") if file.is_file())


def test_a_secret_is_masked_however_a_stream_is_cut() -> None:
    text = b"aaab abab aab secret secretsecret secre"
    for size in range(1, len(text) + 1):
        masking = Masking(["secret", "aab"])
        pieces = [masking.pass_on(text[at : at + size]) for at in range(0, len(text), size)]
        whole = b"".join([*pieces, masking.pass_on(b"")])
        stars = b"*" * 10
        assert whole == b"a" + stars + b" abab " + stars + b" " + stars + b" " + stars + stars + b" secre"


STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
)
POLITE = """
import signal, sys, time
def stop(*_):
    print("bye", flush=True)
    sys.exit(7)
signal.signal(signal.SIGTERM, stop)
print("ready", flush=True)
time.sleep(600)
"""


def wait_for_line(client: TestClient, job_id: str, text: str) -> None:
    """Until the log has the line. A test's own time limit ends it if there is none."""
    while True:
        lines = (client.get(f"/api/v1/jobs/{job_id}/$logs")).json()["lines"]
        if any(line["text"] == text for line in lines):
            return
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("script", "begun", "written"), [(POLITE, "ready", "ready\nbye\n"), (STUBBORN, "deaf", "deaf\n")]
)
def test_what_a_canceled_program_has_written_is_kept(
    tasks: Tasks, script: str, begun: str, written: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Half a second for the program, and the rest for its artifact, however busy the machine is.
    monkeypatch.setattr(definitions, "_SHARE_OF_GRACE", 0.01)
    tasks.add_command("script", [*PYTHON, "{text}"], kill_grace=50)
    with serve(tasks) as client:
        job_id = submit(client, "script", text=script)
        wait_for_line(client, job_id, begun)
        client.post(f"/api/v1/jobs/{job_id}/$cancel")
        run = look(client, job_id)
    assert run.record["status"] == "canceled"
    assert run.artifact["stdout"] in (written, f"{begun}\n")  # half a second can be too short for its last word
    assert run.artifact["exit_code"] in (7, -9)


def test_a_time_limit_leaves_the_output(tasks: Tasks) -> None:
    limits = (2, 8, 30)  # seconds; on a busy machine, a program begins late
    for seconds in limits:
        tasks.add_command(f"within_{seconds}", ["sleep", "{seconds}"], run_timeout=seconds)
    with serve(tasks) as client:
        runs = (look(client, submit(client, f"within_{seconds}", seconds="600")) for seconds in limits)
        run = next(run for run in runs if run.artifact is not None)
    assert run.record["status"] == "failed"
    assert "run_timeout" in run.record["error"]
    assert run.artifact["exit_code"] == -15


def test_a_program_that_ends_well_although_it_was_asked_to_stop_has_completed(tasks: Tasks) -> None:
    tasks.add_command("script", [*PYTHON, "{text}"], kill_grace=50)
    with serve(tasks) as client:
        job_id = submit(client, "script", text=POLITE.replace("exit(7)", "exit(0)"))
        wait_for_line(client, job_id, "ready")
        client.post(f"/api/v1/jobs/{job_id}/$cancel")
        run = look(client, job_id)
    assert run.record["status"] == "completed"


def test_what_a_program_leaves_behind_does_not_hold_its_job(client: TestClient) -> None:
    script = "import subprocess, sys; subprocess.Popen(['sleep', '600'], start_new_session=True); print('gone')"
    run = execute(client, "script", text=script)
    assert (run.record["status"], run.artifact["stdout"]) == ("completed", "gone\n")


def test_a_failed_attempt_is_followed_by_another_with_an_artifact_of_its_own(tasks: Tasks, tmp_path: Path) -> None:
    script = (
        f"import pathlib, sys; path = pathlib.Path({str(tmp_path / 'there')!r}); was_there = path.exists(); "
        "path.touch(); print(was_there); sys.exit(not was_there)"
    )
    tasks.add_command("script", [*PYTHON, "{text}"], retry=Retry(attempts=2, delay=0))
    with serve(tasks) as client:
        run = execute(client, "script", text=script)
        saved = (client.get(f"/api/v1/artifacts?job={run.record['id']}")).json()
    assert (run.record["status"], run.artifact["stdout"]) == ("completed", "True\n")
    assert [each["attempt"] for each in saved] == [2, 1]


def test_a_command_is_kept_in_a_file_so_that_any_process_can_run_it(tmp_path: Path) -> None:
    tasks = Tasks(tmp_path / "tasks.db")
    tasks.add_command("login", [*PYTHON, SHOW, "{user}"], parameters=Login, env={"PASSWORD": "{password}"})
    parameters, key = {"user": "ada", "password": "open-sesame"}, {"Idempotency-Key": "once"}
    with serve(tasks, f"sqlite:///{tmp_path / 'jobs.db'}") as client:
        path = f"{TASKS}/login/$execute"
        answers = [client.post(path, json={"parameters": parameters}, headers=key) for _ in range(2)]
        (job_id,) = {answer.json()["job_id"] for answer in answers}
        run = look(client, job_id)
        again = client.post(f"/api/v1/jobs/{job_id}/$retry").json()["job_id"]
        repeated = look(client, again)
        other = client.post(path, json={"parameters": {**parameters, "user": "eve"}}, headers=key)
    assert run.record["restart_problem"] is None
    assert run.artifact["stdout"] == repeated.artifact["stdout"]
    assert repeated.record["artifact_id"] not in (None, run.record["artifact_id"])
    assert other.status_code == 409
    assert "sesame" not in json.dumps([run.record, run.artifact, run.log, other.json()])


# --- Commands of clients


@pytest.fixture(scope="module")
def free_client(folder: Path) -> Iterator[TestClient]:
    with serve(Tasks(folder / "free.db", allow_client_commands=True)) as client:
        yield client


def test_a_command_of_a_client_is_split_into_arguments_and_run_by_no_shell(
    free_client: TestClient,
) -> None:
    made = free_client.post(
        TASKS,
        json={
            "name": "say",
            "task_type": "shell",
            "command": "printf '%s|' \"two words\" $HOME ; {who} '{other}' {more...}",
            "parameters": {"who": "nobody", "more": ["a", "b"]},
        },
    )
    assert made.status_code == 201, made.text
    run = execute(free_client, "say", who="you; reboot")
    assert run.artifact["stdout"] == "two words|$HOME|;|you; reboot|{other}|a|b|"
    answer = free_client.post(f"{TASKS}/say/$execute", json={"parameters": {"who": 1}})
    assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["parameters", "who"])


@pytest.mark.parametrize(
    ("command", "parameters"),
    [
        ("echo 'open", {}),
        ("   ", {}),
        ("{program}", {"program": "sh"}),
        ("echo", {"unused": 1}),
        ("a\0b", {}),
        ("echo {class}", {"class": ""}),
        ("echo {__class__}", {"__class__": ""}),
        ("echo {__pydantic_config__}", {"__pydantic_config__": ""}),
    ],
)
def test_what_is_no_command_is_refused_when_it_is_made(
    free_client: TestClient, command: str, parameters: dict[str, object]
) -> None:
    answer = free_client.post(TASKS, json={"task_type": "shell", "command": command, "parameters": parameters})
    assert answer.status_code == 422, answer.text


def test_the_process_of_a_command_imports_nothing_of_a_web_service() -> None:
    script = (
        "import sys, servicekit.tasks.commands, servicekit.artifacts; print({'fastapi', 'starlette'} & {*sys.modules})"
    )
    assert subprocess.run([*PYTHON, script], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_the_programs_of_these_tests_are_there() -> None:
    assert shutil.which("printf")
    assert shutil.which("sleep")


def test_a_command_has_the_description_of_its_parameters_and_not_that_of_their_base() -> None:
    class Described(BaseModel):
        """Greet somebody.

        In more words.
        """

    tasks = Tasks()
    tasks.add_command("greet", ["echo"], parameters=Described)
    tasks.add_command("login", ["echo", "{user}"], parameters=Login, env={"PASSWORD": "{password}"})
    assert [task.description for task in tasks.by_name.values()] == ["Greet somebody.", ""]


def test_a_command_can_run_on_a_cluster(folder: Path) -> None:
    tasks = Tasks(folder / "cluster.db")
    tasks.add_command("far", ["true"], runner="ray", resources={"gpus": 1})
    assert tasks.by_name["far"].options.resources == Resources(gpus=1)
    for options in ({"resources": {"gpus": 1}}, {"runner": "thread"}):
        with pytest.raises(ConfigurationError):
            tasks.add_command("near", ["true"], **options)
