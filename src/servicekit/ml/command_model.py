"""Models in other languages: two commands, one that trains and one that predicts."""

import logging
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from importlib import import_module
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Final, Unpack

from servicekit.artifacts import Artifact
from servicekit.errors import ConfigurationError
from servicekit.jobs.command import Command
from servicekit.jobs.current import current_job
from servicekit.jobs.options import DEFAULT_OPTIONS, OptionChanges, changed, check_option_names, seconds_of
from servicekit.ml.archives import (
    ARCHIVE_MEDIA_TYPE,
    ARCHIVE_SUFFIX,
    MAX_BYTES,
    MAX_FILES,
    ArchiveLimits,
    find_name_problem,
    open_plain_file,
    pack,
    unpack,
)
from servicekit.ml.command_files import (
    DATA_FILE,
    FUTURE_FILE,
    HISTORIC_FILE,
    MODEL_FILE,
    OUTPUT_FILE,
    PREDICTION_NAMES,
    TRAINING_NAMES,
    read_predictions,
    write_common,
    write_table,
)
from servicekit.ml.configs import BaseConfig
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
from servicekit.ml.trust import check_model
from servicekit.ml.workspace import (
    Workspace,
    check_patterns,
    copy_included,
    list_changed,
    list_included,
    list_left_out,
    make_workspace,
    take_snapshot,
)
from servicekit.tasks.calls import CommandCall
from servicekit.tasks.commands import run_command
from servicekit.tasks.templates import Template

if TYPE_CHECKING:
    from fastapi import FastAPI

_PRELOADED: Final = ("servicekit.ml.command_model",)
_STOP_SHARE: Final = 0.8
_MAX_NAMED: Final = 5  # of the files that are not kept: a line of the log stays short

_log = logging.getLogger("servicekit.ml")

_FEATURE: Final = "servicekit.ml.feature"


class CommandModel:
    """A model in any language: a command that trains, and a command that predicts.

        model = CommandModel(
            train=["Rscript", "scripts/train.R", "{data_file}", "{model_file}"],
            predict=["Rscript", "scripts/predict.R", "{model_file}", "{future_file}", "{output_file}"],
            include=["scripts/**"],
        )

    Each command runs in a process of the job's own, in an empty temporary directory, without a shell. Into that are
    copied: the files that `include` names and those that the command itself names, as far as they are in `folder`; and
    the inputs, `config.yml`, `data.csv` or `historic.csv` and `future.csv`, and `geo.json` and `run_info.json` if there
    are any. What the training has made or changed is the trained model. A prediction finds it where it was, and writes
    `predictions.csv`. Then the directory is removed. Names that begin with a dot, and links, are never copied and never
    kept.

    What a command writes is in the job's log while it runs; a line `::progress 3/10` on its standard output is the
    job's progress. All that it writes becomes an artifact, which `output` in the metadata of the model or prediction
    names. If it does not exit with 0, the job fails, and `artifact_id` in its record names that artifact.

    - `train`, `predict`: the program and its arguments. In these, `{data_file}`, `{historic_file}`, `{future_file}`,
      `{output_file}`, `{geo_file}`, `{config_file}`, `{run_info_file}` and `{model_file}` stand for the names of the
      files. An argument is left out if nobody has sent its file. Other braces are doubled: `{{` and `}}`.
    - `include`: patterns such as `scripts/**` and `*.R`, relative to `folder`. A pattern that names no file is an error
      when the service is built.
    - `folder`: the folder of the module that makes the object, by default.
    - `env`: variables for the commands besides those of the service.
    - `max_bytes`, `max_files`: how much a trained model may hold, and `predictions.csv`.
    - `name`, `config`, `targets`, `prediction` and the options of training jobs: as for `Model`.

    It must be a global of a module. `ConfigurationError` for what makes no sense.
    """

    def __init__(
        self,
        *,
        train: Sequence[str],
        predict: Sequence[str],
        include: Sequence[str] = (),
        folder: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
        config: type[BaseConfig] = BaseConfig,
        targets: Sequence[str] = (),
        max_bytes: int = MAX_BYTES,
        max_files: int = MAX_FILES,
        prediction: OptionChanges | None = None,
        **options: Unpack[OptionChanges],
    ) -> None:
        check_option_names(options, CommandModel.__init__.__kwdefaults__)
        name = options.pop("name", None)
        self.options = LearnerOptions(
            name=name,
            config=config,
            targets=targets,
            training=options,
            prediction=prediction or {},
            prediction_runner="process",
            model_suffix=ARCHIVE_SUFFIX,
            model_media_type=ARCHIVE_MEDIA_TYPE,
            has_safe_models=False,  # many languages run code when they read a file of theirs
        )
        check_patterns("include", include)
        self._train = _ModelCommand("train", train, TRAINING_NAMES, options)
        self._predict = _ModelCommand("predict", predict, PREDICTION_NAMES, prediction or {})
        self._include = tuple(include)
        self._module, own_folder = _find_caller()
        self._folder = own_folder if folder is None else Path(folder).absolute()
        self._env = dict(Command(self._train.argv, env=env).env or {})  # which checks them
        self._limits = ArchiveLimits(max_bytes=max_bytes, max_files=max_files)
        self.trainer = TrainingJob(self)
        self.predictor = PredictionJob(self)

    def install(self, app: "FastAPI") -> None:
        # By its name: that module knows all of the api, and a job's own process has no use for it.
        import_module(_FEATURE).install_learner(app, self, [self._module])

    def lifespan(self, app: "FastAPI") -> AbstractAsyncContextManager[None]:
        around: AbstractAsyncContextManager[None] = import_module(_FEATURE).run_learners(app)
        return around

    def prepare(self) -> Sequence[str]:
        """See `Learner`. A program that is not installed is only a warning: jobs may run in other processes."""
        for command in (self._train, self._predict):
            program, files = command.program, self._list_files(command)
            if program.removeprefix("./") not in files and shutil.which(program, path=self._env.get("PATH")) is None:
                _log.warning("The program %s of a model is not installed here, so its jobs would fail here.", program)
        return _PRELOADED

    def run_training(self, inputs: TrainingInputs) -> TrainedModel:
        """See `Learner`."""
        workspace = inputs.resources.enter_context(make_workspace())
        copy_included(self._folder, self._list_files(self._train), workspace)
        files = {"model_file": MODEL_FILE, "data_file": DATA_FILE, **write_common(workspace, inputs)}
        inputs.data.write_csv(workspace.files / DATA_FILE)
        snapshot = take_snapshot(workspace)
        output = self._run(self._train, files, workspace, inputs)
        names = list_changed(workspace, snapshot)
        _tell_left_out(list_left_out(workspace))
        archive = workspace.scratch.with_name(f"model{ARCHIVE_SUFFIX}")
        with archive.open("wb") as file:
            pack(workspace.files, names, file, self._limits)
        return TrainedModel(content=archive, metadata={"output": output})

    def run_prediction(self, model: Artifact, inputs: PredictionInputs) -> Predicted:
        """See `Learner`."""
        check_model(model, file_name=f"{inputs.learner}{ARCHIVE_SUFFIX}", media_type=ARCHIVE_MEDIA_TYPE, is_safe=False)
        workspace = inputs.resources.enter_context(make_workspace())
        with inputs.artifacts.open(model.id) as archive:
            unpack(archive, workspace.files, self._limits)
        copy_included(self._folder, self._list_files(self._predict), workspace)
        workspace.remove(OUTPUT_FILE)  # one that the training has left would be taken for the prediction
        files = {"model_file": MODEL_FILE, "output_file": OUTPUT_FILE, **write_common(workspace, inputs)}
        files |= write_table(workspace, "historic_file", HISTORIC_FILE, inputs.historic)
        files |= write_table(workspace, "future_file", FUTURE_FILE, inputs.future)
        output = self._run(self._predict, files, workspace, inputs)
        return Predicted(content=read_predictions(workspace, self._predict.program), metadata={"output": output})

    def run_validation(self, inputs: ValidationInputs) -> Sequence[Diagnostic]:  # noqa: ARG002
        """See `Learner`. A command would take too long; what all models need was checked already."""
        return ()

    def _list_files(self, command: "_ModelCommand") -> list[str]:
        """The files of the model's folder that the command needs. `ConfigurationError` if `include` names none."""
        named = (argument.removeprefix("./") for argument in command.argv)
        return sorted({*list_included(self._folder, self._include), *(each for each in named if self._has_file(each))})

    def _has_file(self, name: str) -> bool:
        if find_name_problem(name) is not None:
            return False
        try:
            open_plain_file(self._folder, name).close()
        except OSError:
            return False
        return True

    def _run(
        self,
        command: "_ModelCommand",
        files: Mapping[str, str],
        workspace: Workspace,
        inputs: TrainingInputs | PredictionInputs,
    ) -> object:
        """Run the command to its end, and return the id of the artifact that has its output.

        `CommandFailed` unless it exits with 0. Then the job's record names that artifact.
        """
        argv = command.fill(files)
        call = CommandCall(
            task=f"{command.option} {inputs.learner}",
            argv=tuple(argv),
            artifacts=inputs.artifacts.address,
            snapshot={"command": argv},
            env={**self._env, "TMPDIR": str(workspace.scratch)},
            cwd=str(workspace.files),
            stop_seconds=command.stop_seconds,
        )
        return run_command(call)["artifact_id"]


