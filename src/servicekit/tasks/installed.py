"""The catalog of an application, in its state."""

from servicekit.api.state import Application
from servicekit.errors import ConfigurationError
from servicekit.tasks.catalog import Catalog


def keep_catalog(app: Application, catalog: Catalog) -> None:
    """`ConfigurationError` if the application has one already."""
    if find_catalog(app) is not None:
        sentence = "Tasks are set up a second time for this application: one with_tasks() is enough."
        raise ConfigurationError("tasks", "a second time", sentence=sentence)
    app.state.servicekit_tasks = catalog


def catalog_of(app: Application) -> Catalog:
    """`ConfigurationError` if the application has no tasks."""
    catalog = find_catalog(app)
    if catalog is None:
        sentence = "This application has no tasks: add them with .with_tasks(tasks), or install(app, tasks)."
        raise ConfigurationError("tasks", None, sentence=sentence)
    return catalog


def find_catalog(app: Application) -> Catalog | None:
    """`None` if the application has no tasks."""
    found = getattr(app.state, "servicekit_tasks", None)
    return found if isinstance(found, Catalog) else None
