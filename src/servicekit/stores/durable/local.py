"""Submissions that only this process can run, since they cannot be written."""

import logging
from typing import Final

from servicekit.jobs.submission import CallProblem, Submission

_MOST_WARNINGS: Final = 1_000
"""So many targets are remembered for which a warning was logged. A closure can have a new name for each job."""

_log = logging.getLogger("servicekit.stores")


class LocalJobs:
    """The submissions of pending jobs that no other process could run."""

    def __init__(self) -> None:
        self._submissions: dict[str, Submission] = {}
        self._warned: set[str] = set()

    def add(self, submission: Submission) -> None:
        self._submissions[submission.id] = submission

    def warn(self, submission: Submission, problem: CallProblem) -> None:
        """Log a warning, once for each target."""
        if submission.name not in self._warned and len(self._warned) < _MOST_WARNINGS:
            self._warned.add(submission.name)
            _log.warning(
                "%s: its jobs are lost if this process ends before they do, since no other can run them: %s",
                submission.name,
                problem.sentence,
            )

    def put_back(self, submission: Submission) -> None:
        """Keep the submission of a job that is pending again, if only this process can run it."""
        if isinstance(submission.description, CallProblem):
            self.add(submission)

    def find(self, job_id: str) -> Submission | None:
        """The submission of a pending job, if only this process can run it."""
        return self._submissions.get(job_id)

    def take(self, job_id: str) -> Submission | None:
        """Take out the submission of a job that starts, if only this process can run it."""
        return self._submissions.pop(job_id, None)

    def forget(self, job_id: str) -> None:
        """The job will never run."""
        submission = self.take(job_id)
        if submission is not None:
            submission.discard()

    def forget_all(self) -> None:
        for job_id in list(self._submissions):
            self.forget(job_id)
