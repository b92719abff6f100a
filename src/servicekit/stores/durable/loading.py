"""Makes submissions of rows."""

from collections.abc import Awaitable, Callable
from typing import Final, NoReturn

from servicekit.errors import NotRestartable
from servicekit.jobs.option_texts import load_options
from servicekit.jobs.options import DEFAULT_OPTIONS, RunnerKind
from servicekit.jobs.restartable import load_call
from servicekit.jobs.submission import CallDescription, Submission, check_target
from servicekit.stores.durable.requests import ClaimedJob

_NO_TEXT: Final = "\ufffd"
"""The mark that `read_leniently` puts in the place of bytes that are not UTF-8. Our own JSON is ASCII."""

Decline = Callable[[ClaimedJob, BaseException], Awaitable[bool]]
"""Leaves a job to another process, for this reason; `False` if there is no such process."""


def load_submission(job: ClaimedJob, decline: Decline) -> Submission:
    """The submission of a row. If this process cannot run it, its target declines the job, or else fails."""
    options = DEFAULT_OPTIONS
    call = None
    try:
        options = load_options(job.options)
        if job.target is None or job.arguments is None:
            raise NotRestartable
        call = CallDescription(job.target, job.arguments)
        if _NO_TEXT in job.arguments:
            raise ValueError("its arguments are no UTF-8")
        target, args, kwargs = load_call(*call)
        # It may have been another kind of function when it was submitted.
        runner = check_target(target, args, kwargs, options.runner)
    except BaseException as error:  # finding the target runs the user's code, and every other claim needs its answer
        target, args, kwargs, runner = _Unrunnable(job, error, decline), (), {}, RunnerKind.COROUTINE
    return Submission(
        job.id, job.name, target, args, kwargs, runner, options, job.retry_of, job.schedule, job.parent, call
    )


class _Unrunnable:
    """Runs in place of a target that this process cannot run, but perhaps another one can.

    Whoever gets the job has its next attempt, so that nothing which becomes of this one is written any more.
    """

    def __init__(self, job: ClaimedJob, error: BaseException, decline: Decline) -> None:
        self._job = job
        self._error = error
        self._decline = decline

    async def __call__(self) -> NoReturn:
        await self._decline(self._job, self._error)
        raise self._error
