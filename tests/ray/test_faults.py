"""What happens when a part of the cluster, the gateway or the service dies."""

import asyncio
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from servicekit.jobs.cluster import RayCluster
from servicekit.jobs.options import JobOptions, RunnerKind
from servicekit.jobs.outcome import CANCELED, Outcome
from servicekit.jobs.resources import Resources
from servicekit.jobs.status import EndedBy, Transition
from servicekit.runners.cluster.launcher import ClusterLauncher
from servicekit.runners.process import ProcessRunner
from tests.ports import find_free_port
from tests.ray import targets
from tests.ray.cluster import CPUS, SECOND, again, needs_ray, run_cluster, shared_cluster, wait_free
from tests.runners.trial import Trial, children_of, is_running, parent_of, wait_gone

pytestmark = needs_ray

SERVICE = Path(__file__).with_name("service.py")


@pytest.fixture
def runner(shared_runner: ProcessRunner) -> ProcessRunner:
    return shared_runner


async def test_a_task_that_is_killed_is_a_crash_of_its_attempt_alone(runner: ProcessRunner) -> None:
    trial = Trial(runner, targets.sleep_on_node).start()
    pids = [await trial.wait_pid(who) for who in ("child", "task", "work")]
    os.kill(pids[1], signal.SIGKILL)
    outcome = await trial.end()
    assert (outcome.transition, outcome.ended_by) == (Transition.FAIL, EndedBy.CRASH)
    assert "the process of the cluster that ran it was killed" in str(outcome.error)
    await wait_gone(*pids)
    assert (await Trial(runner, targets.tell_where).end()).transition is Transition.COMPLETE


async def test_a_work_that_has_stopped_its_supervisor_and_its_task_is_gone_when_its_attempt_has_ended(
    runner: ProcessRunner,
) -> None:
    trial = Trial(runner, targets.sleep_on_node, options=JobOptions(kill_grace=0.1, runner=RunnerKind.RAY)).start()
    child, task, work = [await trial.wait_pid(who) for who in ("child", "task", "work")]
    supervisor = parent_of(work)
    for pid in (supervisor, task):
        os.kill(pid, signal.SIGSTOP)
    try:
        trial.cancel()
        assert await trial.end() == CANCELED
        assert not any(map(is_running, (child, work, supervisor)))
    finally:
        with suppress(ProcessLookupError):
            os.kill(supervisor, signal.SIGCONT)


async def test_when_the_gateway_is_killed_its_attempts_have_crashed_once_nothing_is_left(
    runner: ProcessRunner,
) -> None:
    trial = Trial(runner, targets.sleep_on_node).start()
    pids = [await trial.wait_pid(who) for who in ("child", "task", "work")]
    os.kill(gateway_of(runner), signal.SIGKILL)
    outcome = await trial.end()
    assert not any(map(is_running, pids))
    assert (outcome.transition, outcome.ended_by) == (Transition.FAIL, EndedBy.CRASH)
    assert "the process that speaks to the cluster has ended" in str(outcome.error)
    assert (await again(runner)).transition is Transition.COMPLETE


@pytest.mark.parametrize("has_client", [False, True])
async def test_nothing_is_left_of_the_work_of_a_service_that_was_killed(*, has_client: bool) -> None:
    cluster = shared_cluster()
    address = cluster.client_address if has_client else cluster.address
    service = await asyncio.create_subprocess_exec(
        sys.executable,
        SERVICE,
        address,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    )
    assert service.stdout is not None
    pids = [int(pid) for pid in (await service.stdout.readline()).split()]
    assert len(pids) == 3
    (gateway,) = find_gateways(service.pid)
    service.kill()
    await service.wait()
    await wait_gone(*pids, gateway)


@pytest.mark.timeout(300)  # three clusters, one after the other
async def test_a_cluster_that_loses_a_node_then_its_head_and_comes_again() -> None:
    port = find_free_port()
    runner = ProcessRunner(ClusterLauncher(RayCluster(address=f"127.0.0.1:{port}")))
    runner.open()
    outcome = await Trial(runner, targets.tell_where).end()
    assert outcome.transition is Transition.RELEASE
    assert "the cluster cannot be reached" in str(outcome.error)
    assert f"The cluster 127.0.0.1:{port} has not been reached since" in str(runner.find_notice())
    with run_cluster(port=port) as cluster:
        options = JobOptions(resources=Resources(cpus=CPUS), runner=RunnerKind.RAY)
        assert (await again(runner)).transition is Transition.COMPLETE
        assert runner.find_notice() is None
        await wait_free(runner)
        trials = [Trial(runner, targets.sleep_on_node, options=options).start() for _ in range(2)]
        works = [await trial.wait_pid("work") for trial in trials]
        cluster.kill(SECOND)
        done, _ = await asyncio.wait([end_of(trial) for trial in trials], return_when=asyncio.FIRST_COMPLETED)
        (ended,) = done
        outcome = ended.result()
        assert (outcome.transition, outcome.ended_by) == (Transition.FAIL, EndedBy.CRASH)
        assert "was lost" in str(outcome.error)
        cluster.kill("head")
        for trial in trials:
            outcome = await trial.end()
            assert (outcome.transition, outcome.ended_by) == (Transition.FAIL, EndedBy.CRASH)
        await wait_gone(*works)
    with run_cluster(port=port, nodes=1) as cluster:
        assert (await again(runner)).transition is Transition.COMPLETE
        cluster.order("pretend")
        other = ProcessRunner(ClusterLauncher(RayCluster(address=cluster.address)))
        outcome = await Trial(other, targets.tell_where).end()
        assert outcome.transition is Transition.RELEASE
        assert "Version mismatch" in str(outcome.error)
        other.close()
    runner.close()


@pytest.mark.timeout(300)  # a cluster of its own, which is missed for 17 seconds
async def test_an_order_to_a_cluster_that_is_lost_holds_up_no_other_work() -> None:
    """By Ray Client, whose calls wait for a server that does not answer any more."""
    with run_cluster(nodes=1, has_client=True) as cluster:
        runner = ProcessRunner(ClusterLauncher(RayCluster(address=cluster.client_address)))
        assert (await again(runner)).transition is Transition.COMPLETE
        trials = [Trial(runner, targets.sleep_on_node).start() for _ in range(2)]
        for trial in trials:
            await trial.wait_pid("work")
        cluster.kill("head")
        trials[0].cancel()
        await trials[0].end()
        outcome = await trials[1].end()
        assert (outcome.transition, outcome.ended_by) == (Transition.FAIL, EndedBy.CRASH)
        assert "the cluster was lost" in str(outcome.error)  # or else the gateway was ended, as one that hangs
        runner.close()


def end_of(trial: Trial) -> asyncio.Task[Outcome]:
    assert trial.task is not None
    return trial.task


def gateway_of(runner: ProcessRunner) -> int:
    """The process of its gateway, which has begun. Those of other runners may not have ended yet."""
    link = runner._launcher._link  # type: ignore[attr-defined]
    assert link is not None
    pid: int = link._process.pid
    return pid


def find_gateways(service: int) -> list[int]:
    return [
        pid for pid in children_of(service) if b"runners.cluster.gateway" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
