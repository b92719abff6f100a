"""Models in Python: functions that train and predict."""

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, TypeVar, Unpack

from servicekit.artifacts import Artifact, Table
from servicekit.errors import ConfigurationError
from servicekit.jobs.options import OptionChanges, check_option_names
from servicekit.jobs.outcome import describe_error
from servicekit.ml.cache import MAX_BYTES, MAX_MODELS, ModelCache
from servicekit.ml.configs import BaseConfig
from servicekit.ml.directories import temporary_directory
from servicekit.ml.functions import PREDICT, TRAIN, VALIDATE, ModelFunction, check_pandas
from servicekit.ml.jobs import PredictionJob, TrainingJob
from servicekit.ml.learner import (
    Diagnostic,
    LearnerOptions,
    Predicted,
    PredictionInputs,
    TrainedModel,
    TrainingInputs,
    ValidationInputs,
)
from servicekit.ml.serializers import Serializer, Skops, check_serializer
from servicekit.ml.trust import load_model

if TYPE_CHECKING:
    from fastapi import FastAPI

F = TypeVar("F", bound=Callable[..., Any])

# Its parts take a second to import, and every training would. What else the program imports may start threads, and is
# for the user to choose.
_SKLEARN: Final = "sklearn"
# What the module of a model imports in any case: its process makes the application anew, with the routes and the store.
_PRELOADED: Final = (
    "servicekit.ml.feature",
    "servicekit.ml.model",
    "servicekit.artifacts.routes",
    "servicekit.stores.sqlite.store",
)
_OF_FASTAPI: Final = "pydantic.v1"  # FastAPI imports it with its first route

_FEATURE: Final = "servicekit.ml.feature"


