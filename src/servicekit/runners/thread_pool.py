"""A pool of threads that starts work at once."""

import os
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

# A new thread costs a tenth of a millisecond. So idle ones are worth keeping for bursts, but not for long.
_IDLE_SECONDS = 10.0


class ThreadPool:
    """Starts work at once, in an idle thread or in a new one. The caller limits how many there are.

    The executors of the standard library do not fit. They queue work when all threads are busy, so that a job would
    seem to run while it waits. And the interpreter waits for their threads at its exit, which may never end. These
    threads are daemons, and end by themselves after ten idle seconds.
    """

    def __init__(self, name: str = "servicekit-job") -> None:
        """`name`: of the threads, for those who look at all of a process."""
        self._name = name
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._work: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._lock = threading.Lock()
        self._free = 0

    def start(self, work: Callable[[], None]) -> None:
        """Run `work`, which must not raise, in a thread. `RuntimeError` if the system gives no more threads."""
        if self._pid != os.getpid():  # a forked child has none of its parent's threads
            self._begin()
        with self._lock:
            is_new = self._free == 0
            self._free -= not is_new
        if is_new:
            threading.Thread(target=self._serve, name=self._name, daemon=True).start()
        self._work.put(work)

    def _serve(self) -> None:
        while (work := self._next_work()) is not None:
            work()
            del work  # an idle thread must not hold anything of a job that has ended
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
            # `start` has counted on this thread, and is about to put the work.
            return self._work.get()
