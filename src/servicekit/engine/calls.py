"""The checks of a call before it becomes a job."""

from collections.abc import Set

from servicekit.errors import InvalidArguments, InvalidTarget
from servicekit.jobs.borrowed import check_borrowed
from servicekit.jobs.masks import NO_SECRETS
from servicekit.jobs.options import DEFAULT_OPTIONS, ISOLATED, JobOptions, RunnerKind
from servicekit.jobs.shown_calls import find_secrets
from servicekit.jobs.signatures import signature_of
from servicekit.jobs.submission import JobTarget, Submission, check_options, check_target, name_of
from servicekit.runners.calls import check_isolatable


def check_call(
    target: JobTarget, args: tuple[object, ...], kwargs: dict[str, object], options: JobOptions, mask: Set[str]
) -> tuple[RunnerKind, str]:
    """The kind of runner for the target, and the target's name.

    `InvalidTarget` if no runner can run it, `InvalidArguments` if its arguments do not fit, or a job cannot have them.
    The errors say nothing of what is secret in the arguments: by its type, by the options, or by `mask`.
    """
    try:
        return _check_call(target, args, kwargs, options)
    except InvalidArguments as error:
        # A validator of the user's can have written the value into its sentence.
        secrets = find_secrets(Submission("", "", target, args, kwargs, RunnerKind.COROUTINE, options), mask)
        if secrets is NO_SECRETS:
            raise
        argument = error.argument and secrets.hide(error.argument)
        raise InvalidArguments(error.target, argument, secrets.hide_in_clipped(error.reason)) from None


def _check_call(
    target: JobTarget, args: tuple[object, ...], kwargs: dict[str, object], options: JobOptions
) -> tuple[RunnerKind, str]:
    signature = signature_of(target) if callable(target) else None
    known = None if signature is None or options.runner is not None else signature.kind
    runner = known or check_target(target, args, kwargs, options.runner)
    if signature is not None:
        signature.check(target, args, kwargs)
        if args or kwargs:
            check_borrowed(target, args, kwargs)
    elif options.retry is not None and runner is RunnerKind.COROUTINE:
        raise InvalidTarget(
            target, "a coroutine object runs only once, and cannot be retried. Pass the function itself."
        )
    if runner in ISOLATED:
        check_isolatable(target)
    if options is not DEFAULT_OPTIONS:
        check_options(target, options, runner)
    return runner, (signature and signature.name) or name_of(target)
