"""How each kind of block is executed. A kind that is not here makes its test fail."""

import importlib
import inspect
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, chdir, contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path

import httpx

from tests.docs.browser import TRIES, Browser
from tests.docs.databases import Database
from tests.docs.expected import check_json, check_text, pattern_of
from tests.docs.pages import ROOT, Block
from tests.docs.proxies import run_apache, run_nginx
from tests.service import Service, run_command

PRINTED_ADDRESS = "localhost:8000"
MAX_SECONDS = 60  # which a few seconds' work takes on a very busy machine
# The test client of the older releases of Starlette, as in pyproject.toml: the pages show what the newer ones print.
_WARNINGS = "ignore:The anyio.abc.BlockingPortal alias:DeprecationWarning"
_PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


class Scene:
    """Where the blocks of one section run: the files of their page, the service they talk to, the shell's variables."""

    def __init__(
        self,
        folder: Path,
        scratch: Path,
        services: Callable[[str], Service],
        browser: Browser,
        database: Database | None = None,
    ) -> None:
        self.folder = folder
        self.browser = browser
        self.database = database
        self.output: str | None = None
        self._scratch = scratch
        self._services = services

    def service_of(self, block: Block) -> Service:
        assert block.service is not None, f"{block}: no service is set"
        return self._services(block.service)

    def text_of(self, block: Block) -> str:
        """The block, with the address where its service really is: it runs if the block needs it, or its file."""
        text = block.text if self.database is None else self.database.show(block.text)
        if block.service is None or not any(name in block.text for name in (PRINTED_ADDRESS, "sqlite3 jobs.db")):
            return text
        return text.replace(PRINTED_ADDRESS, f"127.0.0.1:{self.service_of(block).port}")

    def submit(self, block: Block) -> str:
        """Post the job that the block's note asks for, and return its id."""
        path, _, body = block.notes["job"].partition(" ")
        response = httpx.post(f"{self.service_of(block).url}{path}", json=json.loads(body))
        job_id: str = response.json()["job_id"]
        return job_id

    @contextmanager
    def empty_folder(self) -> Iterator[Path]:
        self._scratch.mkdir()
        yield self._scratch
        shutil.rmtree(self._scratch)


def execute(block: Block, following: Block | None, scene: Scene) -> None:
    """Run the block, or compare it with what the block before it has printed."""
    for kind, executor in _EXECUTORS.items():
        if kind in block.notes or kind == block.language:
            scene.output = executor(block, following, scene)
            return
    raise AssertionError(f"{block}: there is no executor for this kind of block")


# --- Python ------------------------------------------------------------------------------------------------------


def _check_file(block: Block, _following: Block | None, scene: Scene) -> None:
    """A file of the page, run by the blocks that serve or import it."""
    assert (scene.folder / block.notes["file"]).read_text() == block.text


def _run_python(block: Block, following: Block | None, scene: Scene) -> str:
    return _try(lambda: _run_once(block, scene), following)


def _try(run: Callable[[], str], following: Block | None) -> str:
    """What is printed. Where a job is shown while it runs, it has ended by then on a machine that stood still.

    There it is run again.
    """
    output = run()
    for _ in range(1, TRIES):
        if following is None or "output" not in following.notes or _is_printed(following, output):
            break
        output = run()
    return output


def _is_printed(block: Block, output: str) -> bool:
    try:
        _compare(block, output)
    except (AssertionError, ValueError):  # it may be no JSON
        return False
    return True


def _run_once(block: Block, scene: Scene) -> str:
    output = StringIO()
    # In a thread of its own, since the browser's event loop runs in this one.
    with chdir(scene.folder), redirect_stdout(output), ThreadPoolExecutor() as pool:
        pool.submit(_execute, block, scene.text_of(block)).result(MAX_SECONDS)
    return output.getvalue()


