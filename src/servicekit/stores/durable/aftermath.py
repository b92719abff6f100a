"""Reactions to committed writes. They do not depend on a caller that still waits for the answer."""

from typing import Protocol

from servicekit.jobs.status import Transition
from servicekit.jobs.submission import Submission
from servicekit.stores.durable.requests import AttemptEnd, ClaimedJob, ClaimRequest, NewLines


class Aftermath(Protocol):
    """The possible reactions to a committed write. It belongs to the event loop."""

    def notify_log(self, job_id: str) -> None:
        """The job has new lines in its log."""
        ...

    def keep(self, submission: Submission) -> None:
        """The job is pending again: keep what was submitted, if no other process could run it."""
        ...

    def put_back(self, job_id: str, attempt: int) -> None:
        """The attempt will not begin. Make its job ready again, as soon as that can be written."""
        ...


def keep_if_pending(aftermath: Aftermath, end: AttemptEnd, written: Transition | None) -> None:
    """Reaction to the end of an attempt: the job may be pending again, and only this process may be able to run it."""
    if written is not None and written.gives_back and end.submission is not None:
        aftermath.keep(end.submission)


def notify_of_lines(aftermath: Aftermath, lines: NewLines, is_added: bool) -> None:
    """Reaction to an attempt to add lines to a log."""
    if is_added:
        aftermath.notify_log(lines.id)


def put_back(aftermath: Aftermath, _: ClaimRequest, jobs: list[ClaimedJob]) -> None:
    """Reaction to a claim whose caller does not wait any more."""
    for job in jobs:
        aftermath.put_back(job.id, job.attempt)
