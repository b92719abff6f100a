"""Trained models in memory, by their content."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple

MAX_MODELS: Final = 8
MAX_BYTES: Final = 2 * 1024**3
"""Counted as the files are. In memory most models take about as much."""


class _Entry(NamedTuple):
    model: object
    size: int


class ModelCache:
    """Keeps the models that were used last, as many as the limits allow. Every thread may use it.

    A model larger than all of the cache is loaded each time, and not kept.
    """

    def __init__(self, max_models: int = MAX_MODELS, max_bytes: int = MAX_BYTES) -> None:
        self._max_models = max_models
        self._max_bytes = max_bytes
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._bytes = 0
        self._guard = threading.Lock()
        self._loading: dict[str, threading.Lock] = {}

    def get(self, key: str, size: int, load: Callable[[], object]) -> object:
        """The model with this key. If it is not there, it is loaded, by one thread for all that ask at that time."""
        entry = self._find(key)
        if entry is not None:
            return entry.model
        with self._guard:
            lock = self._loading.setdefault(key, threading.Lock())
        try:
            with lock:
                entry = self._find(key)
                if entry is None:
                    entry = _Entry(load(), size)
                    self._keep(key, entry)
                return entry.model
        finally:
            with self._guard:
                self._loading.pop(key, None)

    def _find(self, key: str) -> _Entry | None:
        with self._guard:
            entry = self._entries.get(key)
            if entry is not None:
                self._entries.move_to_end(key)
            return entry

    def _keep(self, key: str, entry: _Entry) -> None:
        if entry.size > self._max_bytes:
            return
        with self._guard:
            replaced = self._entries.pop(key, None)  # when a load fails, two others can begin at the same time
            self._entries[key] = entry
            self._bytes += entry.size - (replaced.size if replaced else 0)
            while len(self._entries) > self._max_models or self._bytes > self._max_bytes:
                _, dropped = self._entries.popitem(last=False)
                self._bytes -= dropped.size
