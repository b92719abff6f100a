"""Calling a target where it may block: in a thread, or in a process of its own."""

from collections.abc import Coroutine
from typing import TypeGuard

from servicekit.jobs.current import RunningJob, current
from servicekit.jobs.outcome import CANCELED, Outcome, completion, failure, is_cancellation
from servicekit.jobs.submission import Submission
from servicekit.jobs.this_process import this_process
from servicekit.runners.children import leave_to_parent


def call_target(submission: Submission, job: RunningJob) -> Outcome:
    """Call the target, unless it was asked to stop already, and return the outcome. Whatever it raises is caught."""
    if job.is_cancel_requested:
        return CANCELED
    current.set(job)
    process = this_process.id
    try:
        result = submission.call()
        leave_to_parent(process)
        return completion(result)
    except BaseException as error:
        leave_to_parent(process, error)
        return CANCELED if job.is_cancel_requested and is_cancellation(error) else failure(error)


def is_coroutine(result: object) -> TypeGuard[Coroutine[object, object, object]]:
    """Whether what a target returned is still to be awaited."""
    return issubclass(
        type(result), Coroutine
    )  # isinstance would read the result's own `__class__`, which can be anything
