"""The files through which the commands of a model get their inputs and give their outputs."""

import json
import re
from collections.abc import Mapping
from math import isfinite
from typing import Final

from servicekit.artifacts import Table
from servicekit.errors import CommandFailed, ContentTooLarge, InvalidContent
from servicekit.ml.archives import open_plain_file
from servicekit.ml.learner import PredictionInputs, TableSource, TrainingInputs
from servicekit.ml.workspace import Workspace

CONFIG_FILE: Final = "config.yml"
DATA_FILE: Final = "data.csv"
HISTORIC_FILE: Final = "historic.csv"
FUTURE_FILE: Final = "future.csv"
GEO_FILE: Final = "geo.json"
RUN_INFO_FILE: Final = "run_info.json"
OUTPUT_FILE: Final = "predictions.csv"
MODEL_FILE: Final = "model"

TRAINING_NAMES: Final = ("data_file", "config_file", "geo_file", "run_info_file", "model_file")
PREDICTION_NAMES: Final = (
    "historic_file", "future_file", "output_file", "config_file", "geo_file", "run_info_file", "model_file",
)  # fmt: skip
"""The placeholders of each command."""

# Characters that JSON takes as they are. For YAML they are none, or end a line. They stand in texts only.
_NOT_IN_YAML: Final = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_MISSING: Final = ("NA", "NaN", "nan")  # as R and pandas write what is missing
_MAX_OUTPUT_BYTES: Final = 256 * 1024**2  # of predictions.csv, which is read into memory


def write_common(workspace: Workspace, inputs: TrainingInputs | PredictionInputs) -> dict[str, str]:
    """Write the files that both commands get, and return the names of those that are there."""
    workspace.write(CONFIG_FILE, write_config(inputs.config.model_dump(mode="json")))
    files = {"config_file": CONFIG_FILE}
    for placeholder, name, value in (
        ("geo_file", GEO_FILE, inputs.geo),
        ("run_info_file", RUN_INFO_FILE, dict(inputs.run_info) or None),
    ):
        workspace.remove(name)  # one that the training was given says nothing of the prediction
        if value is not None:
            workspace.write(name, _json(value))
            files[placeholder] = name
    return files


def write_table(workspace: Workspace, placeholder: str, name: str, source: TableSource | None) -> dict[str, str]:
    workspace.remove(name)
    if source is None:
        return {}
    source.write_csv(workspace.files / name)
    return {placeholder: name}


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def write_config(config: Mapping[str, object]) -> str:
    """The config as JSON that is YAML too, each setting on a line of its own.

    So no package is needed to write it, and readers of JSON and of YAML read the same.
    """
    lines = [f"  {_json(name)}: {_yaml(value)}" for name, value in config.items()]
    return _NOT_IN_YAML.sub(_escape, "{\n" + ",\n".join(lines) + "\n}\n")


def _escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def _yaml(value: object) -> str:
    match value:
        case dict():
            return "{" + ", ".join(f"{_json(str(key))}: {_yaml(each)}" for key, each in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(_yaml, value)) + "]"
        case float():
            # For most readers of YAML (its version 1.1), 1e-09 is a text, and 1.0e-09 a number.
            text = _json(value)
            return text if "." in text else text.replace("e", ".0e")
        case _:
            return _json(value)


def read_predictions(workspace: Workspace, program: str) -> Table:
    """The table that the program has written. `CommandFailed` without one; `InvalidContent` if it is no table."""
    try:
        table = Table.from_csv(_read_output(workspace, program).decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise _wrong_output(f"its byte {error.start} is not UTF-8") from None
    except InvalidContent as error:
        raise _wrong_output(str(error)) from None
    if not table.data:
        raise _wrong_output("it has no rows")
    for column in table.columns:
        if re.fullmatch(r"sample_\d+", column):
            _check_numbers(column, table.column(column))
    return table


def _read_output(workspace: Workspace, program: str) -> bytes:
    try:
        file = open_plain_file(workspace.files, OUTPUT_FILE)
    except OSError:
        raise CommandFailed(program, f"it exited with code 0, but has written no file {OUTPUT_FILE}") from None
    with file:
        content = file.read(_MAX_OUTPUT_BYTES + 1)
    if len(content) > _MAX_OUTPUT_BYTES:
        raise ContentTooLarge(_MAX_OUTPUT_BYTES)
    return content


def _check_numbers(column: str, cells: list[object]) -> None:
    """`InvalidContent` for what is no number, such as `Inf`, which JSON does not know."""
    for row, cell in enumerate(cells):
        if isinstance(cell, str) and cell not in _MISSING and not _is_number(cell):
            raise _wrong_output(f"{cell[:40]!r} in row {row} of the column {column!r} is no number")


def _is_number(text: str) -> bool:
    try:
        return isfinite(float(text))
    except ValueError:
        return False


def _wrong_output(reason: str) -> InvalidContent:
    return InvalidContent((OUTPUT_FILE,), reason)
