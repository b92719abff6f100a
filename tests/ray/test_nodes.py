"""What a node of a cluster promises beyond the contract."""

import resource
from pathlib import Path

import pytest

from servicekit.jobs.cluster import RayCluster
from servicekit.jobs.log_lines import MAX_LINE_CHARACTERS
from servicekit.jobs.options import JobOptions, RunnerKind
from servicekit.jobs.outcome import CANCELED
from servicekit.jobs.resources import Resources
from servicekit.jobs.status import EndedBy, Transition
from servicekit.ports import Runner
from servicekit.runners.cluster.launcher import ClusterLauncher
from servicekit.runners.outcomes import MAX_RESULT_BYTES
from servicekit.runners.process import ProcessRunner
from servicekit.testing.runners import DROPPED
from tests.ray import targets
from tests.ray.cluster import CPUS, GPUS, SECOND, again, needs_ray, shared_cluster, wait_free
from tests.runners import targets as process_targets
from tests.runners.trial import Trial, is_running

pytestmark = needs_ray


@pytest.fixture
def runner(shared_runner: ProcessRunner) -> Runner:
    return shared_runner


def needing(cpus: float) -> JobOptions:
    return JobOptions(resources=Resources(cpus=cpus), runner=RunnerKind.RAY)


async def test_a_target_finds_the_node_around_it_and_nothing_of_the_service(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_SERVICE", "yes")
    result = (await Trial(runner, process_targets.describe_process).end()).result
    assert isinstance(result, dict)
    assert "SECRET_OF_THE_SERVICE" not in result["env"]
    assert result["env"]["SERVICEKIT_ATTEMPT"] == "1"
    assert result["env"]["NODE"] in ("head", SECOND)
    assert len(result["descriptors"]) <= 7


async def test_four_jobs_on_two_nodes_report_in_order_at_once(runner: Runner) -> None:
    await wait_free(runner)
    # Each node has room for two of these.
    trials = [Trial(runner, targets.count_to, 30, options=needing(CPUS / 2)).start() for _ in range(4)]
    nodes = {(await trial.end()).result for trial in trials}
    assert len(nodes) == 2
    for trial in trials:
        assert trial.texts("stdout") == [f"printed {number}" for number in range(1, 31)]
        assert trial.texts("log") == [f"logged {number}" for number in range(1, 31)]
        assert trial.progress[-1].done == 30


async def test_a_job_finds_the_gpus_that_are_its_own(runner: Runner) -> None:
    await wait_free(runner)
    options = JobOptions(resources=Resources(gpus=GPUS), runner=RunnerKind.RAY)
    assert (await Trial(runner, targets.tell_gpus, options=options).end()).result == [SECOND, "0,1"]
    options = JobOptions(resources=Resources(gpus=GPUS + 1), runner=RunnerKind.RAY)
    outcome = await Trial(runner, targets.tell_gpus, options=options).end()
    assert "no node of the cluster has" in str(outcome.error)
    assert f"{GPUS + 1} GPUs" in str(outcome.error)


async def test_a_job_that_prints_without_end_stays_bounded(runner: Runner) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    trial = Trial(runner, targets.print_flood, 100)
    assert (await trial.end()).transition is Transition.COMPLETE
    assert len(trial.lines) < 1_000_000
    assert any("left out" in line.text for line in trial.lines)
    assert max(len(text) for text in trial.texts()) <= MAX_LINE_CHARACTERS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # all lines would take a gigabyte


async def test_a_result_over_the_bound_is_not_kept(runner: Runner) -> None:
    trial = Trial(runner, process_targets.give_text, MAX_RESULT_BYTES)
    outcome = await trial.end()
    assert (outcome.transition, outcome.result) == (Transition.COMPLETE, DROPPED)
    assert any("The result is not kept" in text for text in trial.texts())


async def test_a_large_result_arrives(runner: Runner) -> None:
    outcome = await Trial(runner, process_targets.give, "0123456789" * 1_000_000).end()
    assert outcome.result == "0123456789" * 1_000_000


async def test_a_job_that_holds_too_much_memory_is_killed(runner: Runner) -> None:
    options = JobOptions(max_memory_bytes=200_000_000)
    outcome = await Trial(runner, process_targets.eat_memory, options=options).end()
    assert outcome.ended_by is EndedBy.CRASH
    assert str(outcome.error).startswith("MemoryLimitExceeded")


async def test_a_job_submits_another_job(runner: Runner) -> None:
    trial = Trial(runner, targets.submit_child)
    assert (await trial.end()).result == "job 1"
    assert [call.target for call in trial.calls] == [targets.tell_where]


async def test_a_canceled_job_has_ended_when_its_children_and_daemons_have(runner: Runner) -> None:
    for target in (process_targets.sleep_with_daemon, targets.sleep_on_node):
        trial = Trial(runner, target).start()
        who = "daemon" if target is process_targets.sleep_with_daemon else "child"
        pids = [await trial.wait_pid(who), await trial.wait_pid("work")]
        trial.cancel()
        assert await trial.end() == CANCELED
        assert not any(map(is_running, pids))


async def test_a_job_has_ended_when_its_daemons_have(runner: Runner) -> None:
    trial = Trial(runner, process_targets.leave_daemon_behind)
    assert (await trial.end()).result == "left"
    assert not is_running(await trial.wait_pid("daemon"))


async def test_what_finds_no_room_has_not_begun_and_what_no_node_can_hold_fails(runner: Runner) -> None:
    await wait_free(runner)
    holding = [Trial(runner, process_targets.sleep, options=needing(CPUS)).start() for _ in range(2)]
    for trial in holding:
        await trial.wait_pid("work")
    outcome = await Trial(runner, process_targets.give, 1).end()
    assert outcome.transition is Transition.RELEASE
    assert outcome.error == "the cluster has no node with 1 CPU free now"
    outcome = await Trial(runner, process_targets.give, 1, options=needing(CPUS + 1)).end()
    assert outcome.transition is Transition.FAIL
    assert f"no node of the cluster has {CPUS + 1} CPUs: the closest node has {CPUS} CPUs" in str(outcome.error)
    for trial in holding:
        trial.cancel()
        assert await trial.end() == CANCELED


async def test_code_that_the_nodes_do_not_have_is_a_clear_failure_and_a_working_directory_helps(
    runner: Runner, tmp_path: Path
) -> None:
    (tmp_path / "only_in_working_directory.py").touch()
    outcome = await Trial(runner, targets.import_late, "only_in_working_directory").end()
    assert (outcome.transition, outcome.ended_by) == (Transition.FAIL, EndedBy.TARGET)
    assert outcome.error == "ModuleNotFoundError: No module named 'only_in_working_directory'"
    cluster = RayCluster(address=shared_cluster().address, runtime_env={"working_dir": str(tmp_path)})
    equipped = ProcessRunner(ClusterLauncher(cluster))
    assert (await Trial(equipped, targets.import_late, "only_in_working_directory").end()).result
    equipped.close()


async def test_an_environment_that_no_node_can_prepare_is_told_by_its_error_alone() -> None:
    environment = {"working_dir": "https://127.0.0.1:9/code.zip"}
    cluster = RayCluster(address=shared_cluster().address, runtime_env=environment)
    runner = ProcessRunner(ClusterLauncher(cluster))
    outcome = await Trial(runner, targets.tell_where).end()
    assert outcome.transition is Transition.RELEASE
    assert "its nodes cannot prepare `runtime_env`: " in str(outcome.error)
    assert "Traceback" not in str(outcome.error)
    runner.close()


async def test_the_same_works_from_anywhere_by_the_client_of_ray() -> None:
    runner = ProcessRunner(ClusterLauncher(RayCluster(address=shared_cluster().client_address)))
    await again(runner)
    trial = Trial(runner, process_targets.obey).start()
    await trial.wait_line("began")
    trial.cancel()
    assert await trial.end() == CANCELED
    assert trial.texts() == ["began", "tidied up"]
    assert (await Trial(runner, process_targets.give, "given").end()).result == "given"
    runner.close()
