"""The fixture `jobs`, in a project that tests its service with pytest."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

_CONFTEST = """
import pytest

pytest_plugins = ["servicekit.testing.fixtures"]


@pytest.fixture
def anyio_backend():
    return "asyncio"
"""
_TESTS = """
import pytest


async def multiply(first, second):
    return first * second


{mark}
async def test_a_job_has_its_result(jobs):
    job_id = await jobs.with_options(delay=3600).add_job(multiply, 2, 3)
    await jobs.drain()
    assert await jobs.get_result(job_id) == 6


{mark}
async def test_what_a_test_leaves_behind_does_no_harm(jobs):
    await jobs.add_job(jobs.clock.sleep, 3600)
    await jobs.with_options(delay=3600).add_job(multiply(2, 3))
    await jobs.advance(1)


{mark}
async def test_each_test_has_jobs_of_its_own(jobs):
    assert await jobs.get_all_records() == []


def test_a_test_that_is_not_asynchronous_can_have_it(jobs):
    assert jobs.running_count == 0
"""
_ASYNCIO = ["-o", "asyncio_default_fixture_loop_scope=function"]


@pytest.mark.parametrize(
    ("mark", "options"),
    [
        ("", [*_ASYNCIO, "-o", "asyncio_mode=auto"]),
        ("", [*_ASYNCIO, "-o", "asyncio_mode=auto", "-o", "asyncio_default_test_loop_scope=session"]),
        ("@pytest.mark.asyncio", [*_ASYNCIO, "-o", "asyncio_mode=strict"]),
        ("@pytest.mark.anyio", ["-p", "no:asyncio"]),
    ],
    ids=["pytest-asyncio, auto", "one event loop for all tests", "pytest-asyncio, strict", "anyio"],
)
def test_it_serves_every_plugin_for_asynchronous_tests(mark: str, options: list[str], tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(_CONFTEST)
    (tmp_path / "test_jobs.py").write_text(_TESTS.format(mark=mark))
    command = [sys.executable, "-m", "pytest", "-W", "error", "-p", "no:cacheprovider", "--rootdir", ".", *options]
    environment = os.environ | {"PYTEST_ADDOPTS": ""}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=50, check=False
    )
    assert "4 passed" in done.stdout, done.stdout + done.stderr
    assert done.returncode == 0
