"""What an execution of a task submits, and what a program is told."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from servicekit.jobs.options import OptionChanges
from servicekit.jobs.submission import JobTarget


class TaskCall(NamedTuple):
    """A call to submit as a job."""

    target: JobTarget
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    options: OptionChanges
    """Options that replace those of the target."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandCall:
    """A program to run, with all that its job's process needs. It is kept with the job, in the file of the jobs."""

    task: str
    argv: tuple[str, ...] = field(repr=False)  # it can contain secrets
    artifacts: str
    """The address of the artifacts: `Artifacts.at(address)`."""
    snapshot: Mapping[str, object]
    """What was executed, without secrets, for the artifact."""
    ok_codes: tuple[int, ...] = (0,)
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    cwd: str | None = None
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """Texts that are masked in all that the program writes."""
    stop_seconds: float = 4.0
    """How long the program has to end by itself after a request to stop. Then it is killed, while its job still has
    the time to keep what it has written."""
