"""Queues, as users look at them and pause them."""

from collections.abc import Mapping
from dataclasses import replace

from servicekit.engine.lifecycle import Engine
from servicekit.jobs.options import check_text
from servicekit.jobs.queues import QueueRecord


class Queues:
    """The queues of a scheduler: `scheduler.queues`."""

    def __init__(self, engine: Engine, limits: Mapping[str, int]) -> None:
        self._engine = engine
        self._limits = limits

    async def list(self) -> "list[QueueRecord]":
        """Every queue that has a limit here, is paused, or has jobs pending or running, by name."""
        found = {record.name: record for record in await (await self._engine.open()).list_queues()}
        declared = {name: found.get(name) or QueueRecord(name, False, 0, 0) for name in self._limits}
        records = {**found, **{name: replace(declared[name], max_concurrency=self._limits[name]) for name in declared}}
        return [records[name] for name in sorted(records)]

    async def pause(self, name: str) -> None:
        """Start no more jobs of this queue, in any process, until it is resumed. What runs already goes on."""
        check_text("queue", name)
        await (await self._engine.open()).set_queue_paused(name, is_paused=True)

    async def resume(self, name: str) -> None:
        """Start jobs of this queue again."""
        check_text("queue", name)
        await (await self._engine.open()).set_queue_paused(name, is_paused=False)
