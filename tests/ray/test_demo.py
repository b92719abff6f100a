"""`make demo-cluster CLUSTER=ray`, as a newcomer would see it, and what is left of it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ray.cluster import needs_ray

pytestmark = [needs_ray, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]


def test_a_training_goes_on_at_another_node_when_its_own_is_killed(tmp_path: Path) -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "tools.demo_ray", "--steps", "10"],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert shown.returncode == 0, shown.stdout + shown.stderr
    (killed,) = re.findall(r"all processes of node (one|two) are killed", shown.stdout)
    (last,) = re.findall(r"completed  attempt \d  on (one|two): epoch 10", shown.stdout)
    assert last != killed
    assert "its node was lost" in shown.stdout
    assert shown.stdout.endswith("Nothing is left of them.\n")
    assert list(tmp_path.iterdir()) == []
