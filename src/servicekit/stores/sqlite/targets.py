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
    """Finds out what is against running a target here, and remembers it for a minute: importing may take long."""

    def __init__(self) -> None:
        self._problems: dict[str, tuple[float, str]] = {}
        self._imports: dict[str, asyncio.Future[str | None]] = {}

    async def find_problem(self, reference: str) -> str | None:
        """Why the target cannot be imported, or `None`.

        A module that is not there yet is imported in a thread. One that takes more than five seconds is a problem
        until it is there.
        """
        until, problem = self._problems.get(reference, (0.0, ""))
        if time.monotonic() < until:
            return problem
        if _is_loaded(reference):
            return self._remember(reference, _try(reference))
        try:
            importing = self._start_import(reference)
        except RuntimeError as error:  # there are no more threads
            return f"{reference} cannot be imported at the moment: {error}"
        done, _ = await asyncio.wait([importing], timeout=_PATIENCE_SECONDS)
        if not done:
            return f"{reference} cannot be imported so far: that has not ended for {_PATIENCE_SECONDS:g} seconds."
        return self._remember(reference, importing.result())

    def _start_import(self, reference: str) -> "asyncio.Future[str | None]":
        """Import it once for all who ask meanwhile: of one that hangs there is one thread."""
        importing = self._imports.get(reference)
        if importing is None or importing.done() or importing.get_loop() is not asyncio.get_running_loop():
            importing = self._imports[reference] = start_in_thread(_try, reference)
        return importing

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
        return str(error)
    return None


def _is_loaded(reference: str) -> bool:
    """Whether to import it takes no time. What another thread is importing is on Python's list already."""
    module = sys.modules.get(reference.partition(":")[0])
    return module is not None and not getattr(getattr(module, "__spec__", None), "_initializing", False)
