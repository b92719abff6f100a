"""The suite for the authors of a runner finds what a runner does wrong."""

import re
import subprocess
import sys
from pathlib import Path

CONFIGURATION = "[tool.pytest.ini_options]\nasyncio_mode = 'auto'\nasyncio_default_fixture_loop_scope = 'function'\n"
BROKEN = """
import asyncio
from contextlib import suppress

from servicekit.jobs.options import RunnerKind
from servicekit.jobs.outcome import CANCELED
from servicekit.runners.coroutine import CoroutineRunner
from servicekit.testing.runners import ASYNC_FUNCTIONS, PythonRunnerContract

WORKS = []  # an event loop holds its tasks weakly

def begin(run):
    WORKS.append(asyncio.create_task(run))
    return WORKS[-1]

class Forgetful(CoroutineRunner):
    async def run(self, submission, job):
        return (await super().run(submission, job))._replace(result=None)

class Deaf(CoroutineRunner):
    async def run(self, submission, job):
        work = begin(super().run(submission, job))
        while not work.done():
            with suppress(asyncio.CancelledError):
                await asyncio.shield(work)
        return work.result()

class Hasty(CoroutineRunner):
    async def run(self, submission, job):
        work = begin(super().run(submission, job))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            asyncio.current_task().uncancel()
            return CANCELED

class Base(PythonRunnerContract):
    kind = RunnerKind.COROUTINE
    targets = ASYNC_FUNCTIONS

class TestForgetful(Base):
    create_runner = Forgetful
    skips = {"test_jobs_run_side_by_side": "it runs one"}

class TestDeaf(Base):
    create_runner = Deaf
    patience_seconds = 2.0  # it never stops
    skips = TestForgetful.skips | {"test_what_a_target_returns_is_the_result": "it is tried with one"}

class TestHasty(Base):
    create_runner = Hasty
    skips = TestForgetful.skips
"""


def test_a_runner_that_loses_results_does_not_stop_jobs_or_says_too_early_that_it_has_fails(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(CONFIGURATION)
    (tmp_path / "test_broken.py").write_text(BROKEN)
    names = "test_what_a_target_returns or test_a_job_that_obeys or test_jobs_run_side_by_side"
    command = [sys.executable, "-m", "pytest", "-q", "-rfs", "-p", "no:cacheprovider", "-k", names]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert re.findall(r"^FAILED test_broken.py::Test(\w+::test_\w+)", ended.stdout, re.MULTILINE) == [
        "Forgetful::test_what_a_target_returns_is_the_result",
        "Deaf::test_a_job_that_obeys_is_canceled_when_its_work_has_ended",
        "Hasty::test_a_job_that_obeys_is_canceled_when_its_work_has_ended",
    ]
    assert "within 2.0 seconds" in ended.stdout
    assert "3 failed, 2 passed, 4 skipped" in ended.stdout
    assert "it runs one" in ended.stdout
