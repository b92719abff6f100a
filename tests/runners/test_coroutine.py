from servicekit.jobs.options import RunnerKind
from servicekit.ports import Runner
from servicekit.runners.coroutine import CoroutineRunner
from servicekit.testing.runners import ASYNC_FUNCTIONS, PythonRunnerContract


class TestCoroutineRunner(PythonRunnerContract):
    kind = RunnerKind.COROUTINE
    targets = ASYNC_FUNCTIONS

    @classmethod
    def create_runner(cls) -> Runner:
        return CoroutineRunner()
