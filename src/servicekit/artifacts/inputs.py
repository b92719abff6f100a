"""What clients say: fields of a query, a form or JSON, with the place of every mistake."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from tempfile import SpooledTemporaryFile, gettempdir
from typing import IO, Annotated, Final, TypeVar

from fastapi import Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from servicekit.api import Service
from servicekit.api.errors import mistake
from servicekit.artifacts.bodies import read_small_body, take_body
from servicekit.artifacts.folder import translated_errors
from servicekit.artifacts.transfers import answer_transfer
from servicekit.errors import InvalidContent
from servicekit.jobs.threads import call_in_thread

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")

FIELD_BYTES: Final = 64 * 1024  # for all fields but the content; metadata have at most 16 KiB
# A million of them would take seconds to write down, in which nothing else runs.
_MOST_MISTAKES: Final = 100
_MEMORY_BYTES: Final = 256 * 1024  # what has more is in a temporary file while it comes: many clients may send at once


async def parse_fields(
    request: Request,
    parent_id: Annotated[str | None, Query(description="The artifact from which it was made.")] = None,
    kind: Annotated[str | None, Query(description="What it is, in a word of the service.", examples=["upload"])] = None,
    name: Annotated[str | None, Query(description="The name of the file.", examples=["sales.csv"])] = None,
    media_type: Annotated[
        str | None, Query(description="The type of the content. It counts before `Content-Type`.")
    ] = None,
    metadata: Annotated[str | None, Query(description="A JSON object that is kept with it.")] = None,
    tags: Annotated[list[str] | None, Query(description="A word by which it is found; repeated, several.")] = None,
) -> dict[str, object]:
    """What the query says of an upload."""
    refuse_misnomer(request, "parent", "parent_id")
    given = {"parent_id": parent_id, "kind": kind, "name": name, "media_type": media_type, "tags": tags}
    fields: dict[str, object] = {key: value for key, value in given.items() if value is not None}
    if metadata is not None:
        fields["metadata"] = _read_object(metadata, ("query", "metadata"))
    return fields


def refuse_misnomer(request: Request, name: str, right_name: str) -> None:
    """Answer 422 to a wrong name of a parameter, which would else be ignored."""
    if name in request.query_params:
        text = f"There is no parameter of this name. Use {right_name}"
        raise mistake(("query", name), text, input=request.query_params[name])


def fields_of_form(form: Sequence[tuple[str, str]]) -> dict[str, object]:
    """The fields of a form as those of JSON. A form sends empty fields too, which say nothing."""
    fields: dict[str, object] = {}
    tags: list[str] = []
    for name, text in form:
        if name == "tags":
            tags += [text] if text else []
        elif name == "metadata" and text:
            fields[name] = _read_object(text, ("body", name))
        elif text:
            fields[name] = text
    return {**fields, "tags": tags} if tags else fields


def validate(model: type[M], fields: Mapping[str, object], place: str) -> M:
    """The model with these fields. What is wrong is a 422, within `place`."""
    with answered(place):
        return model.model_validate(fields)


async def read_small(request: Request, service: Service, model: type[M], max_bytes: int) -> M:
    """The model that a body has as JSON. It is parsed on the event loop, so it must be small.

    Other than a parameter of FastAPI's it has a limit, does not repeat what was sent if that is wrong, and is not
    waited for when the service stops or the client stands still.
    """
    body = await answer_transfer(read_small_body(request, service, max_bytes))
    with answered("body"):
        return model.model_validate_json(body)


async def use_body(request: Request, service: Service, use: Callable[[bytes], T], max_bytes: int) -> T:
    """What `use` returns for the whole body. It is called in a thread, and what it finds wrong is a 422.

    `ContentTooLarge`, before it is called, if the body has more than `max_bytes`.
    """
    file = SpooledTemporaryFile(_MEMORY_BYTES)  # noqa: SIM115 # it is closed in a thread
    try:
        await take_body(request, service, partial(_write, file), max_bytes)
        with answered("body"):
            return await call_in_thread(_use, file, use)
    finally:
        await call_in_thread(file.close)


def _write(file: IO[bytes], piece: bytes) -> None:
    with translated_errors(gettempdir()):
        file.write(piece)


def _use(file: IO[bytes], use: Callable[[bytes], T]) -> T:
    file.seek(0)
    return use(file.read())


@contextmanager
def answered(*place: str) -> Iterator[None]:
    """Turn what is wrong with what a client says into FastAPI's own error, a 422, within `place`."""
    try:
        yield
    except InvalidContent as error:
        raise mistake((*place, *error.place), error.reason) from error
    except ValidationError as error:
        raise _as_mistakes(error, place) from error


def _as_mistakes(error: ValidationError, place: tuple[str, ...]) -> RequestValidationError:
    count = error.error_count()
    if count > _MOST_MISTAKES:
        return mistake(place, f"{count:,} values do not fit")
    # Without the input: it can be the whole content, a secret, or NaN, which FastAPI could not write.
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return RequestValidationError([{**each, "loc": (*place, *each["loc"])} for each in found])


def _read_object(text: str, place: tuple[str, ...]) -> object:
    try:
        return from_json(text)
    except ValueError as error:
        raise mistake(place, f"It must be a JSON object: {error}") from error
