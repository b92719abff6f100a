"""Which contents are really JSON, whatever their media type says: only those may be put into a record as they are."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import BinaryIO, Final

from pydantic_core import from_json

from servicekit.artifacts.strict_json import without_collector

_MOST_KEPT: Final = 10_000  # of some hundred bytes each
# Read JSON takes several times its size of memory. Readers of smaller ones are done before that matters.
_LARGE_BYTES: Final = 1024 * 1024


class CheckedJson:
    """Reads each content once, and remembers by its hash whether it is JSON. It may be used from any thread."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, bool] = OrderedDict()
        self._lock = threading.Lock()
        self._reading = threading.Lock()

    def is_json(self, sha256: str, open_file: Callable[[], BinaryIO]) -> bool:
        """Whether the content of this hash is JSON. It blocks, and takes memory for the whole content, if it is new."""
        with self._lock:
            known = self._known.get(sha256)
            if known is not None:
                self._known.move_to_end(sha256)
                return known
        with open_file() as file:
            content = file.read()
            with self.turn(len(content)):
                found = _is_json(content)
        self._keep(sha256, found)
        return found

    def turn(self, size: int) -> AbstractContextManager[object]:
        """Wait for the turn to read JSON of so many bytes: large ones are read one after the other."""
        return self._reading if size > _LARGE_BYTES else nullcontext()

    def note(self, sha256: str) -> None:
        """The content of this hash is JSON: it was written as such."""
        self._keep(sha256, True)

    def _keep(self, sha256: str, found: bool) -> None:
        with self._lock:
            self._known[sha256] = found
            if len(self._known) > _MOST_KEPT:
                self._known.popitem(last=False)


def _is_json(content: bytes) -> bool:
    try:
        with without_collector():
            from_json(content, allow_inf_nan=False, cache_strings="none")
    except ValueError:  # it is no JSON, no UTF-8, or nested too deeply
        return False
    return True
