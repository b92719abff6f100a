"""The rule for a submission whose idempotency key was used before."""

from typing import NamedTuple

from servicekit.errors import IdempotencyConflict


class FirstUse(NamedTuple):
    """The first job of an idempotency key. It is known as long as that job is kept."""

    job_id: str
    fingerprint: str | None
    """The fingerprint of its call: see `servicekit.jobs.restartable.fingerprint`."""

    def find_conflict(self, key: str, fingerprint: str | None) -> IdempotencyConflict | None:
        """The error of a submission with the same key and another call; `None` if it repeats the first one."""
        return None if self.fingerprint == fingerprint else IdempotencyConflict(key, self.job_id)
