"""Tasks as a feature of a service: their routes, their page, and the hook that saves results."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from fastapi import FastAPI

from servicekit.api import Service
from servicekit.api.errors import add_error_handlers
from servicekit.api.openapi import extend_document
from servicekit.api.state import check_free, check_path
from servicekit.artifacts.feature import artifacts_of, preload_index
from servicekit.tasks.catalog import Catalog
from servicekit.tasks.definitions import CommandTask
from servicekit.tasks.documents import document_tasks
from servicekit.tasks.installed import catalog_of, keep_catalog
from servicekit.tasks.page import add_page
from servicekit.tasks.places import artifacts_address
from servicekit.tasks.ports import TaskStore
from servicekit.tasks.registry import Tasks
from servicekit.tasks.results import TaskResults
from servicekit.tasks.routes import add_task_routes
from servicekit.tasks.task_file import TaskFile

# What a command's process imports. Preloaded, it costs each of them nothing.
_PRELOADED: Final = ("servicekit.tasks.commands", "servicekit.artifacts")


def install(tasks: Tasks, app: FastAPI) -> None:
    """Add the routes and the page as soon as there are jobs, and the hook that saves results."""
    catalog = Catalog(
        tasks.by_name,
        _Place(tasks, app).find_store,
        partial(artifacts_address, app),
        allow_client_commands=tasks.allow_client_commands,
    )
    keep_catalog(app, catalog)
    service = Service.of(app)
    if _runs_commands(tasks):
        service.preload(*_PRELOADED)
        preload_index(service)
    service.add_health_check("tasks", catalog.find_problem)
    service.add_result_hook(TaskResults(tasks.by_name, app))
    service.when_jobs_are_set_up(partial(_add_routes, tasks, app, catalog))


@asynccontextmanager
async def lifespan(tasks: Tasks, app: FastAPI) -> AsyncIterator[None]:
    """Check what is there only when all features are installed, and close the file at the end."""
    scheduler = Service.of(app).scheduler
    for task in tasks.by_name.values():  # those of clients name no runner
        scheduler.check_runner(task.options.runner)
    if _runs_commands(tasks) or any(task.needs_artifacts for task in tasks.by_name.values()):
        artifacts_address(app)
    if _runs_commands(tasks):
        artifacts_of(app).check_address()
    try:
        yield
    finally:
        await catalog_of(app).close()


class _Place:
    """Where the tasks of one application are kept: where its jobs are, unless a file was named."""

    def __init__(self, tasks: Tasks, app: FastAPI) -> None:
        self._tasks = tasks
        self._app = app
        self._stores: dict[str | None, TaskStore] = {}

    def find_store(self) -> TaskStore:
        """The store for the database of the jobs, which in a test is another one than in the service."""
        url = None if self._tasks.is_path_given else Service.of(self._app).scheduler.database_url
        if url not in self._stores:
            self._stores[url] = TaskFile(self._tasks.path) if url is None else _create_table(url)
        return self._stores[url]


def _create_table(url: str) -> TaskStore:
    # Late: they need the driver.
    from servicekit.stores.postgres.address import read_address
    from servicekit.tasks.task_table import TaskTable

    return TaskTable(read_address("url", url))


def _runs_commands(tasks: Tasks) -> bool:
    return tasks.allow_client_commands or any(isinstance(task, CommandTask) for task in tasks.by_name.values())


def _add_routes(tasks: Tasks, app: FastAPI, catalog: Catalog) -> None:
    service = Service.of(app)
    prefix = tasks.prefix or service.path_beside_jobs("tasks")
    check_path("prefix", prefix)
    check_free("prefix", prefix, app)
    add_error_handlers(app)
    service.tell_place("tasks", prefix)
    add_task_routes(app, prefix, catalog, tasks.max_body_bytes)
    extend_document(app, partial(document_tasks, prefix=prefix, tasks=tasks.by_name))
    if tasks.page is not None:
        add_page(app, tasks.page, prefix=prefix, jobs_prefix=service.jobs_prefix)