class Model:
    """A model whose training and prediction are functions: `.with_ml(model)`.

        model = Model(config=Config)

        @model.train
        def train(config: Config, data: pd.DataFrame) -> LinearRegression: ...

        @model.predict
        def predict(model: LinearRegression, future: pd.DataFrame) -> pd.DataFrame: ...

    It must be a global of a module, and so must its functions. They get what their parameters name: `config`, `data`,
    `geo`, `run_info`; to predict, `config`, `model`, `historic`, `future`, `geo`, `run_info`. Tables are DataFrames, or
    a `Table` where the parameter is annotated so. A training runs in a process of its own. A prediction runs in a
    thread of the service, with a model that several threads may use at the same time.

    - `functions`: an object with `on_train` and `on_predict`, and perhaps `on_validate`, instead of the decorators.
    - `name`: by which requests choose it, where a service has several; the name of its variable by default.
    - `config`: a class that is derived from `BaseConfig`.
    - `serializer`: how a trained model is kept: `Skops()` by default, `Json()`, `Pickle()` or `Custom(...)`.
    - `targets`: the columns that are to be predicted. If they are given, a prediction needs all other columns that the
      training had, and is refused without them.
    - `max_cached_models`, `max_cached_bytes`: how many trained models are kept in memory.
    - `prediction`: options of prediction jobs, such as `{"run_timeout": 10}`; with `{"runner": "process"}` a prediction
      runs in a process of its own as well, or with `{"runner": "ray"}` in one on a cluster, which loads the model each
      time.
    - `options`: options of training jobs: `run_timeout`, `max_memory_bytes` and so on, see `JobOptions`. With
      `runner="ray"`, they run on a cluster.

    `ConfigurationError` for what makes no sense.
    """

    def __init__(
        self,
        functions: object = None,
        *,
        config: type[BaseConfig] = BaseConfig,
        serializer: Serializer | None = None,
        targets: Sequence[str] = (),
        max_cached_models: int = MAX_MODELS,
        max_cached_bytes: int = MAX_BYTES,
        prediction: OptionChanges | None = None,
        **options: Unpack[OptionChanges],
    ) -> None:
        check_option_names(options, Model.__init__.__kwdefaults__)
        name = options.pop("name", None)
        self._serializer = check_serializer(serializer or Skops())
        self._cache = ModelCache(max_cached_models, max_cached_bytes)
        self._functions: dict[str, ModelFunction] = {}
        self.trainer = TrainingJob(self)
        self.predictor = PredictionJob(self)
        self.options = LearnerOptions(
            name=name,
            config=config,
            targets=targets,
            training=options,
            prediction=prediction or {},
            model_suffix=self._serializer.suffix,
            model_media_type=self._serializer.media_type,
            has_safe_models=self._serializer.is_safe,
        )
        for role in _ROLES:
            function = getattr(functions, f"on_{role}", None)
            if function is not None:
                self._add(role, function)

    def train(self, function: F) -> F:
        """The decorator of the function that returns the trained model. It changes nothing of the function."""
        return self._add("train", function)

    def predict(self, function: F) -> F:
        """The decorator of the function that returns a prediction, as a DataFrame or a `Table`."""
        return self._add("predict", function)

    def validate(self, function: F) -> F:
        """The decorator of a function that returns what is wrong with inputs: a list of `Diagnostic` or of texts.

        `$validate` calls it. It gets what the others get, and `kind`, which is "train" or "predict"; what belongs to
        the other kind is `None`.
        """
        return self._add("validate", function)

    def install(self, app: "FastAPI") -> None:
        # By its name: that module knows all of the api, and a job's own process has no use for it.
        import_module(_FEATURE).install_learner(app, self, {function.module for function in self._functions.values()})

    def lifespan(self, app: "FastAPI") -> AbstractAsyncContextManager[None]:
        around: AbstractAsyncContextManager[None] = import_module(_FEATURE).run_learners(app)
        return around

    def prepare(self) -> Sequence[str]:
        for role in ("train", "predict"):
            if role not in self._functions:
                sentence = f"The model has no function to {role}: decorate one with @model.{role}."
                raise ConfigurationError("model", self, sentence=sentence)
        modules = [*_PRELOADED, *self._serializer.prepare()]
        if _OF_FASTAPI in sys.modules:
            modules.append(_OF_FASTAPI)
        if not any(function.needs_pandas for function in self._functions.values()):
            return modules
        check_pandas("A model that works with DataFrames")
        return [*modules, "pandas", *_list_parts_of_sklearn()]

    def run_training(self, inputs: TrainingInputs) -> TrainedModel:
        trained = self._functions["train"](
            {"config": inputs.config, "data": inputs.data, "geo": inputs.geo, "run_info": inputs.run_info}
        )
        if trained is None:
            raise TypeError("The function that trains has returned None. It must return the trained model.")
        path = inputs.resources.enter_context(temporary_directory()) / f"model{self._serializer.suffix}"
        self._serializer.dump(trained, path)
        return TrainedModel(content=path, metadata={"serializer": self._serializer.name})

    def run_prediction(self, model: Artifact, inputs: PredictionInputs) -> Predicted:
        file_name = f"{inputs.learner}{self._serializer.suffix}"
        trained = load_model(inputs.artifacts, model, self._serializer, file_name, self._cache)
        predicted = self._functions["predict"](
            {
                "config": inputs.config,
                "model": trained,
                "historic": inputs.historic,
                "future": inputs.future,
                "geo": inputs.geo,
                "run_info": inputs.run_info,
            }
        )
        if not isinstance(predicted, Table) and not hasattr(predicted, "columns"):
            kind = type(predicted).__name__
            raise TypeError(f"The function that predicts must return a DataFrame or a Table, and not {kind}.")
        return Predicted(content=predicted)

    def run_validation(self, inputs: ValidationInputs) -> Sequence[Diagnostic]:
        if "validate" not in self._functions:
            return []
        try:
            found = self._functions["validate"]({name: getattr(inputs, name) for name in VALIDATE})
        except Exception as error:  # the user's code: that it cannot check is what the client should hear
            return [Diagnostic(severity="error", code="check_failed", message=describe_error(error))]
        return [_as_diagnostic(each) for each in found or ()]

    def _add(self, role: str, function: F) -> F:
        if role in self._functions:
            sentence = f"The model has a function to {role} already. A second model needs an object of its own."
            raise ConfigurationError(role, function, sentence=sentence)
        self._functions[role] = ModelFunction.of(role, function, _ROLES[role])
        return function


_ROLES: Final = {"train": TRAIN, "predict": PREDICT, "validate": VALIDATE}


def _as_diagnostic(found: Diagnostic | str | Mapping[str, Any]) -> Diagnostic:
    if isinstance(found, Diagnostic):
        return found
    return Diagnostic(severity="error", message=found) if isinstance(found, str) else Diagnostic(**found)


def _list_parts_of_sklearn() -> list[str]:
    """The public parts of scikit-learn that the program has imported: it needs them."""
    parts = [name.split(".") for name in sys.modules if name.startswith(f"{_SKLEARN}.")]
    return sorted(".".join(part) for part in parts if len(part) == 2 and not part[1].startswith("_"))
