"""`servicekit worker`: a process that runs the jobs of a service, without its HTTP server."""

import asyncio
import importlib
import inspect
import logging
import signal
import sys
from types import FrameType

from fastapi import FastAPI

from servicekit.api.service import Service
from servicekit.engine.scheduler import Scheduler
from servicekit.errors import ConfigurationError
from servicekit.observability.console import show_by


def run_worker(place: str, *, app_dir: str, is_factory: bool, max_concurrency: int | None) -> None:
    """Run the jobs of the application at `place` (`module:name`) until the process is told to stop.

    `ConfigurationError` if there is no such application, or its jobs are kept in memory; `StoreUnavailable` if the file
    or database with its jobs cannot be used.
    """
    if max_concurrency is not None and max_concurrency < 1:
        raise ConfigurationError("--max-concurrency", max_concurrency, "a whole number of at least 1")
    sys.path.insert(0, app_dir)
    app = load_app(place, is_factory=is_factory)
    scheduler = Service.of(app).scheduler
    if not scheduler.is_shared:
        raise ConfigurationError("url", "memory://", "a file or a database, so that a worker can share its jobs")
    scheduler.run_jobs(max_concurrency)
    asyncio.run(_run_until_stopped(app, place, scheduler))


def load_app(place: str, *, is_factory: bool = False) -> FastAPI:
    """The application at `module:name`; `ConfigurationError` if there is none."""
    module_name, _, name = place.partition(":")
    if not name or not all(module_name.split(".")):
        raise ConfigurationError("the application", place, "given as MODULE:APP, such as service:app")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # the module exists, but imports one that does not: the traceback shows where
        raise ConfigurationError("the application", place, f"in a module that exists ({error})") from error
    if not hasattr(module, name):
        fault = f"a name that is in its module ({module_name} has no {name!r})"
        raise ConfigurationError("the application", place, fault)
    app = getattr(module, name)
    if is_factory:
        if isinstance(app, FastAPI) or not callable(app) or inspect.iscoroutinefunction(app):
            raise ConfigurationError("the application", place, "the name of a plain function that makes it (--factory)")
        app = app()
    if not isinstance(app, FastAPI):
        raise ConfigurationError("the application", place, "the name of a FastAPI application in its module")
    return app


async def _run_until_stopped(app: FastAPI, place: str, scheduler: Scheduler) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop(_number: int, _frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(stopped.set)  # a signal can interrupt anything, so the event is set by the loop

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    with show_by([_make_console()]):
        async with app.router.lifespan_context(app):
            print(f"Running the jobs of {place}, which are kept in {scheduler.location}. Ctrl-C stops it.", flush=True)
            await stopped.wait()
            running = scheduler.running_count
            print(f"Stopping; {running} running." if running else "Stopping.", flush=True)


def _make_console() -> logging.Handler:
    console = logging.StreamHandler()
    console.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    return console
