"""The suite for those who write a store: what it is told, and what it says."""

import subprocess
import sys
from pathlib import Path

import pytest

from servicekit.testing.stores import BoundedContract, JobStoreContract, StoreTests

CONFIGURATION = "[tool.pytest.ini_options]\nasyncio_mode = 'auto'\nasyncio_default_fixture_loop_scope = 'function'\n"
FORGETFUL = """
from servicekit.stores.memory import MemoryStore
from servicekit.testing.stores import JobStoreContract

class TestForgetful(JobStoreContract):
    skips = {"test_the_oldest_are_claimed_first_and_once": "it has no order"}

    def create_store(self, setting):
        store = MemoryStore(setting.publisher, setting.clock, setting.retention, scan_limit=setting.scan_limit)
        insert = store.submissions.insert

        async def forget(submission):
            await insert(submission)
            await store.submissions.delete(submission.id)
            return submission.id

        store.submissions.insert = forget
        return store
"""


def test_a_store_that_forgets_jobs_fails_and_a_test_that_is_left_out_says_why(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(CONFIGURATION)
    (tmp_path / "test_forgetful.py").write_text(FORGETFUL)
    names = "a_whole_life_is_recorded or oldest_are_claimed_first_and_once"
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "-k", names]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "1 failed, 1 skipped" in ended.stdout
    assert "it has no order" in ended.stdout


def test_what_is_no_test_of_the_suite_cannot_be_left_out() -> None:
    with pytest.raises(TypeError, match="skips test_nothing, which is none of its tests"):
        type("Wrong", (StoreTests,), {"skips": {"test_nothing": "it is not there"}})


def test_a_part_of_the_suite_says_which_bounds_it_needs() -> None:
    assert (BoundedContract.max_pending, JobStoreContract.max_pending) == (3, None)
