"""The journal of the crash test: when an attempt has started, and how it has ended, as it has noted that itself."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from servicekit import current_job

MEMBER: Final = "CRASH_TEST_MEMBER"
"""The environment's variable with the name of this process."""


@contextmanager
def journaled(journal: str) -> Iterator[None]:
    """Note that the attempt starts, and whether it returned or raised. What is missing did not live to say it."""
    job = current_job()
    note = partial(append_line, Path(journal), job.id, job.attempt, os.environ[MEMBER])
    note("start", time.monotonic_ns())
    try:
        yield
    except BaseException:
        note("raised", time.monotonic_ns())
        raise
    note("returned", time.monotonic_ns())


def append_line(path: Path, *words: object) -> None:
    """One write, so that lines of several processes do not mix. A killed process does not lose what it has written."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(descriptor, f"{' '.join(map(str, words))}\n".encode())
    finally:
        os.close(descriptor)


# A program that notes what `journaled` would, and leaves the sleeping to a child.
PROGRAM: Final = """
import os, subprocess, sys, time
def note(what):
    words = os.environ["SERVICEKIT_JOB_ID"], os.environ["SERVICEKIT_ATTEMPT"], os.environ["CRASH_TEST_MEMBER"], what
    journal = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(journal, f"{' '.join(words)} {time.monotonic_ns()}\\n".encode())
note("start")
subprocess.run(["sleep", sys.argv[2]])
note("returned")
"""
