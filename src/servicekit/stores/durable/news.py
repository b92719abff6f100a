"""Calls of a database, and its reports: answers, and changes of jobs."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from servicekit.stores.durable.records import EventRow

LATE_SECONDS: Final = 5.0
"""A process that has not looked for so long asks anew for the jobs that it follows."""


class Call(NamedTuple):
    """A call for a thread, and the future of its caller."""

    operation: Any
    """An `Operation`, or the function that a `Reader` shall call."""
    argument: Any
    future: "asyncio.Future[Any]"


class Answer(NamedTuple):
    call: Call
    result: Any
    """An exception is raised to the caller."""


def resolve(answers: Sequence[Answer]) -> None:
    """Give each caller its answer. Belongs to their event loop."""
    for call, result in answers:
        if not call.future.done():
            if isinstance(result, Exception):
                call.future.set_exception(result)
            else:
                call.future.set_result(result)


class News(NamedTuple):
    """What has been committed."""

    answers: Sequence[Answer] = ()
    ours: Sequence[EventRow] = ()
    """Events that this process has made; none if nobody reads or counts events."""
    others: Sequence[EventRow] = ()
    is_change: bool = False
    """Whether any job has changed."""
    is_ready: bool = False
    """Whether this process has made waiting jobs ready."""
    is_foreign: bool = False
    """Whether another process has committed. It may have freed a slot without an event."""
    is_told: bool = False
    """Whether it is told by itself that there may be something to claim: `others` are no reason to look."""
    has_lines: bool = False
    """Whether another process may have added lines to some log."""
    unwanted: Sequence[str] = ()
    """Jobs that other processes have asked to stop, or deleted."""
    is_late: bool = False
    """Whether the last look was so long ago that events since then may be gone."""
    is_anew: bool = False
    """Whether the newest changes may be lost, as at a standby that has taken over: the jobs are what they are now."""
