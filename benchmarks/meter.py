"""What jobs cost a client and its database server, measured by the client. Peers import it: it needs no package."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_TICKS = os.sysconf("SC_CLK_TCK")


class Cost(NamedTuple):
    """What some jobs took."""

    per_second: float
    client_microseconds: float
    """CPU of this process for one job."""
    server_microseconds: float
    """CPU of the database server for one job, all its processes together."""


class Meter:
    """Measures from its making on. `server_pid` is the process that all others of the server are children of."""

    def __init__(self, server_pid: int) -> None:
        self._server_pid = server_pid
        self._server_cpu = cpu_seconds_of_tree(server_pid)
        self._cpu = time.process_time()
        self._clock = time.perf_counter()

    def read(self, jobs: int) -> Cost:
        seconds, cpu = time.perf_counter() - self._clock, time.process_time() - self._cpu
        server_cpu = cpu_seconds_of_tree(self._server_pid) - self._server_cpu
        return Cost(jobs / seconds, cpu / jobs * 1e6, server_cpu / jobs * 1e6)


def cpu_seconds_of(pid: int) -> float:
    """CPU time of a process, user and system, to the nanosecond, that of threads which have ended included."""
    # The number of another process's clock, as clock_getcpuclockid(3) makes it on Linux; /proc has only threads of now.
    return time.clock_gettime((~pid << 3) | 2)


def cpu_seconds_of_tree(pid: int) -> float:
    """The same of a process and its children, those that have ended included."""
    return cpu_seconds_of(pid) + _ended_children_seconds(pid) + sum(_living_children_seconds(pid))


def _living_children_seconds(pid: int) -> Iterator[float]:
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        try:
            yield cpu_seconds_of(int(child))
        except OSError:
            continue  # it has just ended: the next reading has it among those


def _ended_children_seconds(pid: int) -> float:
    # The name, in brackets, may contain anything. Behind it come the state, which is field 3, and the rest.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[13]) + int(fields[14])
    return ticks / _TICKS
