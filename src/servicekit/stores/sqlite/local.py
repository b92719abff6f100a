"""What only this process can run: the file has no words for it."""

from servicekit.jobs.submission import Submission


class LocalJobs:
    """The submissions of pending jobs that no other process could make anything of."""

    def __init__(self) -> None:
        self._submissions: dict[str, Submission] = {}

    def add(self, submission: Submission) -> None:
        self._submissions[submission.id] = submission

    def take(self, job_id: str) -> Submission | None:
        """The submission of a job that is started, if it is one of these."""
        return self._submissions.pop(job_id, None)

    def forget(self, job_id: str) -> None:
        """The job will never run."""
        submission = self.take(job_id)
        if submission is not None:
            submission.discard()

    def forget_all(self) -> None:
        for job_id in list(self._submissions):
            self.forget(job_id)
