"""The crash test in a short form: see the package."""

import random
from pathlib import Path

import pytest

from tests.crash.checks import check
from tests.crash.storm import Storm

SECONDS = 30
KILLS = 30


@pytest.mark.timeout(400)
async def test_nothing_is_lost_or_run_twice_while_processes_are_killed(tmp_path: Path) -> None:
    seed = random.randrange(1_000_000)
    print(f"{seed=}")
    storm = Storm(tmp_path, seed)
    await storm.rage(SECONDS, KILLS)
    findings = check(storm)
    print(findings.figures)
    assert findings.problems == []
    assert storm.story.kills >= KILLS // 2
    assert any(reader.connections > 1 for reader in storm.story.readers)
