"""Keys that belong to an owner, and the rule for a submission whose idempotency key was used before."""

from typing import Final, NamedTuple

from servicekit.errors import IdempotencyConflict

_END_OF_OWNER: Final = "\n"  # neither owners nor keys have one: see `texts.is_short_text`


def key_of_owner(owner: str | None, key: str) -> str:
    """What stores keep for the key of an owner: no other owner has the same for any key, nor has a job without one."""
    return key if owner is None else f"{owner}{_END_OF_OWNER}{key}"


class FirstUse(NamedTuple):
    """The first job of an idempotency key. It is known as long as that job is kept."""

    job_id: str
    fingerprint: str | None
    """The fingerprint of its call: see `servicekit.jobs.restartable.fingerprint`."""

    def find_conflict(self, key: str, fingerprint: str | None) -> IdempotencyConflict | None:
        """The error of a submission with the same key, as it is kept, and another call; `None` if it repeats the first
        one. It names the key as it was given."""
        if self.fingerprint == fingerprint:
            return None
        return IdempotencyConflict(key.rpartition(_END_OF_OWNER)[2], self.job_id)
