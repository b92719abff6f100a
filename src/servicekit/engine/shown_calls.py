"""The calls of jobs, to be shown, and what must not be seen of them."""

import json
from collections import OrderedDict
from collections.abc import Collection
from typing import Final

from servicekit.engine.lifecycle import Engine
from servicekit.engine.running_attempts import RunningAttempts
from servicekit.errors import JobNotFound
from servicekit.jobs.references import find_loaded
from servicekit.jobs.shown_calls import (
    MOST_CHARACTERS,
    MOST_CHARACTERS_OF_TEXT,
    KeptCall,
    keep_call,
    show_arguments,
    show_call,
)

_MOST_CACHED_BYTES: Final = 4 * 1024 * 1024
"""Of shown arguments: who polls a job gets them from here. It is enough for ten thousand jobs as they mostly are."""
_NONE: Final = b"null"


class ShownCalls:
    """Shows the calls of jobs: `scheduler.shown_calls`. What is shown of a job does not change, so it is remembered."""

    def __init__(self, engine: Engine, running: RunningAttempts) -> None:
        self._engine = engine
        self._running = running
        self._mask = engine.mask
        self._cached: OrderedDict[str, bytes] = OrderedDict()
        self._cached_bytes = 0

    async def get_arguments(self, job_id: str) -> dict[str, object] | None:
        """See `Scheduler.get_arguments`."""
        calls = await self._list([job_id], MOST_CHARACTERS)
        if job_id not in calls:
            raise JobNotFound(job_id)
        return show_arguments(calls[job_id], self._mask)

    async def get_arguments_json(self, job_id: str) -> bytes:
        """The same as JSON, for a job that there is; `null` also if it has been deleted meanwhile."""
        found = self._cached.get(job_id)
        if found is not None:
            self._cached.move_to_end(job_id)
            return found
        call = (await self._list([job_id], MOST_CHARACTERS)).get(job_id)
        if call is None:
            return _NONE
        shown = json.dumps(show_arguments(call, self._mask)).encode()
        if not isinstance(call.target, str) or find_loaded(call.target) is not None:  # else names may be known later
            self._remember(job_id, shown)
        return shown

    async def list_texts(self, job_ids: Collection[str], owner: str | None, *, of_all: bool) -> dict[str, str]:
        """Each call as a line of text: of all of these jobs that are kept, or of those of the owner."""
        calls = await self._list(job_ids, MOST_CHARACTERS_OF_TEXT)
        seen = {job_id: calls[job_id] for job_id in job_ids if job_id in calls}
        return {job_id: show_call(call, self._mask) for job_id, call in seen.items() if of_all or call.owner == owner}

    async def _list(self, job_ids: Collection[str], most_characters: int) -> dict[str, KeptCall]:
        calls = await (await self._engine.open()).reads.list_calls(job_ids, most_characters)
        for job_id, call in calls.items():
            if call.arguments is None and (running := self._running.find_submission(job_id)) is not None:
                calls[job_id] = keep_call(running)
        return calls

    def _remember(self, job_id: str, shown: bytes) -> None:
        self._cached_bytes += len(shown) - len(self._cached.pop(job_id, b""))
        self._cached[job_id] = shown
        while self._cached_bytes > _MOST_CACHED_BYTES:
            self._cached_bytes -= len(self._cached.popitem(last=False)[1])
