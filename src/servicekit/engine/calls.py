"""What is checked of a call before it becomes a job."""

from servicekit.errors import InvalidTarget
from servicekit.jobs.borrowed import check_borrowed
from servicekit.jobs.options import JobOptions, RunnerKind
from servicekit.jobs.signatures import check_arguments
from servicekit.jobs.submission import JobTarget, check_target
from servicekit.runners.calls import check_isolatable


def check_call(
    target: JobTarget, args: tuple[object, ...], kwargs: dict[str, object], options: JobOptions
) -> RunnerKind:
    """Say what runs the target. `InvalidTarget` if nothing can, `InvalidArguments` if its arguments do not fit it."""
    runner = check_target(target, args, kwargs, options.runner)
    if callable(target):
        check_arguments(target, args, kwargs)
        if args or kwargs:
            check_borrowed(target, args, kwargs)
    elif options.retry is not None and runner is RunnerKind.COROUTINE:
        raise InvalidTarget(
            target, "a coroutine object runs only once, and cannot be retried. Pass the function itself."
        )
    if runner is RunnerKind.PROCESS:
        check_isolatable(target)
    return runner