def _execute(block: Block, text: str) -> None:
    names: dict[str, object] = {"__name__": "__main__"}
    exec(compile(text, str(block), "exec"), names)
    if "test" in block.notes:
        tests = [value for name, value in names.items() if name.startswith("test_") and callable(value)]
        assert tests, f"{block}: there is no test in it"
        for test in tests:
            test()


def _run_test(block: Block, following: Block | None, scene: Scene) -> None:
    """A test module; its imports find the files of the page."""
    known = set(sys.modules)
    sys.path.insert(0, str(scene.folder))
    try:
        _run_python(block, following, scene)
    finally:
        sys.path.remove(str(scene.folder))
        for name in set(sys.modules) - known:
            if (scene.folder / f"{name}.py").exists():
                del sys.modules[name]


# --- the shell ---------------------------------------------------------------------------------------------------


def _run_bash(block: Block, following: Block | None, scene: Scene) -> str:
    """Run it in bash, as if the blocks of a section were typed one after the other."""
    return _try(lambda: _type(block, scene), following)


def _type(block: Block, scene: Scene) -> str:
    variables = scene.folder / "variables.sh"
    names = re.findall(r"^([A-Z_]+)=", block.text, flags=re.MULTILINE)
    script = f"{scene.text_of(block)}\n" + "".join(f"declare -p {name} >> {variables}\n" for name in names)
    programs = "" if scene.database is None else f"PATH={scene.database.programs}:$PATH\n"
    output = _bash(f"touch {variables}; . {variables}\n{programs}{script}", scene.folder)
    return output if scene.database is None else scene.database.hide(output)


def _bash(script: str, folder: Path) -> str:
    command = ["bash", "-euo", "pipefail", "-c", script]
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"PATH": _PATH, "PYTHONWARNINGS": _WARNINGS},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=MAX_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def _serve(block: Block, _following: Block | None, scene: Scene) -> None:
    """A command that serves until Ctrl-C: it answers, and ends."""
    # What fastapi, gunicorn and uvicorn take for --port 0.
    gunicorn = "--bind 127.0.0.1:0"  # with PORT alone it would listen on every address
    environment = {"PATH": _PATH, "PORT": "0", "UVICORN_PORT": "0", "GUNICORN_CMD_ARGS": gunicorn}
    if scene.database is not None:
        environment["SERVICEKIT_JOBS_URL"] = scene.database.url
    command = shlex.split(block.text)
    command[0] = shutil.which(command[0], path=_PATH) or command[0]
    with run_command(command, cwd=scene.folder, environment=environment) as server:
        if block.text.startswith("servicekit worker"):
            server.wait_log(r"Running the jobs of \S+, which are kept in \S+ Ctrl-C stops it")
            _press_ctrl_c(server)
            assert server.log.endswith("Stopping.\n")
            return
        server.port = int(server.wait_log(r"(?:running on|Listening at:) http://127\.0\.0\.1:(\d+)\D")[1])
        processes = re.search(r"--workers (\d+)", block.text)
        server.wait_log(rf"(?s)(startup complete.*){{{processes[1] if processes else 1}}}")
        server.wait_port()
        assert httpx.get(f"{server.url}/docs").status_code == 200
        _press_ctrl_c(server)
        assert "shutdown complete" in server.log


def _press_ctrl_c(server: Service) -> None:
    """A terminal sends it to all processes of a command."""
    os.killpg(server.process.pid, signal.SIGINT)
    assert server.wait() in (0, -signal.SIGINT)


def _run_make(block: Block, _following: Block | None, _scene: Scene) -> None:
    """`make test` runs this very test, and `make demo` has tests of its own: here make says what it would do."""
    for line in block.text.splitlines():
        assert _bash(line.replace("make", "make --dry-run", 1), ROOT), line


def _run_pip(block: Block, _following: Block | None, scene: Scene) -> None:
    """pip builds the package and says what it would install; without dependencies, it does not look at extras."""
    real = block.text.replace("/path/to/servicekit", str(ROOT))
    dry = real.replace("pip install", f"{sys.executable} -m pip install --dry-run --no-deps")
    assert "Would install servicekit-" in _bash(dry, scene.folder)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(re.findall(r"\[(\w+)\]", block.text)) <= set(extras)


