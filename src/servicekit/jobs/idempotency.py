"""What becomes of a submission whose idempotency key was used before."""

from typing import NamedTuple

from servicekit.errors import IdempotencyConflict


class FirstUse(NamedTuple):
    """The job for which an idempotency key was used first, as long as it is kept."""

    job_id: str
    fingerprint: str | None
    """That of its call: see `servicekit.jobs.restartable.fingerprint`."""

    def find_conflict(self, key: str, fingerprint: str | None) -> IdempotencyConflict | None:
        """What is against taking a submission of this fingerprint for a repetition of the first; `None` if nothing."""
        return None if self.fingerprint == fingerprint else IdempotencyConflict(key, self.job_id)
