"""What is checked of a call before it becomes a job."""

from typing import Final

from servicekit.errors import InvalidTarget
from servicekit.jobs.borrowed import check_borrowed
from servicekit.jobs.options import JobOptions, RunnerKind
from servicekit.jobs.signatures import check_arguments
from servicekit.jobs.submission import JobTarget, check_target
from servicekit.runners.calls import check_isolatable

_INSIDE: Final = (RunnerKind.COROUTINE, RunnerKind.THREAD)  # in the service's own memory


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
    if options.max_memory_bytes is not None and runner in _INSIDE:
        reason = f"max_memory_bytes bounds processes and commands, and it runs as a {runner}. Use runner='process'."
        raise InvalidTarget(target, reason)
    return runner
