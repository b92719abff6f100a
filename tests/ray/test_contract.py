from contextlib import AbstractContextManager

import pytest

from servicekit.jobs.cluster import RayCluster
from servicekit.jobs.options import RunnerKind
from servicekit.ports import Runner
from servicekit.runners.cluster.launcher import ClusterLauncher
from servicekit.runners.process import ProcessRunner
from servicekit.testing.runners import (
    ASYNC_FUNCTIONS,
    FUNCTIONS,
    CrashContract,
    KillContract,
    PythonRunnerContract,
    StartProblemContract,
)
from tests.hindering import without_descriptors
from tests.ray.cluster import needs_ray, shared_cluster, wait_free


@needs_ray
class TestRayRunner(PythonRunnerContract, StartProblemContract, KillContract, CrashContract):
    kind = RunnerKind.RAY
    targets = FUNCTIONS

    @classmethod
    def create_runner(cls) -> Runner:
        return ProcessRunner(ClusterLauncher(RayCluster(shared_cluster().address)))

    @pytest.fixture
    def runner(self, shared_runner: ProcessRunner) -> Runner:
        return shared_runner

    async def test_an_attempt_takes_its_room_until_it_has_ended(self, runner: Runner) -> None:
        await wait_free(runner)  # what the tests before have run counts a while longer
        await super().test_an_attempt_takes_its_room_until_it_has_ended(runner)

    def hinder(self) -> AbstractContextManager[None]:
        return without_descriptors()


class TestRayRunnerWithAsyncFunctions(TestRayRunner):
    targets = ASYNC_FUNCTIONS
    skips = dict.fromkeys(
        (
            "test_an_open_runner_runs_jobs_and_can_be_opened_again",
            "test_a_closed_runner_still_runs_jobs",
            "test_what_cannot_begin_has_not_failed_and_begins_when_it_can",
        ),
        "it connects to the cluster anew, which takes seconds and has nothing to do with the kind of function",
    )
