"""Descriptors that are kept for jobs to begin with."""

import errno
import os
from contextlib import suppress
from typing import Final

_COUNT: Final = 32
"""To start the launcher and one job takes some 20; each further one 12, of which it holds 5 while it runs."""
_EXHAUSTED: Final = (errno.EMFILE, errno.ENFILE)


class DescriptorReserve:
    """Open descriptors that nobody uses. They are given up when no others can be had, and taken back when possible.

    So a service whose clients hold all descriptors that it may have can begin a few jobs all the same.
    """

    def __init__(self) -> None:
        self._descriptors: list[int] = []

    def give_up(self, error: OSError) -> bool:
        """Close them, if that was what was missing; say whether there were any."""
        if error.errno not in _EXHAUSTED or not self._descriptors:
            return False
        self.close()
        return True

    def fill(self) -> None:
        """Take what is missing, as far as there is any."""
        with suppress(OSError):
            while len(self._descriptors) < _COUNT:
                self._descriptors.append(os.open(os.devnull, os.O_RDONLY))

    def close(self) -> None:
        while self._descriptors:
            os.close(self._descriptors.pop())

    __del__ = close
