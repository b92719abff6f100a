"""`Artifacts`: what users hold."""

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from importlib import import_module
from typing import TYPE_CHECKING, Final

from servicekit.artifacts.aio import ArtifactThreads, AsyncArtifacts
from servicekit.artifacts.blocking import BlockingArtifacts
from servicekit.artifacts.hierarchy import Hierarchy, check_hierarchies
from servicekit.artifacts.places import (
    DEFAULT_DIRECTORY,
    address_of,
    check_chosen,
    check_place,
    open_storage,
    read_address,
)
from servicekit.artifacts.ports import ArtifactIndex, BlobStore
from servicekit.artifacts.retention import ArtifactRetention
from servicekit.artifacts.storage import ArtifactStorage
from servicekit.errors import ConfigurationError, check_count
from servicekit.jobs.database_url import find_database_url
from servicekit.jobs.this_process import this_process

if TYPE_CHECKING:
    from fastapi import FastAPI

MAX_UPLOAD_BYTES: Final = 5 * 1024**3
MAX_DATA_BYTES: Final = 16 * 1024**2

_FEATURE: Final = "servicekit.artifacts.feature"


class Artifacts(BlockingArtifacts):
    """Contents with what is known of them, in a directory: `artifacts = Artifacts("artifacts")`.

    It is an object of a module, as a rule: a job's own process imports it too. To make it opens nothing; the first call
    makes the directory, for its owner alone. It may be used from plain functions, threads and processes at once;
    coroutines use `artifacts.aio`, which has the same calls. `.with_artifacts(artifacts)` adds its routes to a service.

    If the jobs of the service are in a database server, so is what is known of artifacts, for processes of many
    machines; the directory is then one that all of them share. Outside of a service and its jobs, the environment
    variable `SERVICEKIT_JOBS_URL` names that database.
    """

    def __init__(
        self,
        place: str | os.PathLike[str] | None = None,
        *,
        hierarchy: Hierarchy | Sequence[Hierarchy] = (),
        retention: ArtifactRetention | None = None,
        max_upload_bytes: int | None = MAX_UPLOAD_BYTES,
        max_data_bytes: int = MAX_DATA_BYTES,
        prefix: str | None = None,
        blobs: BlobStore | None = None,
        index: ArtifactIndex | None = None,
    ) -> None:
        """`place`: a directory, relative to the working directory of now; `artifacts`, if nothing is said. If the jobs
        are in a database server it must be said: a directory at the same path of each machine, or the URL of an object
        store, such as `s3://bucket/artifacts` (extra `objects`).

        `hierarchy`: which kinds stand below which; all processes that use the place obey it. `retention`: what the
        service drops by itself; nothing without it. `max_upload_bytes`: the largest content that clients may send;
        `max_data_bytes`: the largest JSON that they may send or get within the record. `prefix`: where the routes are,
        `/api/v1/artifacts` beside the jobs if it is left out. `blobs`, `index`: places of your own, which models and
        command tasks cannot use.

        `ConfigurationError` for what makes no sense.
        """
        super().__init__()
        self._is_chosen = place is not None
        self._place = check_place(DEFAULT_DIRECTORY if place is None else place)
        self._find_database: Callable[[], str | None] = find_database_url
        self.retention = retention
        self.max_upload_bytes = max_upload_bytes
        self.max_data_bytes = max_data_bytes
        self.prefix = prefix
        self._threads = ArtifactThreads(self._place)
        self._hierarchies = [hierarchy] if isinstance(hierarchy, Hierarchy) else [*hierarchy]
        self._blobs = blobs
        self._index = index
        self._storages: dict[int, ArtifactStorage] = {}
        """By the id of the process. A forked child must leave alone what its parent has open."""
        check_hierarchies(self._hierarchies)
        check_count("max_upload_bytes", max_upload_bytes)
        check_count("max_data_bytes", max_data_bytes)
        if retention is not None and not isinstance(retention, ArtifactRetention):  # that of jobs is another one
            raise ConfigurationError("retention", retention, "an ArtifactRetention, or None")

    @classmethod
    def at(cls, address: str) -> "Artifacts":
        """The artifacts at this `address`, for a job or another process. It obeys the same hierarchies.

        If they are in the database of the jobs, it is that of the running job, or of the environment.
        """
        return cls(read_address(address))

    @property
    def address(self) -> str:
        """By this, `Artifacts.at` opens the same in any process. There is no password in it."""
        return address_of(self._place, is_in_database=self._find_database() is not None and self._index is None)

    def use_database(self, url: str | None) -> None:
        """Keep what is known of artifacts in this database from now on; `None`: in the directory. For services.

        `ConfigurationError` if the contents cannot be where this was told.
        """
        if self._index is None and self._blobs is None:
            check_chosen(self._place if self._is_chosen else None, url)
        if url != self._find_database():
            self.close()
        self._find_database = lambda: url

    def check_address(self) -> None:
        """`ConfigurationError` if `at` does not open the same, since contents or rows are at a place of the user's own.

        For features whose jobs save by the address.
        """
        if self._blobs is not None or self._index is not None:
            sentence = (
                "Jobs of models and command tasks open artifacts by their address, in processes of their own, and "
                "would save beside `blobs` and `index`: leave these out."
            )
            raise ConfigurationError("artifacts", self, sentence=sentence)

    def __repr__(self) -> str:
        return f"Artifacts({self._place!r})"

    @property
    def aio(self) -> AsyncArtifacts:
        """The same calls for coroutines."""
        # Made when it is asked for: to keep it would make a circle, and what is open be closed who knows when.
        return AsyncArtifacts(self, self._threads)

    @property
    def storage(self) -> ArtifactStorage:
        storage = self._storages.get(this_process.id)
        return self._open_storage() if storage is None else storage

    def _open_storage(self) -> ArtifactStorage:
        opened = open_storage(self._place, self._find_database(), self._blobs, self._index)
        if self._hierarchies:
            opened.index.declare(self._hierarchies)
        storage = self._storages.setdefault(this_process.id, opened)
        if storage is not opened and self._index is None:  # another thread was faster
            opened.index.close()
        return storage

    def add_hierarchy(self, hierarchy: Hierarchy) -> None:
        """Let this hierarchy hold as well, as those that were given when this was made. For features, at start-up.

        It may be added twice. `ConfigurationError` if its name or a kind of it stands in another one.
        """
        if hierarchy not in self._hierarchies:
            check_hierarchies([*self._hierarchies, hierarchy])
            self._hierarchies.append(hierarchy)
            if this_process.id in self._storages:
                self.storage.index.declare([hierarchy])

    def close(self) -> None:
        """Give back what this process has open. The next call opens it again."""
        storage = self._storages.pop(this_process.id, None)
        if storage is not None:
            storage.index.close()

    def install(self, app: "FastAPI") -> None:
        """Add the routes to an application: see `servicekit.api.Feature`."""
        # By its name: that module knows this class, and a job's own process has no use for the routes.
        import_module(_FEATURE).install(self, app)

    def lifespan(self, app: "FastAPI") -> AbstractAsyncContextManager[None]:
        """What happens around the run of an application: retention, and sweeping up."""
        around: AbstractAsyncContextManager[None] = import_module(_FEATURE).lifespan(self, app)
        return around
