"""What `/health` tells of writes that fail."""

import time
from typing import Final

from servicekit.errors import StoreUnavailable

# For so long `/health` tells of a failed write, unless a later one succeeds: a problem that is gone shall not stay.
_TROUBLE_SECONDS: Final = 30.0


class LastTrouble:
    """Why the last write failed. It is noted by one thread, and asked for by others."""

    def __init__(self) -> None:
        self._noted: tuple[float, StoreUnavailable] | None = None

    @property
    def error(self) -> StoreUnavailable | None:
        """That of the last write, however long ago; `None` if a later one has succeeded."""
        return None if self._noted is None else self._noted[1]

    def note(self, error: StoreUnavailable) -> None:
        self._noted = (time.monotonic(), error)

    def clear(self) -> None:
        """A write has succeeded."""
        self._noted = None

    def find_reason(self) -> str | None:
        """Why it failed, if that was not long ago; or `None`."""
        noted = self._noted
        is_recent = noted is not None and time.monotonic() - noted[0] < _TROUBLE_SECONDS
        return noted[1].reason if noted is not None and is_recent else None
