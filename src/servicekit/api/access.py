"""Whose jobs a caller sees, and whether it may act."""

from dataclasses import dataclass
from typing import Final

from servicekit.errors import ConfigurationError
from servicekit.jobs.options import check_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What one caller may do with jobs: the answer of the dependency that is given to `with_jobs(access=...)`.

    - `owner`: sees the jobs of this owner, and owns the jobs that it submits.
    - `everything`: sees all jobs, and queues, schedules, tasks, artifacts and models as well. With an `owner`, its own
      submissions still belong to the owner.
    - `may_act`: may submit, cancel, retry and delete what it sees.

    `ConfigurationError` if it has neither an owner nor everything.
    """

    owner: str | None = None
    everything: bool = False
    may_act: bool = False

    def __post_init__(self) -> None:
        if self.owner is not None:
            check_text("owner", self.owner)
        elif not self.everything:
            sentence = "This access sees nothing: give it an owner, Access(owner='ana'), or Access(everything=True)."
            raise ConfigurationError("access", self, sentence=sentence)


EVERYTHING: Final = Access(everything=True, may_act=True)
"""What everybody has in a service without guards."""
