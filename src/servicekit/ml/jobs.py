"""The jobs of a model: what runs in the process of a training, and in the thread of a prediction.

    TrainingJob    data ──▶ model        id of the model: the training's job id
    PredictionJob  model ──▶ prediction  id of the prediction: its job id

Jobs are given ids of artifacts and the artifacts' address, no data. A later attempt of the same job replaces what an
earlier one has saved. The lineage is by parents; what else a job was given is in the metadata of what it has made.
"""

import json
import platform
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from servicekit.artifacts import Artifacts, Table
from servicekit.jobs.current import current_job
from servicekit.jobs.database_url import find_database_url
from servicekit.ml.configs import BaseConfig
from servicekit.ml.learner import Attachment, Learner, Predicted, PredictionInputs, TrainedModel, TrainingInputs
from servicekit.ml.metrics import collect_metrics
from servicekit.ml.tables import StoredTable
from servicekit.ml.trust import MODEL_KIND

DATA_KIND: Final = "data"
PREDICTION_KIND: Final = "prediction"
MAX_METADATA_BYTES: Final = 16 * 1024  # of an artifact: see `servicekit.artifacts`
MAX_CONFIG_BYTES: Final = 8 * 1024
"""A larger config would leave no room for the other facts of a model."""

# Of these the versions are kept with a model, if they are installed: a model is read by the same ones, or nearly.
_PACKAGES: Final = ("numpy", "pandas", "scikit-learn", "skops")


class _LearnerJob:
    """See `learner.LearnerJob`."""

    def __init__(self, learner: Learner) -> None:
        self._learner = learner
        self._opened: dict[tuple[str | None, str], Artifacts] = {}
        """By their databases and addresses. To open them for each prediction would take longer than to predict."""

    def locate(self, module: str, name: str) -> None:
        self.__module__, self.__qualname__ = module, name

    def __reduce__(self) -> str:
        return self.__qualname__  # pickled by its name, as functions are

    def close(self) -> None:
        for artifacts in self._opened.values():
            artifacts.close()

    def _open(self, address: str) -> Artifacts:
        return self._opened.setdefault((find_database_url(), address), Artifacts.at(address))

    def _read_config(self, config: Mapping[str, Any]) -> BaseConfig:
        return self._learner.options.config.model_validate(config["data"])


class TrainingJob(_LearnerJob):
    """Trains a model, and saves it."""

    def __call__(
        self,
        *,
        artifacts: str,
        learner: str,
        config: Mapping[str, Any],
        data: str,
        geo: str | None = None,
        run_info: Mapping[str, Any],
    ) -> str:
        began, store = time.monotonic(), self._open(artifacts)
        source = StoredTable(store, store.get(data))
        with ExitStack() as resources, collect_metrics() as metrics:
            trained = self._learner.run_training(
                TrainingInputs(
                    artifacts=store,
                    learner=learner,
                    resources=resources,
                    config=self._read_config(config),
                    data=source,
                    geo=_load(store, geo),
                    run_info=run_info,
                )
            )
            facts = {
                "model": learner,
                "columns": source.columns,
                "metrics": metrics,
                "versions": list_versions(),
                **_describe_run(began, config, {"data": data, "geo": geo}, run_info),
                **trained.metadata,
            }
            return self._save(store, learner, data, trained, facts)

    def _save(
        self, store: Artifacts, learner: str, data: str, trained: TrainedModel, facts: Mapping[str, object]
    ) -> str:
        options = self._learner.options
        _check_goes_on()
        saved = store.save(
            trained.content,
            id=current_job().id,
            parent=data,
            kind=MODEL_KIND,
            name=f"{learner}{options.model_suffix}",
            media_type=options.model_media_type,
            metadata=fit_metadata(facts),
        )
        _attach(store, saved.id, trained.attachments)
        current_job().artifact(saved.id)  # a command has named its output, for the case that it fails
        return saved.id


class PredictionJob(_LearnerJob):
    """Predicts with a trained model, and saves the prediction."""

    def __call__(
        self,
        *,
        artifacts: str,
        learner: str,
        config: Mapping[str, Any],
        model: str,
        historic: str | None = None,
        future: str,
        geo: str | None = None,
        run_info: Mapping[str, Any],
    ) -> str:
        began, store = time.monotonic(), self._open(artifacts)
        with ExitStack() as resources:
            predicted = self._learner.run_prediction(
                store.get(model),
                PredictionInputs(
                    artifacts=store,
                    learner=learner,
                    resources=resources,
                    config=self._read_config(config),
                    historic=None if historic is None else StoredTable(store, store.get(historic)),
                    future=StoredTable(store, store.get(future)),
                    geo=_load(store, geo),
                    run_info=run_info,
                ),
            )
            inputs = {"historic": historic, "future": future, "geo": geo}
            facts = {"model_id": model, **_describe_run(began, config, inputs, run_info), **predicted.metadata}
            return self._save(store, model, predicted, facts)

    def _save(self, store: Artifacts, model: str, predicted: Predicted, facts: Mapping[str, object]) -> str:
        content = predicted.content
        table = content if isinstance(content, Table) else Table.of(content)
        _check_goes_on()
        saved = store.save(
            {
                "type": "ml_prediction",
                "content_type": "application/json",
                "content": {"columns": table.columns, "data": table.data},
                "metadata": facts,
            },
            id=current_job().id,
            parent=model,
            kind=PREDICTION_KIND,
            name="prediction.json",
            metadata=fit_metadata(facts),
        )
        _attach(store, saved.id, predicted.attachments)
        current_job().artifact(saved.id)
        return saved.id


def _check_goes_on() -> None:
    """`JobCanceled` if the job was asked to stop: then it will not complete, and what it promised must not be there.

    A thread is not interrupted, and comes here although its job was canceled, or has exceeded a time limit.
    """
    current_job().raise_if_canceled()


def list_versions() -> dict[str, str]:
    """The versions of Python and of the packages that matter to a model."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        with suppress(PackageNotFoundError):
            versions[package] = version(package)
    return versions


def fit_metadata(facts: Mapping[str, object]) -> dict[str, object]:
    """The facts, without the least important ones if they are more than metadata can be."""
    fitting = dict(facts)
    for name in ("run_info", "metrics", "columns"):
        if len(json.dumps(fitting)) <= MAX_METADATA_BYTES:
            break
        fitting.pop(name, None)
    return fitting


def _describe_run(
    began: float, config: Mapping[str, Any], inputs: Mapping[str, str | None], run_info: Mapping[str, Any]
) -> dict[str, object]:
    return {
        "config_id": config["id"],
        "config": config["data"],
        "inputs": {name: artifact_id for name, artifact_id in inputs.items() if artifact_id is not None},
        "run_info": dict(run_info),
        "seconds": round(time.monotonic() - began, 3),
    }


def _attach(store: Artifacts, parent: str, attachments: Sequence[Attachment]) -> None:
    for each in attachments:
        store.save(
            each.content,
            parent=parent,
            kind=each.kind,
            name=each.name,
            media_type=each.media_type,
            metadata=dict(each.metadata),
        )


def _load(store: Artifacts, artifact_id: str | None) -> object:
    return None if artifact_id is None else store.load(artifact_id)
