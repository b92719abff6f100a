"""Which targets this process can import."""

import asyncio
import sys
import time
from typing import Final

from servicekit.errors import TargetUnavailable
from servicekit.jobs.restartable import load_target

_TRY_AGAIN_SECONDS: Final = 60.0  # what is missing now may be a file that could not be opened, for once


class Targets:
    """Finds out what is against running a target here, and remembers it for a minute: importing may take long."""

    def __init__(self) -> None:
        self._problems: dict[str, tuple[float, str]] = {}

    async def find_problem(self, reference: str) -> str | None:
        """Why the target cannot be imported, or `None`. A module that is not there yet is imported in a thread."""
        until, problem = self._problems.get(reference, (0.0, ""))
        if time.monotonic() < until:
            return problem
        found = self._try(reference) if _is_loaded(reference) else await asyncio.to_thread(self._try, reference)
        if found is None:
            self._problems.pop(reference, None)
        else:
            self._problems[reference] = (time.monotonic() + _TRY_AGAIN_SECONDS, found)
        return found

    def _try(self, reference: str) -> str | None:
        try:
            load_target(reference)
        except TargetUnavailable as error:
            return str(error)
        return None


def _is_loaded(reference: str) -> bool:
    return reference.partition(":")[0] in sys.modules
