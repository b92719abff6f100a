"""Targets that run on a node of a cluster, and tell where they are."""

import importlib
import os
import subprocess
import sys
import time

from servicekit.jobs.current import current_job


def tell_where() -> int:
    """The process that is the node."""
    return find_parent(find_task())


def count_to(last: int) -> int:
    """Report and print each number, and return the process that is the node."""
    job = current_job()
    for number in range(1, last + 1):
        print(f"printed {number}")
        job.log(f"logged {number}")
        job.progress(number, last)
        time.sleep(0.01)
    return tell_where()


def print_flood(megabytes: int) -> None:
    for _ in range(megabytes):
        sys.stdout.write(("x" * 99 + "\n") * 10_000)


def import_late(name: str) -> str:
    return str(importlib.import_module(name).__name__)


def submit_child() -> str:
    return current_job().submit(tell_where)


def sleep_on_node() -> None:
    """Tells its process, that of a child which left the session, and that of the task of Ray."""
    job = current_job()
    child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    job.log(f"child {child.pid}")
    job.log(f"task {find_task()}")
    job.log(f"work {os.getpid()}")
    time.sleep(1_000)


def tell_gpus() -> list[str]:
    """The node, and the GPUs that are the job's there."""
    return [os.environ["NODE"], os.environ["CUDA_VISIBLE_DEVICES"]]


def find_task() -> int:
    """The process of the task: the launcher's parent, which is the supervisor's."""
    return find_parent(find_parent(os.getppid()))


def find_parent(pid: int) -> int:
    with open(f"/proc/{pid}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[1])
