"""What it takes to import `servicekit.api`: programs of their own, since it happens once in each."""

import subprocess
import sys

import pytest


def run(program: str) -> list[str]:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()


def test_the_garbage_collector_pauses_meanwhile() -> None:
    program = """
import fastapi, gc
collected = []
gc.callbacks.append(lambda phase, info: collected.append(info["generation"]))
import servicekit.api
print(len(collected) < 10, gc.isenabled())
"""
    assert run(program) == ["True", "True"]


def test_a_garbage_collector_that_is_off_stays_off() -> None:
    assert run("import gc; gc.disable(); import servicekit.api; print(gc.isenabled())") == ["False"]


@pytest.mark.parametrize(
    "module",
    [
        "cronsim", "difflib", "itsdangerous", "prometheus_client", "sqlite3",
        "servicekit.artifacts", "servicekit.ml", "servicekit.tasks",
    ],
)  # fmt: skip
def test_what_few_services_need_is_imported_by_these_only(module: str) -> None:
    program = "import fastapi, sys; before = {*sys.modules}; import servicekit.api; print({*sys.modules} - before)"
    assert repr(module) not in " ".join(run(program))
