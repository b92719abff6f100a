"""The seam between the jobs of a model and the two kinds of models: functions in Python, and commands.

    routes ── ids ──▶ job ── inputs ──▶ run_training ──▶ TrainedModel ──▶ artifact "model"
                      job ── inputs, model ──▶ run_prediction ──▶ Predicted ──▶ artifact "prediction"

The jobs (`servicekit.ml.jobs`) read the inputs from artifacts and save what comes out. A learner knows nothing of
requests, ids and lineage.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from servicekit.artifacts import Artifact, Artifacts, Table
from servicekit.errors import ConfigurationError
from servicekit.jobs.options import DEFAULT_OPTIONS, OptionChanges, changed
from servicekit.ml.configs import BaseConfig

if TYPE_CHECKING:
    from pandas import DataFrame


class TableSource(Protocol):
    """A table that is read when it is asked for, in the form that is asked for."""

    @property
    def columns(self) -> list[str]:
        """The names of the columns. Of CSV and parquet only the part that has them is read, of JSON all of it."""
        ...

    def table(self) -> Table: ...

    def frame(self) -> "DataFrame":
        """`MissingExtra` if pandas is not installed."""
        ...

    def write_csv(self, path: Path) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingInputs:
    """What a training gets. It is made in the job's own process."""

    artifacts: Artifacts
    learner: str
    """The learner's name in this service. The file of a model is called so, with the learner's suffix."""
    resources: ExitStack
    """Closed when the model is saved. Enter here what holds its files until then, such as a temporary directory."""
    config: "BaseConfig"
    """An object of the learner's own class of configs."""
    data: TableSource
    """It is read when it is asked for: as a `Table`, as a DataFrame, or into a CSV file."""
    geo: object = None
    """GeoJSON, or what else the client has sent."""
    run_info: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionInputs:
    """What a prediction gets, besides the model."""

    artifacts: Artifacts
    learner: str
    """The learner's name in this service. The file of a model is called so, with the learner's suffix."""
    resources: ExitStack
    """Closed when the prediction is saved."""
    config: "BaseConfig"
    """The config with which the model was trained, as it was then."""
    historic: TableSource | None
    future: TableSource
    geo: object = None
    run_info: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A file that is saved below the model or the prediction, such as the archive of a workspace."""

    content: bytes | Path
    name: str
    media_type: str
    kind: str = "attachment"
    metadata: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedModel:
    """What a training has made."""

    content: bytes | Path
    metadata: Mapping[str, object] = field(default_factory=dict)
    """Facts of the model, such as `serializer`. They join those that the job knows."""
    attachments: Sequence[Attachment] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicted:
    """What a prediction has made."""

    content: "Table | DataFrame"
    metadata: Mapping[str, object] = field(default_factory=dict)
    attachments: Sequence[Attachment] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostic:
    """What a check says of a training or a prediction that was not started yet."""

    severity: Literal["error", "warning", "info"]
    message: str
    code: str = "invalid"
    field: str | None = None
    """The place in the request: `data.columns.rainfall`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationInputs:
    """What a check gets: the same as a training or a prediction would."""

    kind: Literal["train", "predict"]
    config: "BaseConfig"
    data: TableSource | None = None
    historic: TableSource | None = None
    future: TableSource | None = None
    geo: object = None
    run_info: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnerOptions:
    """What the user has chosen for a model before it is trained. `ConfigurationError` for what makes no sense."""

    name: str | None = None
    """By it requests choose a model where a service has several. By default the name of the model's variable."""
    config: type[BaseConfig]
    """The class of the model's configs."""
    targets: Sequence[str] = ()
    """The columns that are to be predicted. If they are given, all other columns must be in `future`."""
    training: OptionChanges = field(default_factory=OptionChanges)
    """Options of training jobs, such as `run_timeout`."""
    prediction: OptionChanges = field(default_factory=OptionChanges)
    """Options of prediction jobs."""
    prediction_runner: Literal["thread", "process"] = "thread"
    """Where predictions run if their options do not say it: in a thread of the service, or in their own process."""
    model_suffix: str
    """The suffix of the file of a trained model, `.skops`. The file's name begins with that of the model."""
    model_media_type: str
    has_safe_models: bool
    """Whether a trained model can be used even if somebody else has made it: nothing in it is run as code."""

    def __post_init__(self) -> None:
        if not (isinstance(self.config, type) and issubclass(self.config, BaseConfig)):
            raise ConfigurationError("config", self.config, "a class that is derived from BaseConfig")
        if isinstance(self.targets, str) or not all(isinstance(name, str) for name in self.targets):
            raise ConfigurationError("targets", self.targets, 'a list of names of columns, such as ["cases"]')
        object.__setattr__(self, "targets", tuple(self.targets))
        for options in (self.training, self.prediction):
            changed(DEFAULT_OPTIONS, options)


class LearnerJob(Protocol):
    """A target of jobs that any process finds as an attribute of its learner: `module:model.trainer`."""

    def locate(self, module: str, name: str) -> None:
        """Say where it is, when that is known."""
        ...

    def __call__(self, *args: Any, **kwargs: Any) -> str:
        """Return the id of what was made, which is that of the job."""
        ...

    def close(self) -> None:
        """Give back what this process has open for it. The next call opens it again."""
        ...


class Learner(Protocol):
    """A model before it is trained: what `Model` and `CommandModel` have in common.

    It is a global of a module, since a job's own process imports it by its name: see `servicekit.ml.home`.
    """

    @property
    def options(self) -> LearnerOptions: ...

    @property
    def trainer(self) -> LearnerJob:
        """The target of its training jobs: `TrainingJob(self)` of `servicekit.ml.jobs`, always the same object."""
        ...

    @property
    def predictor(self) -> LearnerJob:
        """The target of its prediction jobs: `PredictionJob(self)`, always the same object."""
        ...

    def prepare(self) -> Sequence[str]:
        """Check that everything is there, when the service is built; return the modules that jobs should find loaded.

        `ConfigurationError` or `MissingExtra`, with what to do.
        """
        ...

    def run_training(self, inputs: TrainingInputs) -> TrainedModel:
        """Train, in a process of the job's own. It can be killed at any time."""
        ...

    def run_prediction(self, model: Artifact, inputs: PredictionInputs) -> Predicted:
        """Predict with a trained model: `inputs.artifacts.path(model.id)` has its content.

        The learner asks `servicekit.ml.trust.check_model` before it reads that.
        """
        ...

    def run_validation(self, inputs: ValidationInputs) -> Sequence[Diagnostic]:
        """Check the inputs of a training or a prediction, in a thread. It must be quick."""
        ...
