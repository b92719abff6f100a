"""Which targets this process can import."""

import asyncio
import sys
import time
from typing import Final

from servicekit.errors import TargetUnavailable
from servicekit.jobs.restartable import load_target
from servicekit.jobs.threads import start_in_thread

_TRY_AGAIN_SECONDS: Final = 60.0  # what is missing now may be a file that could not be opened, for once
_PATIENCE_SECONDS: Final = 5.0  # nobody waits longer for a list of schedules


class Targets:
    """Finds out whether a target can be imported here. It remembers a problem for a minute: an import may take long."""

    def __init__(self) -> None:
        self._problems: dict[str, tuple[float, str]] = {}
        self._imports: dict[str, tuple[float, asyncio.Future[str | None]]] = {}

    async def find_problem(self, reference: str) -> str | None:
        """Why the target cannot be imported, or `None`.

        A module that is not there yet is imported in a thread. One that takes more than five seconds is a problem
        until it is there, and nobody waits for it any more. If it fails after all, the next who asks is told why.
        """
        until, problem = self._problems.get(reference, (0.0, ""))
        if time.monotonic() < until:
            return problem
        if _is_loaded(reference):
            return self._remember(reference, _try(reference))
        try:
            began, importing = self._start_import(reference)
        except RuntimeError as error:  # there are no more threads
            return f"{reference} cannot be imported at the moment: {error}"
        if not importing.done():
            await asyncio.wait([importing], timeout=max(0.0, began + _PATIENCE_SECONDS - time.monotonic()))
        if not importing.done():
            return f"{reference} cannot be imported so far: that has not ended for {_PATIENCE_SECONDS:g} seconds."
        self._imports.pop(reference, None)
        return self._remember(reference, importing.result())

    def _start_import(self, reference: str) -> "tuple[float, asyncio.Future[str | None]]":
        """Import it once for all who ask until they know how it ends, and say when that began."""
        found = self._imports.get(reference)
        if found is None or not (found[1].done() or found[1].get_loop() is asyncio.get_running_loop()):
            found = self._imports[reference] = time.monotonic(), start_in_thread(_try, reference)
        return found

    def _remember(self, reference: str, found: str | None) -> str | None:
        self._imports.pop(reference, None)
        if found is None:
            self._problems.pop(reference, None)
        else:
            self._problems[reference] = (time.monotonic() + _TRY_AGAIN_SECONDS, found)
        return found


def _try(reference: str) -> str | None:
    try:
        load_target(reference)
    except TargetUnavailable as error:
        reason = str(error)  # it ends with the words of the user's error
        return reason if reason.endswith((".", "!", "?")) else f"{reason}."
    return None


def _is_loaded(reference: str) -> bool:
    """Whether its import takes no time. A module that another thread is importing is on Python's list already."""
    module = sys.modules.get(reference.partition(":")[0])
    return module is not None and not getattr(getattr(module, "__spec__", None), "_initializing", False)
