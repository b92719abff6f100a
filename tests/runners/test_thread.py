from servicekit.jobs.options import RunnerKind
from servicekit.ports import Runner
from servicekit.runners.coroutine import CoroutineRunner
from servicekit.runners.thread import ThreadRunner
from tests.runners.contract import ASYNC_FUNCTIONS, FUNCTIONS, PythonRunnerContract


class TestThreadRunner(PythonRunnerContract):
    kind = RunnerKind.THREAD
    targets = FUNCTIONS

    @classmethod
    def create_runner(cls) -> Runner:
        return ThreadRunner(CoroutineRunner())


class TestThreadRunnerWithCoroutines(TestThreadRunner):
    """A plain callable may turn out to give a coroutine."""

    targets = ASYNC_FUNCTIONS
