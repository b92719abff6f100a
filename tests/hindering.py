"""What work needs to begin, taken away for a while."""

import gc
import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_TOO_LARGE = 1 << 47
"""Of a thread's stack: no process has so much address space."""


@contextmanager
def without_threads() -> Iterator[None]:
    """The system gives no more threads."""
    threading.stack_size(_TOO_LARGE)
    try:
        yield
    finally:
        threading.stack_size(0)


@contextmanager
def without_descriptors(spare: int = 0) -> Iterator[None]:
    """This process can open nothing any more, or so much."""
    gc.collect()  # else it would give back what earlier tests have left open
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + spare, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
