"""Queues for users: list, pause and resume them."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from servicekit.engine.lifecycle import Engine
from servicekit.jobs.options import DEFAULT_QUEUE, check_queue
from servicekit.jobs.queues import QueueRecord

_MOST_WARNINGS: Final = 100  # a service can make names of queues from what clients send, in any number

_log = logging.getLogger("servicekit.engine")


class Queues:
    """The queues of a scheduler: `scheduler.queues`."""

    def __init__(self, engine: Engine, limits: Mapping[str, int | None]) -> None:
        self._engine = engine
        self._limits = limits
        self._undeclared: set[str] = set()

    def warn_if_undeclared(self, name: str) -> None:
        """Log a warning, once for each name, if queues are declared and this is none of them: it may be mistyped."""
        if not self._limits or name in self._limits or name == DEFAULT_QUEUE or name in self._undeclared:
            return
        if len(self._undeclared) < _MOST_WARNINGS:
            self._undeclared.add(name)
            from difflib import get_close_matches  # late, since only a mistake needs it

            near = get_close_matches(name, self._limits, 1)
            guess = f"Did you mean {near[0]!r}? " if near else ""
            hint = f"{guess}If it is meant, declare it: queues={{{name!r}: None}}"
            _log.warning("The queue %r is not declared, so it has no limit of its own. %s", name, hint)

    async def list(self) -> "list[QueueRecord]":
        """Every queue that has a limit here, is paused, or has jobs pending or running, by name."""
        found = {record.name: record for record in await (await self._engine.open()).queues.list_queues()}
        declared = {name: found.get(name) or QueueRecord(name, False, 0, 0) for name in self._limits}
        records = {**found, **{name: replace(declared[name], max_concurrency=self._limits[name]) for name in declared}}
        return [records[name] for name in sorted(records)]

    async def pause(self, name: str) -> None:
        """Start no more jobs of this queue, in any process, until it is resumed. Running jobs go on."""
        check_queue("queue", name)
        await (await self._engine.open()).queues.set_queue_paused(name, is_paused=True)

    async def resume(self, name: str) -> None:
        """Start jobs of this queue again."""
        check_queue("queue", name)
        await (await self._engine.open()).queues.set_queue_paused(name, is_paused=False)
