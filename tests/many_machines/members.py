"""Processes of one test, each with a scheduler of its own, that do what the test says, and can be killed and stopped.

worker = start(url, max_concurrency=5)
job_ids = worker.call(targets.submit_many, 100)
worker.send(signal.SIGKILL)
"""

import asyncio
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from inspect import isawaitable
from itertools import count
from multiprocessing.connection import Connection
from typing import Any, Final

from servicekit import Retention, Scheduler, create_scheduler
from servicekit.engine.clock import SystemClock
from tests.crash.journal import MEMBER
from tests.many_machines.machines import Machine

TIMEOUT: Final = 300.0  # of what takes seconds: a machine may be very busy
KEEP_ALL: Final = Retention(max_age=None, max_count=None)
"""What is asked for at the end must not have been removed meanwhile."""

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload([__name__, "servicekit.stores.postgres.store"])
_numbers = count(1)


class WrongClock(SystemClock):
    """The clock of a machine that is set wrong."""

    def __init__(self, seconds: float) -> None:
        self._error = timedelta(seconds=seconds)

    def now(self) -> datetime:
        return super().now() + self._error


class Member:
    """A process, from outside. It is ready when its first call is answered, and gone when the test has ended."""

    def __init__(self, url: str, machine: Machine | None = None, **options: Any) -> None:
        self.name = f"member-{next(_numbers)}"
        self._connection, theirs = _context.Pipe()
        self._process = _context.Process(target=_run, args=(url, self.name, machine, options, theirs), name=self.name)
        self._process.start()
        theirs.close()
        self._calls = count(1)
        self._answers: dict[int, Future[Any]] = {}
        self._lock = threading.Lock()
        threading.Thread(target=self._hear, name=self.name, daemon=True).start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def begin(self, function: Callable[..., object], *args: object, **kwargs: object) -> "Future[Any]":
        """Have the process call `function(scheduler, ...)`, a coroutine function or a plain one of some module."""
        number, future = next(self._calls), Future[Any]()
        with self._lock:
            self._answers[number] = future
        self._connection.send((number, partial(function, **kwargs), args))
        return future

    def call(self, function: Callable[..., object], *args: object, **kwargs: object) -> Any:
        """As `begin`, and wait for the answer."""
        return self.begin(function, *args, **kwargs).result(TIMEOUT)

    def wait_ready(self) -> "Member":
        self.call(_do_nothing)
        return self

    def send(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def stop(self, timeout: float = TIMEOUT) -> None:
        """Stop it as an operator does, and wait for its end."""
        self.send(signal.SIGTERM)
        self._process.join(timeout)
        assert self._process.exitcode == 0, f"{self.name}: {self._process.exitcode}"

    def kill(self) -> None:
        self.send(signal.SIGKILL)
        self._process.join()

    def _hear(self) -> None:
        with suppress(EOFError, OSError):
            while True:
                number, is_error, value = self._connection.recv()
                future = self._answers.pop(number)
                (future.set_exception if is_error else future.set_result)(value)
        with self._lock:
            for future in self._answers.values():
                future.set_exception(EOFError(f"{self.name} has ended"))


def _do_nothing(_scheduler: Scheduler) -> None:
    pass


def _run(url: str, name: str, machine: Machine | None, options: dict[str, Any], connection: Connection) -> None:
    if machine is not None:
        machine.enter()
    os.environ[MEMBER] = name
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=[parent.sentinel], daemon=True).start()
    asyncio.run(_work(url, options, connection))


def _end_with(sentinel: int) -> None:
    multiprocessing.connection.wait([sentinel])
    os._exit(1)


async def _work(url: str, options: dict[str, Any], connection: Connection) -> None:
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    tasks: set[asyncio.Task[None]] = set()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)

    def hear() -> None:
        task = loop.create_task(_answer(scheduler, connection, *connection.recv()))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async with create_scheduler(
        url, **{"shutdown_grace": 0, "log_jobs": False, "retention": KEEP_ALL, **options}
    ) as scheduler:
        loop.add_reader(connection.fileno(), hear)
        await stopped.wait()
        loop.remove_reader(connection.fileno())


async def _answer(
    scheduler: Scheduler, connection: Connection, number: int, function: Callable[..., object], args: tuple[object, ...]
) -> None:
    try:
        value = function(scheduler, *args)
        if isawaitable(value):
            value = await value
    except Exception as error:
        connection.send((number, True, error))
    else:
        connection.send((number, False, value))
