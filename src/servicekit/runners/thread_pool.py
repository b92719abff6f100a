"""Threads that are there when they are needed."""

import os
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

_IDLE_SECONDS = 10.0


class ThreadPool:
    """Starts work at once, in a thread that is idle or in a new one. How many there are is up to the caller.

    Not an executor of the standard library: those queue what their size does not hold, which would make a job look
    as if it were running, and wait at the interpreter's exit for threads that never end. These are daemons, and end
    by themselves after ten idle seconds.
    """

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._work: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._lock = threading.Lock()
        self._free = 0

    def start(self, work: Callable[[], None]) -> None:
        """Run `work`, which must not raise, in a thread. `RuntimeError` if the system gives no more threads."""
        if self._pid != os.getpid():  # in a forked child, the threads are the parent's
            self._begin()
        with self._lock:
            is_new = self._free == 0
            self._free -= not is_new
        if is_new:
            threading.Thread(target=self._serve, name="servicekit-job", daemon=True).start()
        self._work.put(work)

    def _serve(self) -> None:
        while (work := self._next_work()) is not None:
            work()
            del work  # nothing of a job outlives it in an idle thread
            with self._lock:
                self._free += 1

    def _next_work(self) -> Callable[[], None] | None:
        try:
            return self._work.get(timeout=_IDLE_SECONDS)
        except Empty:
            with self._lock:
                if self._free:
                    self._free -= 1
                    return None
            # Every waiting thread has been promised work: it is about to come.
            return self._work.get()
