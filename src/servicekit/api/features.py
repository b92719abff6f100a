"""Features, and how they are added to an application."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any, Protocol

from fastapi import FastAPI

from servicekit.api.state import service_state
from servicekit.errors import ConfigurationError


class Feature(Protocol):
    """One thing that a service can do, with its own options.

    It keeps no objects of an application, since it can be installed in several.
    """

    def install(self, app: FastAPI) -> None:
        """Add routes, middleware and shared objects. The application does not run yet."""
        ...

    def lifespan(self, app: FastAPI) -> AbstractAsyncContextManager[None]:
        """A context manager around the run of the application: what the feature starts and ends."""
        ...


class Passive:
    """A base for features that start and end nothing."""

    def lifespan(self, app: FastAPI) -> AbstractAsyncContextManager[None]:  # noqa: ARG002
        return nullcontext()


def install(app: FastAPI, *features: Feature) -> None:
    """Add features to an application, in any order, all at once or one by one.

    They start before the application's own lifespan and end after it, so that its start-up can submit jobs.
    `ConfigurationError` if they contradict each other.
    """
    for feature in features:
        _check_feature(feature)
        feature.install(app)
        _wrap_lifespan(app, feature)
    state = service_state(app)
    if state.scheduler is not None:
        state.check_schedules()


def _check_feature(feature: object) -> None:
    has_methods = all(callable(getattr(feature, name, None)) for name in ("install", "lifespan"))
    if isinstance(feature, type) or not has_methods:
        expected = 'an object, not a class, with the methods install and lifespan, such as Artifacts("artifacts")'
        raise ConfigurationError("feature", feature, expected)


def _wrap_lifespan(app: FastAPI, feature: Feature) -> None:
    inner = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[Any]:
        async with feature.lifespan(app), inner(app) as state:
            yield state

    app.router.lifespan_context = lifespan
