"""Which jobs another process can run: those whose target it can import, and whose arguments it can read.

A job like that is written down as a reference, `package.module:function`, and its arguments as JSON, which
`servicekit.jobs.arguments` writes and reads.
"""

import hashlib
import json
from dataclasses import asdict
from typing import NamedTuple

from servicekit.errors import TargetUnavailable
from servicekit.jobs.arguments import dump_arguments, load_arguments
from servicekit.jobs.command import Command
from servicekit.jobs.references import find_reference, load_reference
from servicekit.jobs.submission import JobTarget, Submission, name_of

_COMMAND = f"{Command.__module__}:{Command.__qualname__}"


class CallDescription(NamedTuple):
    """A call, in words that any process of this program understands."""

    reference: str
    arguments: str
    """`{"args": [...], "kwargs": {...}}`"""


def describe_call(submission: Submission) -> CallDescription | None:
    """The call that a submission asks for, or `None` if only this process can make it."""
    target = submission.target
    if type(target) is Command:
        return CallDescription(_COMMAND, json.dumps({"args": [], "kwargs": asdict(target)}))
    reference = find_reference(target)
    if reference is None:
        return None
    arguments = dump_arguments(target, submission.args, submission.kwargs)
    return None if arguments is None else CallDescription(reference, arguments)


def load_target(reference: str) -> JobTarget:
    """What the reference leads to; `TargetUnavailable`, with the reason, if that cannot be imported or called."""
    try:
        target = load_reference(reference)
    except BaseException as error:  # importing runs the user's code, and anything can come out of it
        raise TargetUnavailable(reference, f"{type(error).__name__}: {error}") from error
    if not callable(target):
        reason = "there is no such name" if target is None else "it is not callable"
        raise TargetUnavailable(reference, f"{reason} in module {reference.partition(':')[0]}.")
    return target


def load_call(reference: str, arguments: str) -> tuple[JobTarget, tuple[object, ...], dict[str, object]]:
    """What `describe_call` has described; `TargetUnavailable` or `ArgumentsUnfit` if there is no such call any more."""
    target = load_target(reference)
    args, kwargs = load_arguments(reference, target, arguments)
    if target is Command:
        return Command(**kwargs), (), {}  # type: ignore[arg-type] # they were a command's
    return target, args, kwargs


def fingerprint(submission: Submission) -> str:
    """A text that is the same for the same call in any process: it tells apart what has one idempotency key.

    What cannot be written counts by its type alone, and a target that no reference leads to by its name.
    """
    call = describe_call(submission)
    if call is not None:
        text = json.dumps([call.reference, json.loads(call.arguments)], sort_keys=True)
    else:
        arguments = {name: _spell(value) for name, value in submission.kwargs.items()}
        args = [_spell(value) for value in submission.args]
        text = json.dumps([name_of(submission.target), args, arguments], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _spell(value: object) -> str:
    try:
        return json.dumps(value, sort_keys=True, default=_type_name)
    except (TypeError, ValueError, RecursionError):  # keys of several types, or a list that contains itself
        return _type_name(value)


def _type_name(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"
