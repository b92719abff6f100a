"""Every code block of README and docs/ does what its page says."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import zip_longest
from pathlib import Path

import pytest

from tests.docs.browser import Browser
from tests.docs.executors import Scene, execute
from tests.docs.pages import PAGES, ROOT, Block, Section, read_sections
from tests.needs import FRONTEND, needs
from tests.service import Service, run_service

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
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """A folder for each page, with the files that the page tells its readers to save."""
    folders: dict[Path, Path] = {}

    def make(page: Path) -> Path:
        if page not in folders:
            folders[page] = tmp_path_factory.mktemp(page.stem)
            for block in (block for section in SECTIONS[page] for block in section.blocks):
                if "file" in block.notes:
                    (folders[page] / block.notes["file"]).write_text(block.text)
        return folders[page]

    return make


@pytest.fixture(scope="module")
def services() -> Iterator[Callable[[Path], Service]]:
    """The services of the pages, each started when it is first needed."""
    running: dict[Path, Service] = {}
    with ExitStack() as stack:

        def serve(file: Path) -> Service:
            if file not in running:
                running[file] = stack.enter_context(run_service(file, environment=_jobs_beside(file)))
            return running[file]

        yield serve


def _jobs_beside(file: Path) -> dict[str, str]:
    """Where the service keeps its jobs: in its folder, as if it had been started there. No two share a file."""
    database = "jobs.db" if file.stem == "service" else f"{file.stem}.db"
    return {"SERVICEKIT_JOBS_URL": f"sqlite:///{file.with_name(database)}"}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with ExitStack() as started:
        yield Browser(started)


def _parameter(section: Section) -> object:
    names = dict.fromkeys(name for block in section.blocks for name in _NEEDS.get(block.language, []))
    if any(re.search(r"^sqlite3 ", block.text, re.MULTILINE) for block in section.blocks if block.language == "bash"):
        names["sqlite3"] = None
    return pytest.param(section, id=str(section), marks=needs(*names))


@pytest.mark.parametrize("section", [_parameter(section) for page in PAGES for section in SECTIONS[page]])
def test_the_blocks_do_what_the_page_says(
    section: Section,
    folder_of: Callable[[Path], Path],
    services: Callable[[Path], Service],
    browser: Browser,
    tmp_path: Path,
) -> None:
    folder = folder_of(section.page)
    (folder / "variables.sh").unlink(missing_ok=True)
    scene = Scene(folder, tmp_path / "scratch", lambda name: services(folder / name), browser)
    for block, following in zip_longest(section.blocks, section.blocks[1:]):
        execute(block, following, scene)


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
