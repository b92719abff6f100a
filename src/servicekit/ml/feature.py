"""The feature of models: how a learner is installed in an application."""

import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final, Literal

from fastapi import FastAPI

from servicekit.api import JobEvent, Service
from servicekit.artifacts import Hierarchy
from servicekit.artifacts.feature import artifacts_of, preload_index, wait_at_stop
from servicekit.artifacts.promises import PROMISE
from servicekit.errors import ConfigurationError
from servicekit.jobs.options import ISOLATED, OptionChanges, job_options, options_of
from servicekit.jobs.status import EndedBy
from servicekit.jobs.threads import call_in_thread, start_in_thread
from servicekit.ml.directories import sweep_directories
from servicekit.ml.home import find_home
from servicekit.ml.jobs import DATA_KIND, PREDICTION_KIND
from servicekit.ml.learner import Learner, LearnerJob
from servicekit.ml.routes import add_model_routes
from servicekit.ml.state import models_of
from servicekit.ml.trust import MODEL_KIND

LEVELS: Final = Hierarchy("ml", [DATA_KIND, MODEL_KIND, PREDICTION_KIND])
_TAG: Final = "ml"  # of the jobs of all models
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}")  # it is part of a file's name, and of tags


def install_learner(app: FastAPI, learner: Learner, likely_modules: Iterable[str] = ()) -> None:
    """Add a learner to the application, and the routes with the first one. It is looked for in `likely_modules` first.

    `ConfigurationError` or `MissingExtra` if it cannot be trained or cannot predict.
    """
    modules = learner.prepare()
    module, variable = find_home(learner, likely_modules)
    learner.trainer.locate(module, f"{variable}.trainer")
    learner.predictor.locate(module, f"{variable}.predictor")
    options = learner.options
    name = _check_name(variable if options.name is None else options.name)
    models_of(app).add(name, learner)
    _set_options(learner.trainer, name, "train", options.training, "process")
    _set_options(learner.predictor, name, "predict", options.prediction, options.prediction_runner)
    service = Service.of(app)
    service.preload(*modules)
    if len(models_of(app).learners) == 1:
        service.add_listener(_sweep_after_job)
        preload_index(service)
    service.when_jobs_are_set_up(partial(add_model_routes, app))


@asynccontextmanager
async def run_learners(app: FastAPI) -> AsyncIterator[None]:
    """Around the run of the application: jobs and artifacts must be there."""
    if not Service.of(app).has_jobs:
        sentence = "Models need jobs: add .with_jobs() to the service."
        raise ConfigurationError("jobs", None, sentence=sentence)
    for named in models_of(app):
        for job in (named.learner.trainer, named.learner.predictor):
            Service.of(app).scheduler.check_runner(options_of(job).runner)
    artifacts = artifacts_of(app)
    artifacts.check_address()
    await call_in_thread(artifacts.add_hierarchy, LEVELS)
    await call_in_thread(sweep_directories)
    try:
        yield
    finally:
        for named in models_of(app):
            await wait_at_stop(call_in_thread(named.learner.predictor.close))


def _sweep_after_job(event: JobEvent) -> None:
    """Remove the directory of a job of a model whose process was killed, and could not do so itself."""
    record = event.record
    if record is None or not record.status.is_terminal or record.ended_by is EndedBy.TARGET:
        return
    if _TAG in record.tags:
        start_in_thread(sweep_directories)


def _check_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ConfigurationError("name", name, "letters, digits, dots, dashes and underscores, at most 80")
    return name


def _set_options(
    job: LearnerJob, name: str, verb: str, chosen: OptionChanges, runner: Literal["thread", "process"]
) -> None:
    """Give a job's target its options: those that the user has chosen, and those that no user chooses.

    The user may only choose a runner that isolates it: no model is trained on the event loop of the service.
    """
    options: dict[str, Any] = {
        "name": f"{verb} {name}",
        **chosen,
        "runner": chosen.get("runner") if chosen.get("runner") in ISOLATED else runner,
        "tags": (*chosen.get("tags", ()), _TAG, f"{verb}:{name}"),
        "metadata": {**chosen.get("metadata", {}), **dict([PROMISE])},
    }
    job_options(**options)(job)
