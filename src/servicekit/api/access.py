"""Whose jobs a caller sees, and whether it may act."""

from dataclasses import dataclass
from typing import Final

from servicekit.errors import ConfigurationError
from servicekit.jobs.options import check_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What one caller may see and do: the answer of the dependency that is given to `with_jobs(access=...)`.

    - `owner`: sees the jobs and artifacts of this owner, and owns what it submits and uploads.
    - `everything`: sees those of all, and what belongs to all: queues, schedules and workers. With an `owner`, what it
      submits and uploads still belongs to the owner.
    - `may_act`: may submit, upload, cancel, retry, change and delete what it sees.

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
