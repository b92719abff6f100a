"""The journal of the crash test: when an attempt has started, and how it has ended, as it has noted that itself."""

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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
    note = partial(append_line, Path(journal), job.id, job.attempt, os.environ.get(MEMBER, "test"))
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


@dataclass
class Run:
    """One attempt as its own process has noted it."""

    job_id: str
    attempt: int
    member: str
    start_ns: int
    end_ns: int | None = None
    end: str | None = None


def read_runs(journal: Path, problems: list[str]) -> list[Run]:
    """All attempts; what cannot be is added to the problems."""
    runs: dict[tuple[str, int], Run] = {}
    for line in journal.read_text().splitlines() if journal.exists() else ():
        job_id, attempt, member, what, moment = line.split()
        key = (job_id, int(attempt))
        if what == "start":
            if key in runs:
                problems.append(f"attempt {attempt} of {job_id} has started twice")
            runs[key] = Run(job_id, int(attempt), member, int(moment))
        elif key not in runs or runs[key].end is not None or runs[key].member != member:
            problems.append(f"attempt {attempt} of {job_id} has ended out of place: {line}")
        else:
            runs[key].end, runs[key].end_ns = what, int(moment)
    return list(runs.values())


def most_at_once(runs: Iterable[Run]) -> int:
    """How many have run at the same time, at most."""
    runs = list(runs)
    changes = [(run.start_ns, 1) for run in runs] + [(run.end_ns, -1) for run in runs if run.end_ns is not None]
    most = now = 0
    for _, step in sorted(changes):
        now += step
        most = max(most, now)
    return most


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
