"""What a database is asked, and what it reports: answers, and what has become of jobs."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from servicekit.stores.durable.records import EventRow

LATE_SECONDS: Final = 5.0
"""After so long without a look, a process that stood still asks for what it watches anew."""


class Call(NamedTuple):
    """Something to do in a thread, and the future of whoever waits for it."""

    operation: Any
    """An `Operation`, or what a `Reader` is to call."""
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
    """Events that this process has made, if somebody wants them."""
    others: Sequence[EventRow] = ()
    is_change: bool = False
    """Whether anything has happened to any job."""
    is_ready: bool = False
    """Whether this process has made jobs ready that were waiting for something."""
    is_foreign: bool = False
    """Whether another process has committed something: it may have freed a slot of all processes without an event."""
    is_late: bool = False
    """Whether nobody has looked for so long that what happened meanwhile may be forgotten by now."""
