"""The benchmarks run. What they measure is nobody's business here: a test has no clock."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(300)
def test_every_benchmark_runs_and_gives_figures(tmp_path: Path) -> None:
    report = tmp_path / "bench.json"
    command = [sys.executable, "-m", "benchmarks", "--quick", "--without-peer", "--json", str(report)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    figures = json.loads(report.read_text())["figures"]
    assert len(figures) > 10
    assert [figure["name"] for figure in figures if not (figure["ours"] and figure["ours"] >= 0)] == []
    (worst,) = [figure for figure in figures if figure["name"].endswith("a trivial endpoint meanwhile, worst")]
    assert worst["target"] == "≤ 10"
    names = [path.stem.replace("_", "-") for path in (ROOT / "benchmarks" / "cases").glob("[a-z]*.py")]
    assert [name for name in names if f"Measuring {name} ..." not in done.stderr] == []