def _run_shell(block: Block, following: Block | None, scene: Scene) -> str | None:
    program = block.text.split()[0]
    special = {"make": _run_make, "pip": _run_pip}.get(program)
    return special(block, following, scene) if special else _run_bash(block, following, scene)


# --- browsers and proxies ----------------------------------------------------------------------------------------


def _run_script(block: Block, following: Block | None, scene: Scene) -> None:
    assert following is not None, f"{block}: nothing says what the script prints"
    scene.browser.check_script(block.text, scene.service_of(block).url, following.text)


def _show_page(block: Block, _following: Block | None, scene: Scene) -> None:
    if "job" in block.notes:
        scene.submit(block)
    scene.browser.check_page(block.text, scene.service_of(block).url, block.notes["shows"])


def _show_component(block: Block, _following: Block | None, scene: Scene) -> None:
    with scene.empty_folder() as folder:
        url, job_id = scene.service_of(block).url, scene.submit(block)
        scene.browser.check_component(block.text, block.language, url, job_id, block.notes["shows"], folder)


def _proxy(run: Callable[[str, Path], AbstractContextManager[str]]) -> Callable[[Block, Block | None, Scene], None]:
    def check(block: Block, _following: Block | None, scene: Scene) -> None:
        """Events pass one by one: the first is there while the job still runs."""
        service = scene.service_of(block)
        text = block.text.replace("127.0.0.1:8000", f"127.0.0.1:{service.port}")
        with scene.empty_folder() as folder, run(text, folder) as proxy_url:
            job_path = f"/api/v1/jobs/{scene.submit(block)}"
            with httpx.stream("GET", f"{proxy_url}{job_path}/$stream", timeout=MAX_SECONDS) as response:
                lines = (line for line in response.iter_lines() if line.startswith("data: "))
                assert json.loads(next(lines).removeprefix("data: "))["finished_at"] is None
                # The job would go on for a minute.
                assert httpx.post(f"{service.url}{job_path}/$cancel").json()["status"] == "canceled"
                assert json.loads([*lines][-1].removeprefix("data: "))["status"] == "canceled"

    return check


# --- what is compared --------------------------------------------------------------------------------------------


def _compare_output(block: Block, _following: Block | None, scene: Scene) -> None:
    if scene.output is not None:  # else it was compared by the block before: a console has no end
        _compare(block, scene.output)


def _compare(block: Block, output: str) -> None:
    (check_json if block.language == "json" else check_text)(block.text, output)


def _compare_log(block: Block, _following: Block | None, scene: Scene) -> None:
    scene.service_of(block).wait_log(pattern_of(block.text), timeout=MAX_SECONDS)


def _compare_drawing(block: Block, _following: Block | None, _scene: Scene) -> None:
    module = importlib.import_module(block.notes["drawing"])
    documentation = inspect.cleandoc(module.__doc__ or "")
    assert block.text.rstrip() in documentation, f"{block}: {module.__name__} draws it otherwise"


def _compare_rooms(block: Block, _following: Block | None, _scene: Scene) -> None:
    package = ROOT / "src" / "servicekit"
    rooms = {path.name for path in package.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert set(re.findall(r"^  ([\w.]+)", block.text, flags=re.MULTILINE)) == rooms - {"__init__.py"}


_EXECUTORS: dict[str, Callable[[Block, Block | None, Scene], str | None]] = {
    "file": _check_file,
    "test": _run_test,
    "runs until Ctrl-C": _serve,
    "output": _compare_output,
    "log": _compare_log,
    "drawing": _compare_drawing,
    "rooms": _compare_rooms,
    "python": _run_python,
    "bash": _run_shell,
    "javascript": _run_script,
    "html": _show_page,
    "jsx": _show_component,
    "vue": _show_component,
    "nginx": _proxy(run_nginx),
    "apache": _proxy(run_apache),
}