class _ModelCommand:
    """A command with places for the names of files."""

    def __init__(self, option: str, argv: Sequence[str], names: Sequence[str], options: OptionChanges) -> None:
        """`ConfigurationError` if it is no list of texts, or has a place for what there is not."""
        if isinstance(argv, str) or not isinstance(argv, Sequence):
            raise ConfigurationError(option, argv, 'a list of texts, such as ["Rscript", "train.R", "{data_file}"]')
        self.argv = [str(part) if isinstance(part, PurePath) else part for part in argv]
        self.option = option
        # Its job needs the rest of the grace time to keep the output.
        self.stop_seconds = _STOP_SHARE * seconds_of(changed(DEFAULT_OPTIONS, options).kill_grace)
        self._template = Template.parse(self.argv)
        self._names = names
        for place in self._template.placeholders:
            if place.name not in names or place.is_list:
                known = ", ".join(f"{{{name}}}" for name in names)
                sentence = (
                    f"{option} has a place {{{place.name}}}, and only these are filled: {known}. Braces that are no "
                    "place are doubled: {{ and }}."
                )
                raise ConfigurationError(option, argv, sentence=sentence)

    @property
    def program(self) -> str:
        return self.argv[0]

    def fill(self, files: Mapping[str, str]) -> list[str]:
        """The arguments with these names of files. An argument is left out if there is no such file."""
        values = {name: files.get(name) for name in self._names}
        return self._template.fill(self.program, values, allow_options=True)


def _tell_left_out(names: Sequence[str]) -> None:
    if names:
        more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
        listed = ", ".join(map(repr, names[:_MAX_NAMED]))
        reason = "they are links or devices, or have names that begin with a dot or cannot be used"
        current_job().log(f"Not kept, since {reason}: {listed}{more}", "warning")


def _find_caller() -> tuple[str, Path]:
    """The name and the folder of the module that calls the constructor."""
    caller = sys._getframe(2).f_globals
    file = caller.get("__file__")
    return caller["__name__"], Path(file).resolve().parent if file else Path.cwd()
