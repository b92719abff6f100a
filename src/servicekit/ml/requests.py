"""What clients send to the routes of models, read and checked."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any, Final, Literal, NamedTuple, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from pydantic_core import from_json

from servicekit.api import Service
from servicekit.api.errors import mistake
from servicekit.artifacts import Table
from servicekit.artifacts.bodies import read_small_body
from servicekit.artifacts.checked_json import CheckedJson
from servicekit.artifacts.inputs import answered, use_body
from servicekit.artifacts.state import state_of
from servicekit.artifacts.strict_json import without_collector, write_json
from servicekit.artifacts.transfers import answer_transfer
from servicekit.errors import InvalidContent
from servicekit.ml.tables import read_table

Place = tuple[str | int, ...]
R = TypeVar("R", bound="ModelRequest")
T = TypeVar("T")

# So many bytes are read within milliseconds, on the event loop. More are read in a thread.
_MOST_AT_ONCE: Final = 64 * 1024
_MAX_RUN_INFO_BYTES: Final = 64 * 1024  # it is an argument of the job, and in the metadata of what the job makes
_TABLES: Final = ("data", "historic", "future")


class TableRef(NamedTuple):
    """A table that was uploaded before."""

    artifact_id: str


class ModelRequest(BaseModel):
    """What all requests can have."""

    geo: Annotated[Any, Field(description="GeoJSON for the model, or anything else that it knows what to do with.")] = (
        None
    )
    run_info: Annotated[dict[str, Any], Field(description="What you want to find in the metadata later.")] = {}


class TrainRequest(ModelRequest):
    """A training."""

    config_id: Annotated[
        str | None, Field(description="A config; left out, the defaults of all settings, if they have defaults.")
    ] = None
    data: Annotated[
        Any,
        Field(
            description='The table to train on: `{"columns": [...], "data": [[...]]}`, or one that was uploaded: '
            '`{"artifact_id": "..."}`. A missing value is `null`.',
        ),
    ]
    model: Annotated[str | None, Field(description="The model's name, if the service has several.")] = None


class PredictRequest(ModelRequest):
    """A prediction."""

    artifact_id: Annotated[str, Field(description="The trained model: the `artifact_id` of its training.")]
    historic: Annotated[Any, Field(description="What is known of the past: a table as in a training, or `null`.")] = (
        None
    )
    future: Annotated[Any, Field(description="What is known of the time to predict: a table as in a training.")]


class ValidateRequest(ModelRequest):
    """What a training or a prediction would get."""

    type: Annotated[
        Literal["train", "predict"] | None,
        Field(description="Left out, a prediction if there is an `artifact_id`, else a training."),
    ] = None
    config_id: str | None = None
    artifact_id: str | None = None
    data: Any = None
    historic: Any = None
    future: Any = None
    model: str | None = None

    def as_request(self) -> TrainRequest | PredictRequest:
        """What it would be as one of the others. `RequestValidationError` if something is missing."""
        is_training = self.type == "train" or (self.type is None and self.artifact_id is None)
        given = {name: getattr(self, name) for name in self.model_fields_set}
        return _validate(TrainRequest, given) if is_training else _validate(PredictRequest, given)


async def read_request(kind: type[R], request: Request, service: Service, max_bytes: int) -> R:
    """The body of a request. Its tables are a `Table` or a `TableRef` by then.

    `RequestValidationError` (422), with the place, for whatever is wrong in it; `ContentTooLarge`.
    """
    if _is_small(request.headers.get("content-length", "")):
        # Threads and a file would cost a millisecond.
        return _read(kind, await answer_transfer(read_small_body(request, service, max_bytes)))
    read = partial(_read_large, state_of(request.app).checked, kind)
    return await answer_transfer(use_body(request, service, read, max_bytes))


def _is_small(length: str) -> bool:
    return length.isascii() and length.isdigit() and len(length) < 9 and int(length) <= _MOST_AT_ONCE


def _read_large(checked: CheckedJson, kind: type[R], body: bytes) -> R:
    with checked.turn(len(body)):
        return _read(kind, body)


def _read(kind: type[R], body: bytes) -> R:
    try:
        with without_collector():
            value = from_json(body, allow_inf_nan=True)  # NaN is refused later, with its place
    except ValueError as error:
        raise mistake(("body",), f"The body is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise mistake(("body",), "The body must be a JSON object.")
    for name in _TABLES:
        if value.get(name) is not None and name in kind.model_fields:
            value[name] = _read_source(value[name], ("body", name))
    request = _validate(kind, value)
    # Now, and not when it is saved with the model, after a training of hours.
    if len(at(("body",), lambda: write_json(request.run_info, "run_info")).encode()) > _MAX_RUN_INFO_BYTES:
        raise mistake(("body", "run_info"), f"It is larger than {_MAX_RUN_INFO_BYTES:,} bytes.")
    return request


def _validate(kind: type[R], value: Mapping[str, Any]) -> R:
    with answered("body"):
        return kind.model_validate(value)


def _read_source(value: object, place: Place) -> Table | TableRef:
    if isinstance(value, dict) and "artifact_id" in value:
        artifact_id = value["artifact_id"]
        if not isinstance(artifact_id, str):
            raise mistake_at((*place, "artifact_id"), "It must be the id of an artifact.")
        return TableRef(artifact_id)
    return at(place, lambda: read_table(value))


def at(place: Place, read: Callable[[], T]) -> T:
    """What `read` returns. Its `InvalidContent` becomes a 422 for this place of the request, or one below it."""
    try:
        return read()
    except InvalidContent as error:
        reason = f"{error.reason[:1].upper()}{error.reason[1:].rstrip('.')}."
        raise mistake_at((*place, *error.place), reason) from error


def mistake_at(place: Place, text: str) -> RequestValidationError:
    """FastAPI's own error (422) for a mistake at this place, which can have numbers."""
    return mistake(place, text)
