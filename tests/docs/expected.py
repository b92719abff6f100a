"""Output as the pages print it, against output as it really is."""

import json
import re

_ID = re.compile("[0-7][0-9A-HJKMNP-TV-Z]{25}")
_EVENT_ID = re.compile(r"^id: \d+$", flags=re.MULTILINE)
_VERSION = re.compile(r'"version": ?\d+')  # of reports that come while the machine is busy, only the newest is written
_DURATION = re.compile(r'(?<=_seconds": )[\d.]+')
_DURATION_IN_ROW = re.compile(r"(?<=\|)\d+\.\d+$", flags=re.MULTILINE)  # the last column that SQLite's shell shows
_PROCESS = re.compile(r'(?<="process": ")[^"]+:\d+')
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def check_text(printed: str, real: str) -> None:
    assert has_text(printed, real), f"The page says:\n{printed}\nbut it is:\n{real}"


def has_text(printed: str, real: str) -> bool:
    """Whether the output is the printed one, with other ids, times, durations and versions, and anything for `...`."""
    return re.fullmatch(pattern_of(_without_accidents(printed)), _without_accidents(real)) is not None


def check_json(printed: str, real: str) -> None:
    assert json.loads(_without_accidents(real)) == json.loads(_without_accidents(printed))


def pattern_of(printed: str) -> str:
    """A regular expression in which `...` is anything, and on a line of its own any number of lines."""
    lines = printed.strip("\n").split("\n")
    pattern = "".join("(?:.*\n)?" if line == "..." else f"{_pattern_of_line(line)}\n" for line in lines)
    return f"(?s){pattern.removesuffix(chr(10))}"


def _pattern_of_line(line: str) -> str:
    return ".*".join(re.escape(part) for part in line.split("..."))


def _without_accidents(text: str) -> str:
    tidied = "\n".join(line.rstrip() for line in text.splitlines()).strip("\n")
    for accident, instead in (
        (_ID, "0" * 26),
        (_TIME, "2026-01-31T12:00:00Z"),
        (_EVENT_ID, "id: 0"),
        (_VERSION, '"version": 0'),
        (_DURATION, "1.5"),
        (_DURATION_IN_ROW, "1.5"),
        (_PROCESS, "host:1"),
    ):
        tidied = accident.sub(instead, tidied)
    return tidied
