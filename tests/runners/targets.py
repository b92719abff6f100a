"""Targets beyond those of the suite, which can be had here as well: what they do, they do in a process of their own."""

import ctypes
import importlib
import itertools
import logging
import mmap
import os
import random
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path

from servicekit.errors import JobCanceled, RetryAfter
from servicekit.jobs.current import current_job
from servicekit.testing.runners.targets import (
    fail as fail,
)
from servicekit.testing.runners.targets import (
    finish_anyway as finish_anyway,
)
from servicekit.testing.runners.targets import (
    give as give,
)
from servicekit.testing.runners.targets import (
    give_async as give_async,
)
from servicekit.testing.runners.targets import (
    leave as leave,
)
from servicekit.testing.runners.targets import (
    obey as obey,
)


def tell(who: str, pid: int | None = None) -> None:
    current_job().log(f"{who} {pid or os.getpid()}")


def sleep() -> None:
    """Knows nothing of jobs, and can only be interrupted."""
    tell("work")
    time.sleep(1_000)


def tidy_up() -> None:
    print("began", flush=True)
    try:
        time.sleep(1_000)
    except JobCanceled:
        print("tidying", flush=True)
        time.sleep(0.5)  # in which a second signal would come
        print("tidied up", flush=True)
        raise


def name_and_sleep() -> None:
    current_job().artifact("01ARZ3NDEKTSV4RRFFQ69G5FAV")
    time.sleep(1_000)


def catch_and_return() -> str:
    try:
        sleep()
    except JobCanceled:
        return "caught"
    return "slept"


def wait_and_tidy_up() -> str:
    """Learns what is asked by waiting, and is not hit by an exception while it tidies up."""
    job = current_job()
    try:
        job.log("began")
        is_asked = job.wait_cancel_requested()
    except JobCanceled:  # before it could wait
        is_asked = job.wait_cancel_requested()
    for _ in range(100):
        time.sleep(0.001)
    return f"tidied up, {is_asked}, {job.is_cancel_requested}"


def look_and_go_on() -> str:
    current_job().wait_cancel_requested(0)
    return catch_and_return()


def wait_in_a_thread() -> str:
    answers: list[bool] = []
    job = current_job()
    waiter = threading.Thread(target=lambda: answers.append(job.wait_cancel_requested()))
    waiter.start()
    try:
        sleep()
    except JobCanceled:
        waiter.join()
    return f"told {answers}"


def hold_interpreter() -> None:
    """A loop in C that lets no other Python code run, a signal's handler included."""
    while True:
        with suppress(BaseException):
            tell("work")
            sum(itertools.repeat(0))


def ignore_everything() -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sleep()


def swallow_everything() -> None:
    while True:
        with suppress(BaseException):
            sleep()


