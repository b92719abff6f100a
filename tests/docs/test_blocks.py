"""Every code block of README and docs/ does what its page says: with jobs in a file, or with all jobs on a server."""

import os
import re
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache
from itertools import zip_longest
from pathlib import Path

import pytest

from tests.docs.browser import Browser
from tests.docs.databases import DatabaseServers
from tests.docs.executors import Scene, execute
from tests.docs.pages import PAGES, ROOT, Block, Section, read_sections
from tests.needs import FRONTEND, needs
from tests.service import STORE_VARIABLE, Service, run_service

SECTIONS = {page: read_sections(page) for page in PAGES}
_NEEDS = {
    "apache": ["apache"],
    "bash": ["curl", "jq"],
    "html": ["chromium"],
    "javascript": ["chromium"],
    "jsx": ["chromium", "node", FRONTEND],
    "nginx": ["nginx"],
    "vue": ["chromium", "node", FRONTEND],
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with ExitStack() as started:
        yield Browser(started)


def _parameter(section: Section) -> object:
    names = dict.fromkeys(name for block in section.blocks for name in _NEEDS.get(block.language, []))
    if section.postgres is not None:
        names["postgresql"] = None
    if any(re.search(r"^sqlite3 ", block.text, re.MULTILINE) for block in section.blocks if block.language == "bash"):
        names["sqlite3"] = None
    return pytest.param(section, id=str(section), marks=needs(*names))


@pytest.fixture(scope="module")
def database_servers() -> Iterator[DatabaseServers]:
    with ExitStack() as started:
        yield DatabaseServers(started)


@pytest.fixture
def _places(request: pytest.FixtureRequest, section: Section) -> None:
    """What says no other place has its jobs on the server, if that is where tests are to run."""
    if _is_on_server(section):
        monkeypatch = request.getfixturevalue("monkeypatch")
        monkeypatch.setenv("SERVICEKIT_JOBS_URL", request.getfixturevalue("postgres_url"))


def _is_on_server(section: Section) -> bool:
    """Not those that look into a file themselves."""
    is_of_file = any("sqlite3" in block.text for block in section.blocks)
    return os.environ.get(STORE_VARIABLE) == "postgresql" and section.postgres is None and not is_of_file


@pytest.mark.usefixtures("_places")
@pytest.mark.parametrize("section", [_parameter(section) for page in PAGES for section in SECTIONS[page]])
def test_the_blocks_do_what_the_page_says(
    section: Section, browser: Browser, database_servers: DatabaseServers, tmp_path: Path
) -> None:
    """Each section has files and services of its own, so it finds the same whichever others have run before it."""
    folder = _save_files(section.page, tmp_path / section.page.stem)
    with ExitStack() as started:
        server = None if section.postgres is None else database_servers.empty(section.postgres)

        @cache
        def serve(name: str) -> Service:
            environment = {"SERVICEKIT_JOBS_URL": server.url} if server else _jobs_beside(folder / name)
            # On the server, each service has a database of its own.
            chosen = None if _is_on_server(section) else environment
            return started.enter_context(run_service(folder / name, environment=chosen, cwd=folder))

        scene = Scene(folder, tmp_path / "scratch", serve, browser, server)
        for block, following in zip_longest(section.blocks, section.blocks[1:]):
            execute(block, following, scene)


def _save_files(page: Path, folder: Path) -> Path:
    """A folder with the files that the page tells its readers to save."""
    folder.mkdir()
    for block in (block for section in SECTIONS[page] for block in section.blocks):
        if "file" in block.notes:
            (folder / block.notes["file"]).write_text(block.text)
    return folder


def _jobs_beside(file: Path) -> dict[str, str]:
    """Where the service keeps its jobs: no two share a file."""
    database = "jobs.db" if file.stem == "service" else f"{file.stem}.db"
    return {"SERVICEKIT_JOBS_URL": f"sqlite:///{file.with_name(database)}"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_of_a_page_is_served_or_imported(page: Path) -> None:
    blocks = [block for section in SECTIONS[page] for block in section.blocks]
    used = {block.service for block in blocks}
    if any(block.text.startswith("pytest") for block in blocks):
        used |= {name for name in _files(blocks) if name.startswith(("test_", "conftest.", "pyproject."))}
    used |= {name for name in _files(blocks) if any(f"/{name}" in block.text for block in blocks)}
    imports = "".join(block.text for block in blocks if "test" in block.notes or block.notes.get("file") in used)
    for name in _files(blocks):
        assert name in used or f"from {name.removesuffix('.py')} import" in imports, name


def _files(blocks: list[Block]) -> list[str]:
    return [block.notes["file"] for block in blocks if "file" in block.notes]


def test_a_block_of_an_unknown_kind_is_an_error(tmp_path: Path, browser: Browser) -> None:
    for language in ("", "text", "json", "ruby"):
        block = Block(ROOT / "page.md", 1, language, "anything\n", {}, None)
        with pytest.raises(AssertionError, match="no executor"):
            execute(block, None, Scene(tmp_path, tmp_path / "scratch", _no_service, browser))


def _no_service(name: str) -> Service:
    raise AssertionError(name)
