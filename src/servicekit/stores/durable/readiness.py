"""What kinds of jobs a process can run, as its row in the list of processes has it."""

import json
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from servicekit.jobs.options import RunnerKind
from servicekit.jobs.outcome import clip
from servicekit.jobs.workers import MOST_CHARACTERS, Readiness
from servicekit.stores.durable.nonsense import lenient


class ReadinessRow(NamedTuple):
    process: int
    runners: str
    """A JSON list."""
    problems: str
    """A JSON object."""


def write_readiness(process: int, readiness: Readiness) -> ReadinessRow:
    return ReadinessRow(process, json.dumps(readiness.runners), json.dumps(dict(readiness.problems)))


def _read_runners(text: Any) -> tuple[RunnerKind, ...] | None:
    kinds = json.loads(text)
    return tuple(kind for kind in RunnerKind if kind in kinds) if isinstance(kinds, list) else None


def _read_problems(text: Any) -> dict[RunnerKind, str]:
    reasons = json.loads(text)
    # Who wrote a reason has clipped it, and `clip` can make it twice as long as its limit. To clip that again would
    # show another text than the process itself has.
    most = 2 * MOST_CHARACTERS
    return {kind: clip(reasons[kind], most) for kind in RunnerKind if isinstance(reasons.get(kind), str)}


# An earlier version writes nothing, a newer one may know more kinds, and another program can have written anything.
_NOTHING: Final[dict[RunnerKind, str]] = {}
read_runners: Final[Callable[[object], tuple[RunnerKind, ...] | None]] = lenient(_read_runners, None)
read_problems: Final[Callable[[object], dict[RunnerKind, str]]] = lenient(_read_problems, _NOTHING)
