"""What jobs can be looked for by."""

from typing import Protocol

from servicekit.jobs.suggestions import Suggestion, SuggestionRequest


class JobSuggestions(Protocol):
    """Tells which values jobs have. What holds for all parts is in `ports.store`."""

    async def suggest(self, request: SuggestionRequest) -> list[Suggestion]:
        """The values of this field that kept jobs have and that begin with the prefix, in the order of code points.

        What the newest `SCAN_LIMIT` jobs have is among them, of the owner if one is asked for; a value that only older
        jobs have can be missing. A count is exact or `None`. The cost does not depend on how many jobs are kept.
        """
        ...
