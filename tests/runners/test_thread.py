import threading
from contextlib import AbstractContextManager
from queue import Empty, SimpleQueue

import pytest

from servicekit.jobs.options import RunnerKind
from servicekit.ports import Runner
from servicekit.runners import thread_pool
from servicekit.runners.coroutine import CoroutineRunner
from servicekit.runners.thread import ThreadRunner
from servicekit.testing.runners import ASYNC_FUNCTIONS, FUNCTIONS, PythonRunnerContract, StartProblemContract
from tests.hindering import without_threads


class TestThreadRunner(PythonRunnerContract, StartProblemContract):
    kind = RunnerKind.THREAD
    targets = FUNCTIONS

    @classmethod
    def create_runner(cls) -> Runner:
        return ThreadRunner(CoroutineRunner())

    def hinder(self) -> AbstractContextManager[None]:
        return without_threads()


class TestThreadRunnerWithCoroutines(TestThreadRunner):
    """A plain callable may turn out to give a coroutine."""

    targets = ASYNC_FUNCTIONS


def test_a_thread_that_has_waited_for_long_does_the_work_that_it_was_promised(monkeypatch: pytest.MonkeyPatch) -> None:
    has_waited, has_worked = threading.Event(), threading.Event()

    class LateQueue(SimpleQueue):
        def put(self, item: object, block: bool = True, timeout: float | None = None) -> None:
            assert has_waited.wait(60)
            super().put(item)

        def get(self, block: bool = True, timeout: float | None = None) -> object:
            try:
                return super().get(block, timeout)
            except Empty:
                has_waited.set()
                raise

    monkeypatch.setattr(thread_pool, "_IDLE_SECONDS", 0.01)
    monkeypatch.setattr(thread_pool, "SimpleQueue", LateQueue)
    thread_pool.ThreadPool().start(has_worked.set)
    assert has_worked.wait(60)
