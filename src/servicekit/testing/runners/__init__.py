"""What every runner promises, as tests for the authors of a runner.

    RunnerContract        what every runner promises
    PythonRunnerContract  the same, and what a runner of functions promises as well
    StartProblemContract  what a runner promises whose work can fail to begin
    KillContract          what a runner promises that can kill its work
    CrashContract         what a runner of functions promises whose work can end with no outcome
    RunnerTargets         what a runner is tried with
    PythonTargets         what a runner of functions is tried with: `FUNCTIONS` and `ASYNC_FUNCTIONS` are there
    Trial                 one job of a runner, for tests of your own

A runner's own test module has a class for what it promises that overrides `create_runner`. `skips` names tests that are
left out, each with the reason. The tests need pytest, and pytest-asyncio in its `auto` mode: the extra `testing`.

What they hold a runner to stands in `servicekit.ports.runner`.
"""

from servicekit.errors import MissingExtra

try:
    import pytest
except ModuleNotFoundError as error:
    raise MissingExtra("The suite for runners", "testing") from error

# pytest shows what an `assert` has compared only in modules that it knows before they are imported.
pytest.register_assert_rewrite("servicekit.testing.runners.contract", "servicekit.testing.runners.trial")

from servicekit.testing.runners.contract import (
    ASYNC_FUNCTIONS,
    FUNCTIONS,
    CrashContract,
    KillContract,
    PythonRunnerContract,
    PythonTargets,
    RunnerContract,
    RunnerTargets,
    RunnerTests,
    StartProblemContract,
)
from servicekit.testing.runners.trial import DROPPED, JOB_ID, Trial

__all__ = [
    "ASYNC_FUNCTIONS", "DROPPED", "FUNCTIONS", "JOB_ID", "CrashContract", "KillContract", "PythonRunnerContract",
    "PythonTargets", "RunnerContract", "RunnerTargets", "RunnerTests", "StartProblemContract", "Trial",
]  # fmt: skip
