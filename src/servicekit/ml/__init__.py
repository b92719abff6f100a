"""Models: train and predict as jobs, with data, models and predictions as artifacts.

    from servicekit.ml import Model

    model = Model()

    @model.train
    def train(data: Table) -> dict: ...

    @model.predict
    def predict(model: dict, future: Table) -> Table: ...

    app = ServiceBuilder(info=...).with_jobs().with_artifacts(artifacts).with_ml(model).build()

From below:

    learner        the seam between jobs and the two kinds of models
    tables         tables that come with a request, or from an artifact
    serializers    how trained models are kept; trust: which may be read; cache: those in memory
    functions      which values the user's functions want; metrics: what they report
    directories    temporary ones, which are gone afterwards; workspace: what a command finds in one; archives
    model          models in Python; command_model, command_files: models that are commands
    jobs           what runs in the process of a training, and in the thread of a prediction
    configs, info  what clients keep, and what the service tells of itself; registration: to whom it tells that
    requests       what clients send; planning: what that names; submissions: from there to a job
    routes, config_routes, feature
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from servicekit.artifacts.table import Table
    from servicekit.ml.command_model import CommandModel
    from servicekit.ml.configs import BaseConfig
    from servicekit.ml.info import AssessedStatus, MLServiceInfo, ModelMetadata, PeriodType
    from servicekit.ml.learner import Diagnostic
    from servicekit.ml.metrics import report_metrics
    from servicekit.ml.model import Model
    from servicekit.ml.registration import Registration
    from servicekit.ml.serializers import Custom, Json, Pickle, Serializer, Skops

__all__ = [
    "AssessedStatus",
    "BaseConfig",
    "CommandModel",
    "Custom",
    "Diagnostic",
    "Json",
    "MLServiceInfo",
    "Model",
    "ModelMetadata",
    "PeriodType",
    "Pickle",
    "Registration",
    "Serializer",
    "Skops",
    "Table",
    "report_metrics",
]

# The module of each name. A module is imported when one of its names is first used (PEP 562), since a job's own process
# needs few of them, and no FastAPI.
_MODULES: Final = {
    "AssessedStatus": "servicekit.ml.info",
    "BaseConfig": "servicekit.ml.configs",
    "CommandModel": "servicekit.ml.command_model",
    "Custom": "servicekit.ml.serializers",
    "Diagnostic": "servicekit.ml.learner",
    "Json": "servicekit.ml.serializers",
    "MLServiceInfo": "servicekit.ml.info",
    "Model": "servicekit.ml.model",
    "ModelMetadata": "servicekit.ml.info",
    "PeriodType": "servicekit.ml.info",
    "Pickle": "servicekit.ml.serializers",
    "Registration": "servicekit.ml.registration",
    "Serializer": "servicekit.ml.serializers",
    "Skops": "servicekit.ml.serializers",
    "Table": "servicekit.artifacts.table",
    "report_metrics": "servicekit.ml.metrics",
}

if not TYPE_CHECKING:  # a type checker would else take every name for an existing one

    def __getattr__(name: str) -> object:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(_MODULES[name]), name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
