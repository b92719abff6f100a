"""Descriptors that are kept for jobs to begin with."""

import errno
import os
from contextlib import suppress
from typing import Final

_COUNT: Final = 32
"""To start the launcher and one job takes some 20 descriptors. Each further job takes 12, and holds 5 while it runs."""
_EXHAUSTED: Final = (errno.EMFILE, errno.ENFILE)


class DescriptorReserve:
    """Open descriptors that nobody uses. They are closed when no others can be had, and opened again when possible.

    So a service can begin a few jobs even while its clients hold all descriptors that the system allows it.
    """

    def __init__(self) -> None:
        self._descriptors: list[int] = []

    def give_up(self, error: OSError) -> bool:
        """Close them if `error` is the lack of descriptors, and say whether there were any."""
        if error.errno not in _EXHAUSTED or not self._descriptors:
            return False
        self.close()
        return True

    def fill(self) -> None:
        """Open as many as are missing, as far as the system allows."""
        with suppress(OSError):
            while len(self._descriptors) < _COUNT:
                self._descriptors.append(os.open(os.devnull, os.O_RDONLY))

    def close(self) -> None:
        while self._descriptors:
            os.close(self._descriptors.pop())

    __del__ = close
