"""HTML, JavaScript, React and Vue of the pages, in a real browser."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from playwright.sync_api import Browser as Chromium
from playwright.sync_api import Page, Route, expect, sync_playwright

from tests.chromium import CHROMIUM_OPTIONS
from tests.docs.expected import has_text
from tests.needs import program

FRONTEND = Path(__file__).parents[1] / "frontend"
PATIENCE_SECONDS = 60
TRIES = 3

_REACT = """\
import { createRoot } from "react-dom/client";
import Component from "./Component.jsx";

const jobId = new URLSearchParams(location.search).get("job");
createRoot(document.getElementById("root")).render(<Component jobId={jobId} />);
"""
_VUE = """\
import { createApp } from "vue";
import Component from "./Component.vue";

createApp(Component, { jobId: new URLSearchParams(location.search).get("job") }).mount("#root");
"""
_MAINS = {"jsx": _REACT, "vue": _VUE}
_PLUGINS = {"jsx": "@vitejs/plugin-react", "vue": "@vitejs/plugin-vue"}


class Browser:
    """One browser for all blocks, started when it is first needed."""

    def __init__(self, started: ExitStack) -> None:
        self._started = started
        self._chromium: Chromium | None = None

    def check_page(self, html: str, service_url: str, shows: str) -> None:
        """Open the page as if the service had it, press its first button if it has one, and wait for the text."""
        with self._open_page(service_url, {"": html}) as page:
            for button in page.get_by_role("button").all()[:1]:
                button.click()
            _expect_text(page, shows)

    def check_script(self, script: str, service_url: str, printed: str) -> None:
        """Run the script in a page of the service, and wait until the console has what is printed.

        Where a job is shown while it runs, it has ended by then on a machine that stood still: there the script is run
        again.
        """
        consoles: list[str] = []
        while not (consoles and has_text(printed, consoles[-1])):
            assert len(consoles) < TRIES, f"The console has only: {consoles}"
            consoles.append(self._run_script(script, service_url, printed))

    def _run_script(self, script: str, service_url: str, printed: str) -> str:
        """What is in the console when that has the last line that is printed."""
        with self._open_page(service_url, {"": "<!doctype html><title>A page</title>"}) as page:
            console: list[str] = []
            page.on("console", lambda message: console.append(message.text))
            page.add_script_tag(content=script, type="module")
            deadline = time.monotonic() + PATIENCE_SECONDS
            while not (has_text(printed, "\n".join(console)) or console[-1:] == printed.splitlines()[-1:]):
                assert time.monotonic() < deadline, f"The console has only: {console}"
                page.wait_for_event("console", timeout=PATIENCE_SECONDS * 1_000)
            return "\n".join(console)

    def check_component(
        self, source: str, language: str, service_url: str, job_id: str, shows: str, folder: Path
    ) -> None:
        """Build the component as a front-end developer would, show it with the job, and wait for the text."""
        files = _build(source, language, folder)
        with self._open_page(service_url, files, query=f"?job={job_id}") as page:
            _expect_text(page, shows)

    @contextmanager
    def _open_page(self, service_url: str, files: dict[str, str], query: str = "") -> Iterator[Page]:
        """A page that the service seems to serve. An uncaught error in it fails the test."""

        def serve(route: Route) -> None:
            name = route.request.url.removeprefix(f"{service_url}/page/").partition("?")[0]
            route.fulfill(body=files[name], content_type="text/javascript" if name.endswith(".js") else "text/html")

        errors: list[str] = []
        with self._start().new_page() as page:
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.route(f"{service_url}/page/**", serve)
            page.goto(f"{service_url}/page/{query}")
            yield page
        assert errors == []

    def _start(self) -> Chromium:
        if self._chromium is None:
            playwright = self._started.enter_context(sync_playwright())
            chromium = playwright.chromium.launch(executable_path=program("chromium"), args=CHROMIUM_OPTIONS)
            self._chromium = self._started.enter_context(chromium)
        return self._chromium


def _expect_text(page: Page, text: str) -> None:
    expect(page.locator("body")).to_contain_text(text, timeout=PATIENCE_SECONDS * 1_000)


def _build(source: str, language: str, folder: Path) -> dict[str, str]:
    (folder / "node_modules").symlink_to(FRONTEND / "node_modules")
    (folder / f"Component.{language}").write_text(source)
    (folder / f"main.{language.replace('vue', 'js')}").write_text(_MAINS[language])
    (folder / "index.html").write_text(
        f'<div id="root"></div><script type="module" src="main.{language.replace("vue", "js")}"></script>'
    )
    (folder / "vite.config.mjs").write_text(
        f'import plugin from "{_PLUGINS[language]}";\nexport default {{ plugins: [plugin()], base: "./" }};\n'
    )
    vite = [program("node"), "node_modules/vite/bin/vite.js", "build", "--logLevel", "warn"]
    subprocess.run(vite, cwd=folder, check=True, timeout=30)
    built = folder / "dist"
    files = {str(path.relative_to(built)): path.read_text() for path in built.rglob("*") if path.is_file()}
    return {"": files.pop("index.html"), **files}
