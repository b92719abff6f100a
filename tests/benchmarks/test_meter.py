"""What a server costs is measured whole: its children too, those that have ended included."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from benchmarks.meter import cpu_seconds_of_tree

_BUSY_SECONDS = 0.2
# A parent whose child needs that much CPU. The child ends or stays, and then the parent tells its number.
_PARENT = """
import os, sys, time
reader, writer = os.pipe()
if not os.fork():
    while time.process_time() < {seconds}: pass
    os.write(writer, b"x")
    if {ends}: os._exit(0)
    time.sleep(600)
os.read(reader, 1)
if {ends}: os.wait()
print("ready", flush=True)
sys.stdin.read()
os._exit(0)
"""


@pytest.mark.parametrize("ends", [True, False])
def test_the_cpu_of_children_counts_whether_they_live_or_not(ends: bool) -> None:
    with parent_of_a_busy_child(ends) as pid:
        assert cpu_seconds_of_tree(pid) >= _BUSY_SECONDS * 0.9  # of ended ones the system tells hundredths


@contextmanager
def parent_of_a_busy_child(ends: bool) -> Iterator[int]:
    program = _PARENT.format(seconds=_BUSY_SECONDS, ends=ends)
    command = [sys.executable, "-c", program]
    parent = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    try:
        assert parent.stdout
        parent.stdout.readline()
        yield parent.pid
    finally:
        os.killpg(parent.pid, signal.SIGKILL)
        parent.communicate()
