"""From what was written down to what can be run."""

from typing import NoReturn

from servicekit.errors import NotRestartable
from servicekit.jobs.option_texts import load_options
from servicekit.jobs.options import DEFAULT_OPTIONS, RunnerKind
from servicekit.jobs.restartable import load_call
from servicekit.jobs.submission import CallDescription, Submission, check_target
from servicekit.stores.sqlite.ready import ClaimedJob


def load_submission(job: ClaimedJob) -> Submission:
    """What was submitted, ready to be run; or, if that cannot be, ready to fail with the reason."""
    options = DEFAULT_OPTIONS
    call = None
    try:
        options = load_options(job.options)
        if job.target is None or job.arguments is None:
            raise NotRestartable
        call = CallDescription(job.target, job.arguments)
        target, args, kwargs = load_call(*call)
        # It may have been another kind of function when it was submitted.
        runner = check_target(target, args, kwargs, options.runner)
    except Exception as error:  # finding the target runs the user's code, and every other claim needs its answer
        target, args, kwargs, runner = _Failing(error), (), {}, RunnerKind.COROUTINE
    return Submission(
        job.id, job.name, target, args, kwargs, runner, options, job.retry_of, job.schedule, job.parent, call
    )


class _Failing:
    """A target that fails for a reason that was known before."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def __call__(self) -> NoReturn:
        raise self._error
