"""The benchmarks run. What they measure is nobody's business here: a test has no clock."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.disk import filesystem_of, temporary_folder

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(1_200)
def test_every_benchmark_runs_and_gives_figures(tmp_path: Path) -> None:
    report, files_before = tmp_path / "bench.json", _job_files()
    command = [sys.executable, "-m", "benchmarks", "--quick", "--without-peer", "--json", str(report)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1_100, check=False)
    assert done.returncode == 0, done.stderr
    figures = json.loads(report.read_text())["figures"]
    assert len(figures) > 10
    # Any number will do, 0 as well: twenty streams may fit into memory that was there before.
    assert [figure["name"] for figure in figures if not isinstance(figure["ours"], int | float)] == []
    (worst,) = [figure for figure in figures if figure["name"].endswith("a trivial endpoint meanwhile, worst")]
    assert worst["target"] == "≤ 10"
    names = [path.stem.replace("_", "-") for path in (ROOT / "benchmarks" / "cases").glob("[a-z]*.py")]
    assert [name for name in names if f"Measuring {name} ..." not in done.stderr] == []
    assert _job_files() <= files_before


def test_servers_and_clients_have_a_core_each() -> None:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("there is one core only")
    client = "from benchmarks.contestants import *; pin_to(CLIENTS_CORE); print(os.sched_getaffinity(0), flush=True)"
    server = "from benchmarks.contestants import *; pin_to(SERVERS_CORE); print(os.sched_getaffinity(0))"
    program = f"{client}; subprocess.run([sys.executable, '-c', {server!r}], check=True)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    of_client, of_server = done.stdout.splitlines()
    assert of_client != of_server


def test_jobs_are_kept_on_a_disk_while_they_are_measured() -> None:
    with temporary_folder() as folder:
        assert filesystem_of(folder) not in ("tmpfs", "ramfs")
    assert not folder.exists()


def _job_files() -> set[Path]:
    return set(ROOT.glob("jobs.db*"))
