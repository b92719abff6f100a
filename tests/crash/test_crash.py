"""The crash test in a short form: see the package."""

import asyncio
import random
from pathlib import Path

import pytest

from tests.crash.checks import check
from tests.crash.many_machines import prepare_storm
from tests.crash.storm import Storm
from tests.many_machines.figures import tell
from tests.needs import needs

MOST_SECONDS = 300  # of what takes ten: a machine may be very busy
KILLS = 30


MANY_MACHINES_KILLS = 10


@needs("postgresql")
@pytest.mark.timeout(600)
async def test_nothing_is_lost_or_run_twice_while_the_server_and_its_clients_are_killed(tmp_path: Path) -> None:
    seed = random.randrange(1_000_000)
    print(f"{seed=}")
    with prepare_storm(tmp_path, seed) as storm:
        await storm.rage(MOST_SECONDS, lambda: storm.story.kills >= MANY_MACHINES_KILLS)
        findings = await asyncio.to_thread(check, storm)
    print(findings.figures)
    tell(f"{storm.story.kills} kills, {len(storm.story.accepted)} jobs, violations: {len(findings.problems)}")
    assert findings.problems == []


@pytest.mark.timeout(600)
async def test_nothing_is_lost_or_run_twice_while_processes_are_killed(tmp_path: Path) -> None:
    seed = random.randrange(1_000_000)
    print(f"{seed=}")
    storm = Storm(tmp_path, seed)

    def is_enough() -> bool:
        return storm.story.kills >= KILLS and any(reader.connections > 1 for reader in storm.story.readers)

    await storm.rage(MOST_SECONDS, is_enough)
    findings = await asyncio.to_thread(check, storm)  # it reads files, and artifacts do not let it do so here
    print(findings.figures)
    assert findings.problems == []
    assert is_enough()