def wait_for_grandchild() -> None:
    tell("work")
    child = subprocess.Popen(["sh", "-c", "sleep 1000 & echo $!; wait"], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    tell("child", child.pid)
    tell("grandchild", int(child.stdout.readline()))
    child.wait()


def multiply(count: int) -> None:
    """Become many, which ignore every polite signal, each in a session of its own."""
    tell("work")
    for _ in range(count):
        if os.fork() == 0:
            os.setsid()
            ignore_everything()
    swallow_everything()


def leave_daemon_behind() -> str:
    """End, but not without leaving behind a process that has cut all ties."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            os.write(writer, str(os.getpid()).encode())
            os.closerange(0, 100)
            time.sleep(1_000)
        os._exit(0)
    tell("daemon", int(os.read(reader, 20)))
    return "left"


def sleep_with_daemon() -> None:
    leave_daemon_behind()
    sleep()


def leave_thread_behind() -> str:
    threading.Thread(target=time.sleep, args=[1_000]).start()
    return "left"


def exit_at_once(code: int) -> None:
    print("the last words", flush=True)
    current_job().log("logged before")
    os._exit(code)


def crash() -> None:
    ctypes.string_at(0)


def end_by(number: int) -> None:
    if number == signal.SIGTERM:
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    time.sleep(1_000)


def eat_memory() -> int:
    eaten: list[bytes] = []
    while True:
        eaten.append(b"x" * (16 * 1024 * 1024))


def reserve_addresses() -> str:
    """As libraries do that divide it among their threads later."""
    with mmap.mmap(-1, 8 << 30):
        time.sleep(0.2)
    return "done"


def share_memory() -> str:
    """Have children that hold nothing of their own."""
    eaten = b"x" * (100 * 1024 * 1024)
    children = [os.fork() for _ in range(1)]
    if 0 not in children:
        children.append(os.fork())
    time.sleep(1.5)
    if 0 in children:
        os._exit(len(eaten) and 0)
    for pid in children:
        os.waitpid(pid, 0)
    return "done"


def eat_memory_together() -> None:
    """Hold in three processes what each of them may."""
    for _ in range(2):
        if os.fork() == 0:
            break
    eaten = b"x" * (120 * 1024 * 1024)
    time.sleep(1_000)
    print(len(eaten))


def write_everywhere() -> None:
    print("printed")
    print("complained", file=sys.stderr)
    os.system("echo from a program")
    ctypes.CDLL(None).puts(b"\nfrom C")
    logging.basicConfig()
    logging.getLogger("tests.logger").warning("logged %d", 7)
    logging.getLogger("tests.logger").info("not logged")
    try:
        fail("logged too")
    except ValueError:
        logging.getLogger("tests.logger").exception("it failed")
    print("no line break", end="")


def log_odd_lines() -> None:
    for text in ("\N{GRINNING FACE}" * 3_000, "\0" * 3_000, "\udc80 alone", "two\nlines\n"):
        current_job().log(text, source="s" * 1_000)


def write_without_end(count: int) -> None:
    for _ in range(count):
        os.write(1, b"x" * 1_000_000)


def hurry(count: int) -> float:
    """How long it takes to report progress so often."""
    began = time.perf_counter()
    job = current_job()
    for step in range(1, count + 1):
        job.progress(step, count)
    return time.perf_counter() - began


def report_then_hold() -> None:
    """Report twice at once, and then let nobody else do anything but wait."""
    job = current_job()
    job.progress(1)
    job.progress(2)
    job.wait_cancel_requested()


def fork_and_end(count: int) -> set[int]:
    """How children end that are ended as soon as there are any."""
    codes = set()
    for _ in range(count):
        pid = os.fork()
        if pid == 0:
            time.sleep(10)
            os._exit(0)
        os.kill(pid, signal.SIGTERM)
        codes.add(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    return codes


def chatter_when_asked(count: int) -> None:
    try:
        sleep()
    finally:
        for number in range(count):
            current_job().log(str(number))


def use_pool(method: str) -> list[int]:
    with get_context(method).Pool(2) as pool:  # its end sends its processes SIGTERM
        return pool.map(abs, [-1, -2, -3])


def describe_process() -> dict[str, object]:
    job = current_job()
    return {
        "id": job.id,
        "attempt": job.attempt,
        "pid": os.getpid(),
        "cwd": str(Path.cwd()),
        "env": dict(os.environ),
        "path": sys.path,
        "argv": sys.argv,
        "descriptors": sorted(int(path.name) for path in Path("/proc/self/fd").iterdir()),
        "stdin": sys.stdin.read(),
        "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        "interrupts": signal.getsignal(signal.SIGINT) is signal.default_int_handler,
        "threads": threading.active_count(),
    }


def give_lock() -> object:
    return threading.Lock()


def give_text(count: int) -> str:
    return "x" * count


def try_later() -> None:
    raise RetryAfter(7.5)


class Shape:
    """Something that can be sent to another process, and has methods."""

    def __init__(self, sides: int) -> None:
        self.sides = sides

    def count(self) -> int:
        return self.sides


class Unreadable:
    """Can be written, and not read again."""

    def __reduce__(self) -> tuple[object, ...]:
        return fail, ("it cannot be read",)


def import_by_name(name: str) -> str:
    return importlib.import_module(name).__name__


def draw() -> list[float]:
    """A random number of Python's own, and one of what passes for NumPy."""
    numpy = importlib.import_module("numpy.random")
    return [random.random(), numpy.generator.random()]
