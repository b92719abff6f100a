"""Restartable jobs: another process can run them, since it can import the target and read the arguments.

Such a job is written as a reference, `package.module:function`, and its arguments as JSON
(`servicekit.jobs.arguments`).
"""

import hashlib
import json
from dataclasses import asdict, replace
from typing import Final

from servicekit.errors import ArgumentsUnfit, InvalidArguments, InvalidTarget, TargetUnavailable
from servicekit.jobs.arguments import ArgumentNotKept, dump_arguments, load_arguments, sketch_arguments
from servicekit.jobs.command import Command
from servicekit.jobs.options import RunnerKind
from servicekit.jobs.outcome import clip
from servicekit.jobs.references import explain_no_reference, find_reference, load_reference
from servicekit.jobs.submission import (
    CallDescription,
    CallProblem,
    FailingTarget,
    JobTarget,
    Submission,
    name_argument,
    name_of,
)

COMMAND: Final = f"{Command.__module__}:{Command.__qualname__}"
"""The reference of every command."""
_MAX_PATH_CHARACTERS: Final = 100  # it stands in the sentence of an error, and a key can be of any length
_FIXED: Final = frozenset({type(None), bool, int, float, str, bytes})


def describe_call(submission: Submission) -> CallDescription | CallProblem:
    """The call of a submission as text, or the reason why only this process can make it.

    It is made once, so that a later change of the arguments does not count.
    """
    if submission.description is None:
        submission.description = _describe(submission)
    return submission.description


def _describe(submission: Submission) -> CallDescription | CallProblem:
    target = submission.target
    if type(target) is Command:
        return CallDescription(COMMAND, json.dumps({"args": [], "kwargs": asdict(target)}))
    reference = find_reference(target)
    if reference is None:
        return CallProblem(None, explain_no_reference(target))
    try:
        return CallDescription(reference, dump_arguments(submission.args, submission.kwargs))
    except ArgumentNotKept as obstacle:
        path = [name_argument(target, obstacle.key), *obstacle.path]
        return CallProblem(clip(".".join(path), _MAX_PATH_CHARACTERS), obstacle.reason, obstacle.is_too_deep)


def find_restart_problem(submission: Submission) -> str | None:
    """Why only this process can make the call; `None` if any process can."""
    # Fixed arguments can always be written, so the target alone decides, and the call need not be written.
    if submission.description is None and is_fixed(submission):
        target = submission.target
        if type(target) is Command or find_reference(target) is not None:
            return None
        return CallProblem(None, explain_no_reference(target)).sentence
    described = describe_call(submission)
    return described.sentence if isinstance(described, CallProblem) else None


def is_fixed(submission: Submission) -> bool:
    """Whether no argument can change. Such a call need not be written at once to stay as it was accepted."""
    args, kwargs = submission.args, submission.kwargs
    return (not args or all(type(value) in _FIXED for value in args)) and (
        not kwargs or all(type(value) in _FIXED for value in kwargs.values())
    )


def as_accepted(submission: Submission) -> Submission:
    """The submission with the arguments that were accepted, even if these objects have changed since."""
    call = submission.description
    if not isinstance(call, CallDescription) or type(submission.target) is Command:
        return submission
    try:
        args, kwargs = load_arguments(call.reference, submission.target, call.arguments)
    except Exception as error:  # it can be the user's code, and an error here would keep other jobs from being started
        return replace(submission, target=FailingTarget(error), args=(), kwargs={}, runner=RunnerKind.COROUTINE)
    return replace(submission, args=args, kwargs=kwargs)


def refuse(target: object, problem: CallProblem) -> InvalidTarget | InvalidArguments:
    """The error of a job that must be run by another process, and cannot be."""
    if problem.argument is None:
        return InvalidTarget(target, f"it has to be run by another process, and the target {problem.reason}.")
    reason = f"it has to be read by another process, and {problem.reason}."
    return InvalidArguments(name_of(target), problem.argument, reason)


def load_target(reference: str) -> JobTarget:
    """The target of a reference. `TargetUnavailable`, with the reason, if it cannot be imported or called."""
    try:
        target = load_reference(reference)
    except BaseException as error:  # an import runs the user's code, which can raise anything, also `SystemExit`
        raise TargetUnavailable(reference, f"{type(error).__name__}: {error}") from error
    if not callable(target):
        reason = "there is no such name" if target is None else "it is not callable"
        raise TargetUnavailable(reference, f"{reason} in module {reference.partition(':')[0]}.")
    return target


def load_call(reference: str, arguments: str) -> tuple[JobTarget, tuple[object, ...], dict[str, object]]:
    """The call that `describe_call` has described. `TargetUnavailable` or `ArgumentsUnfit` if it cannot be made now."""
    target = load_target(reference)
    args, kwargs = load_arguments(reference, target, arguments)
    if target is Command:
        return Command(**kwargs), (), {}  # type: ignore[arg-type] # they were a command's
    return target, args, kwargs


def is_same_call(submission: Submission, call: CallDescription) -> bool:
    """Whether a call is the submission's, though an earlier version has written it in another form."""
    described = describe_call(submission)
    if not isinstance(described, CallDescription) or described.reference != call.reference:
        return False
    try:
        written = dump_arguments(*load_arguments(call.reference, submission.target, call.arguments))
    except (ArgumentsUnfit, ArgumentNotKept):
        return False
    return bool(json.loads(written) == json.loads(described.arguments))


def fingerprint(submission: Submission) -> str:
    """A text that is the same for the same call in every process. It tells whether a key was used for another call.

    An argument that cannot be written counts by its type alone, and a target without a reference by its name alone.
    """
    call = describe_call(submission)
    if isinstance(call, CallDescription):
        target, arguments = call
    else:
        target = find_reference(submission.target) or name_of(submission.target)
        arguments = sketch_arguments(submission.args, submission.kwargs)
    text = json.dumps([target, json.loads(arguments)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
