"""The calls of artifacts, for coroutines."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, ParamSpec, TypeVar, Unpack
from weakref import WeakKeyDictionary

from servicekit.artifacts.blocking import MAX_PAGE, ArtifactList, BlockingArtifacts, Options
from servicekit.artifacts.ports import StagedBlob
from servicekit.artifacts.record import Artifact, ArtifactPage, ArtifactStats, ArtifactTree, Swept
from servicekit.errors import ArtifactsUnavailable
from servicekit.jobs.threads import start_call
from servicekit.runners.thread_pool import ThreadPool

if TYPE_CHECKING:
    from ulid import ULID

P = ParamSpec("P")
T = TypeVar("T")

# They wait for the disk, and those that wait at the same time share its syncs. More of them would share no more: each
# call also takes the interpreter's lock.
_THREADS: Final = 32


class ArtifactThreads:
    """The threads in which the calls of coroutines run."""

    def __init__(self, location: str) -> None:
        self._location = location
        # Of daemons, so that a disk that hangs does not keep a service from ending.
        self._pool = ThreadPool("servicekit-artifacts")
        self._turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the function in a thread, and wait for it. `ArtifactsUnavailable` if there is no thread."""
        turns = self._turns.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(_THREADS))
        async with turns:
            try:
                calling = start_call(self._pool.start, partial(function, *args, **kwargs))
            except (RuntimeError, MemoryError) as error:
                raise ArtifactsUnavailable(self._location, "the system gives no more threads. Try again.") from error
            return await calling


class AsyncArtifacts:
    """`BlockingArtifacts` for coroutines: `await artifacts.aio.save(...)`. The calls run in a few threads of their own.

    If the coroutine is canceled, the call goes on: what was being saved may be there afterwards.
    """

    def __init__(self, blocking: BlockingArtifacts, threads: ArtifactThreads) -> None:
        self._blocking = blocking
        self._call = threads.call

    async def stage(self) -> StagedBlob:
        """See `BlockingArtifacts.stage`. To write blocks: do it in a thread."""
        return await self._call(self._blocking.stage)

    async def save(self, content: object, **options: Unpack[Options]) -> Artifact:
        """See `BlockingArtifacts.save`. The content must not be changed meanwhile."""
        return await self._call(self._blocking.save, content, **options)

    async def get(self, artifact_id: "str | ULID") -> Artifact:
        """See `BlockingArtifacts.get`."""
        return await self._call(self._blocking.get, artifact_id)

    async def open(self, artifact_id: "str | ULID") -> BinaryIO:
        """See `BlockingArtifacts.open`. To read the file blocks: do it in a thread."""
        return await self._call(self._blocking.open, artifact_id)

    async def path(self, artifact_id: "str | ULID") -> Path | None:
        """See `BlockingArtifacts.path`."""
        return await self._call(self._blocking.path, artifact_id)

    async def load(self, artifact_id: "str | ULID") -> object:
        """See `BlockingArtifacts.load`."""
        return await self._call(self._blocking.load, artifact_id)

    async def list(
        self,
        *,
        kind: str | None = None,
        parent: "str | ULID | Artifact | None" = None,
        job: "str | ULID | None" = None,
        tag: str | None = None,
        owner: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> ArtifactPage:
        """See `BlockingArtifacts.list`."""
        return await self._call(
            self._blocking.list, kind=kind, parent=parent, job=job, tag=tag, owner=owner, limit=limit, cursor=cursor
        )

    async def tree(
        self,
        artifact_id: "str | ULID",
        *,
        owner: str | None = None,
        limit: int = MAX_PAGE,
        cursor: str | None = None,
    ) -> ArtifactTree:
        """See `BlockingArtifacts.tree`."""
        return await self._call(self._blocking.tree, artifact_id, owner=owner, limit=limit, cursor=cursor)

    async def ancestors(self, artifact_id: "str | ULID", *, limit: int = MAX_PAGE) -> ArtifactList:
        """See `BlockingArtifacts.ancestors`."""
        return await self._call(self._blocking.ancestors, artifact_id, limit=limit)

    async def update(
        self,
        artifact_id: "str | ULID",
        *,
        metadata: Mapping[str, object] | None = None,
        tags: Iterable[str] | None = None,
        pinned: bool | None = None,
    ) -> Artifact:
        """See `BlockingArtifacts.update`."""
        return await self._call(self._blocking.update, artifact_id, metadata=metadata, tags=tags, pinned=pinned)

    async def delete(self, artifact_id: "str | ULID", *, recursive: bool = False, owner: str | None = None) -> int:
        """See `BlockingArtifacts.delete`."""
        return await self._call(self._blocking.delete, artifact_id, recursive=recursive, owner=owner)

    async def stats(self, *, owner: str | None = None) -> ArtifactStats:
        """See `BlockingArtifacts.stats`."""
        return await self._call(self._blocking.stats, owner=owner)

    async def sweep(self) -> Swept:
        """See `BlockingArtifacts.sweep`."""
        return await self._call(self._blocking.sweep)
