"""The page of all events, metrics and log lines has what the code has."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from servicekit.jobs.status import Transition
from servicekit.observability.metrics import JobMetrics
from tests.docs.pages import ROOT

PAGE = (ROOT / "docs" / "signals.md").read_text()
_METHODS = {
    "debug": "DEBUG",
    "info": "INFO",
    "warning": "WARNING",
    "error": "ERROR",
    "exception": "ERROR",
    "warn": "WARNING",
}
_LOGGERS = ("log", "failures")
_NOT_LITERAL = {"api/errors.py", "api/sse.py", "jobs/backoff.py", "engine/start_problems.py", "runners/launcher.py"}
"""Where lines are made of texts that stand elsewhere."""


def list_calls() -> Iterator[tuple[Path, str, str]]:
    """Every call of a logger in the package: where, at which level, and its text with `{}` for what varies."""
    for path in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _is_logger(node.func):
                yield path.relative_to(ROOT / "src/servicekit"), _METHODS[node.func.attr], _text_of(node.args[0])


def _is_logger(function: ast.Attribute) -> bool:
    return function.attr in _METHODS and _name_of(function.value).rpartition("_")[2] in _LOGGERS


def _name_of(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _text_of(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return re.sub("%[srd]", "{}", str(node.value))
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return ""


CALLS = list(list_calls())
LITERAL = [call for call in CALLS if call[2].strip("{}: ")]


def test_lines_are_found() -> None:
    assert len(LITERAL) > 30
    assert {str(path) for path, _, text in CALLS if not text.strip("{}: ")} <= _NOT_LITERAL


@pytest.mark.parametrize(("path", "level", "text"), LITERAL, ids=lambda value: str(value)[:40])
def test_every_line_is_on_the_page_with_its_level(path: Path, level: str, text: str) -> None:
    beginning = text.split(" Mend that")[0].split(" Give each")[0]
    rows = [row for row in PAGE.splitlines() if f"`{beginning}" in row]
    assert any(f"`{level}`" in row for row in rows), f"{path}: {level} {text}"


def test_every_metric_is_on_the_page_with_its_type() -> None:
    rendered = JobMetrics().render(pending=0, running=0, open_streams=0).decode()
    found = re.findall(r"^# TYPE (jobs?_\w+) (\w+)$", rendered, re.MULTILINE)
    kinds = {name: kind for name, kind in found if not name.endswith("_created")}
    told = dict(re.findall(r"^\| `(\w+)(?:\{\w+\})?` \| (\w+) \|", PAGE, re.MULTILINE))
    assert kinds == told


def test_every_transition_is_among_the_events() -> None:
    told = set(re.findall(r"^\| [^|]+ \| `(\w+)` \| `\w+` \|", PAGE, re.MULTILINE))
    assert told == {transition.value for transition in Transition}
