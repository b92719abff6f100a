"""Values that jobs have, for whoever types what to look for."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple

MOST_COUNTED: Final = 100
"""Up to how many jobs are counted one by one, where no counter has their number."""


class SuggestedField(StrEnum):
    """What jobs are looked for by."""

    NAME = "name"
    QUEUE = "queue"
    TAG = "tag"
    OWNER = "owner"

    __hash__ = str.__hash__


class SuggestionRequest(NamedTuple):
    """Which values are asked for."""

    field: SuggestedField
    prefix: str = ""
    """What they begin with. Upper and lower case differ."""
    owner: str | None = None
    """Only those of the jobs of this owner."""
    limit: int = 20

    @property
    def start(self) -> str:
        """The prefix as a text that can be kept."""
        return self.prefix.encode("utf-8", "replace").decode()


class Suggestion(NamedTuple):
    """A value that jobs have."""

    value: str
    jobs: int | None
    """How many have it; `None` if that is not known without counting too many."""


def choose(counts: Mapping[str, int], request: SuggestionRequest, *, is_exact: bool) -> list[Suggestion]:
    """Of these values those that are asked for. The counts are told if they are exact."""
    found = sorted(value for value in counts if value.startswith(request.start))
    return [Suggestion(value, counts[value] if is_exact else None) for value in found[: request.limit]]
