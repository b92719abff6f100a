"""README and docs/ as the tests see them: pages of sections of code blocks.

What a test must know of a block and a reader need not stands in HTML comments before it:

    file: NAME        the file that the block is to be saved as
    serve: NAME       from here to the end of the page, blocks talk to the service in this file; each section has one
                      of its own
    output            what the block before it printed; `...` is anything, and ids and times may be other ones
    log               the same for the log of the service
    runs until Ctrl-C a command that does not end by itself
    test              a test module
    job: PATH JSON    post this to the service, and give the component or the proxy the job that it answers with;
                      before a page, only post it
    shows: TEXT       what the page or component shows in the end
    drawing: MODULE   a drawing that stands in the docstring of this module
    postgres: empty   from here to the end of the page, each section has a PostgreSQL server at `db.example` with a
                      database `jobs`, which services use; with `empty` there is no such database yet
    rooms             the list of the packages
    transitions       the table of all transitions
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NOTES = frozenset(
    [
        "drawing",
        "file",
        "job",
        "log",
        "output",
        "postgres",
        "rooms",
        "runs until Ctrl-C",
        "serve",
        "shows",
        "test",
        "transitions",
        "walk",
    ]
)

_NOTE = re.compile(r"<!-- (?P<name>[^:]+?)(?:: (?P<value>.*))? -->")
_HEADING = re.compile(r"(?P<level>#{1,6}) (?P<title>.+)")


@dataclass(frozen=True)
class Block:
    """One fenced block, with the notes that stand before it."""

    page: Path
    line: int
    language: str
    text: str
    notes: dict[str, str]
    service: str | None
    postgres: str | None = None
    """Whether there is a PostgreSQL server, and what there is in it."""

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line} ({self.language})"


@dataclass
class Section:
    """The blocks under one heading. They run in their order, and share files, services and the shell's variables."""

    page: Path
    title: str
    blocks: list[Block] = field(default_factory=list)

    @property
    def postgres(self) -> str | None:
        return next((block.postgres for block in self.blocks if block.postgres is not None), None)

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}: {self.title}"


def read_sections(page: Path) -> list[Section]:
    """The sections of a page that have blocks."""
    return [section for section in _Reader(page).read() if section.blocks]


def find_file(name: str) -> str:
    """The file of this name that some page tells its readers to save."""
    blocks = (block for page in PAGES for section in read_sections(page) for block in section.blocks)
    return next(block.text for block in blocks if block.notes.get("file") == name)


def list_headings(page: Path) -> list[str]:
    """The headings of a page, without what only looks like one inside a block."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    return [match["title"] for line in text.splitlines() if (match := _HEADING.fullmatch(line))]


class _Reader:
    def __init__(self, page: Path) -> None:
        self._page = page
        self._lines = iter(enumerate(page.read_text().splitlines(), start=1))
        self._notes: dict[str, str] = {}
        self._service: str | None = None
        self._postgres: str | None = None

    def read(self) -> Iterator[Section]:
        section = Section(self._page, "")
        for number, line in self._lines:
            if heading := _HEADING.fullmatch(line):
                yield section
                section = Section(self._page, heading["title"])
            elif note := _NOTE.fullmatch(line):
                self._take_note(number, note["name"], note["value"] or "")
            elif line.startswith("```"):
                section.blocks.append(self._read_block(number, line.removeprefix("```")))
            elif line:
                self._notes = {}
        yield section

    def _take_note(self, number: int, name: str, value: str) -> None:
        assert name in NOTES, f"{self._page}:{number}: unknown note {name!r}"
        self._notes[name] = value
        if name == "serve":
            self._service = value
        if name == "postgres":
            self._postgres = value

    def _read_block(self, number: int, language: str) -> Block:
        lines: list[str] = []
        for _, line in self._lines:
            if line == "```":
                notes, self._notes = self._notes, {}
                return Block(
                    self._page, number, language, "\n".join(lines) + "\n", notes, self._service, self._postgres
                )
            lines.append(line)
        raise AssertionError(f"{self._page}:{number}: this block has no end")
