"""The routes of configs, beside the job routes: `/api/v1/configs`."""

from datetime import datetime
from functools import partial
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import Depends, FastAPI, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field

from servicekit.api import Service
from servicekit.api.admission import find_access
from servicekit.api.errors import ErrorBody, mistake
from servicekit.api.openapi import name_operation
from servicekit.api.routing import JobRoute
from servicekit.artifacts.feature import artifacts_of
from servicekit.artifacts.inputs import FIELD_BYTES, answered, read_small
from servicekit.artifacts.seen import find_acting_seer, find_seer
from servicekit.errors import InvalidContent
from servicekit.ml.configs import MAX_NAME_CHARACTERS, BaseConfig, Config, Configs
from servicekit.ml.requests import mistake_at
from servicekit.ml.state import models_of

_ULID: Final = "01JQRS7XK5N8Z3VQ2M4T6W8Y0A"
_NOT_FOUND: Final[dict[int | str, dict[str, Any]]] = {
    404: {"model": ErrorBody, "description": "There is no such config."}
}
_NEXT: Final[dict[int | str, dict[str, Any]]] = {
    200: {"headers": {"Link": {"description": '`<...>; rel="next"`', "schema": {"type": "string"}}}}
}

_Id = Annotated[str, Path(description="The config's ULID.", examples=[_ULID])]


class ConfigBody(BaseModel):
    """A config, as a client sends it."""

    name: Annotated[
        str, Field(min_length=1, max_length=MAX_NAME_CHARACTERS, description="For people.", examples=["monthly"])
    ]
    data: Annotated[dict[str, Any], Field(description="The settings: see `$schema`.")] = {}


_BODY: Final = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": ConfigBody.model_json_schema()}}}
}
_WRONG: Final[dict[int | str, dict[str, Any]]] = {
    413: {"model": ErrorBody, "description": "The body is too large."},
    422: {
        "description": "Something in the body is wrong: `loc` says where.",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/HTTPValidationError"}}},
    },
}


class ConfigRecord(BaseModel):
    """A config, as it is kept: with the defaults of what was left out.

    It allows more than `ConfigBody`, since clients can change the metadata of a config's artifact.
    """

    id: Annotated[str, Field(examples=[_ULID])]
    name: Annotated[str, Field(description="For people.", examples=["monthly"])]
    data: Annotated[dict[str, Any], Field(description="The settings: see `$schema`.")]
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, config: Config) -> "ConfigRecord":
        return cls(
            id=config.id,
            name=config.name,
            data=config.data,
            created_at=config.created_at,
            updated_at=config.updated_at,
        )


def add_config_routes(app: FastAPI, prefix: str) -> None:
    """Add the routes to the application itself, as those of jobs are."""
    add = partial(
        app.router.add_api_route,
        tags=["models"],
        route_class_override=JobRoute,
        generate_unique_id_function=name_operation,
    )
    one = f"{prefix}/{{config_id}}"
    add(prefix, list_configs, summary="List configs", responses=_NEXT)
    body: dict[str, Any] = {"openapi_extra": _BODY, "responses": _WRONG}
    add(prefix, add_config, methods=["POST"], status_code=201, summary="Keep a config", **body)
    # Before the routes with `{config_id}`, which would take `$schema` for an id.
    add(f"{prefix}/$schema", get_config_schema, summary="Get the JSON Schema of configs")
    add(one, get_config, summary="Get one config", responses=_NOT_FOUND)
    body = {"openapi_extra": _BODY, "responses": {**_NOT_FOUND, **_WRONG}}
    add(one, replace_config, methods=["PUT"], summary="Change a config", **body)
    add(one, delete_config, methods=["DELETE"], status_code=204, summary="Delete a config", responses=_NOT_FOUND)


def _configs(request: Request) -> Configs:
    return Configs(artifacts_of(request.app), owner=find_access(request).owner, seer=find_seer(request))


async def _find_acted(request: Request, config_id: _Id) -> str:
    await _configs(request).get(config_id)  # before 403, which would tell of another's config
    find_acting_seer(request)
    return config_id


_ActedId = Annotated[str, Depends(_find_acted)]
"""The id of a config that the caller may change."""


async def list_configs(
    request: Request,
    response: Response,
    limit: Annotated[int, Query(ge=1, le=1_000, description="The most configs on one page.")] = 100,
    cursor: Annotated[str | None, Query(description="Continue after the page before: see `Link`.")] = None,
) -> list[ConfigRecord]:
    """All configs that the caller sees, in pages, the newest first."""
    page = await _configs(request).list(limit=limit, cursor=cursor)
    if page.next_cursor is not None:
        query = urlencode({"limit": limit, "cursor": page.next_cursor})
        response.headers["link"] = f'<{request.url.path}?{query}>; rel="next"'
    return [ConfigRecord.of(config) for config in page.configs]


async def add_config(request: Request) -> ConfigRecord:
    """Keep a config. What the model's class of configs does not allow is refused."""
    find_acting_seer(request)
    body = await _read(request)
    data = _check(request, body)
    try:
        return ConfigRecord.of(await _configs(request).add(body.name, data))
    except InvalidContent as error:
        raise _as_mistake(error) from error


async def get_config_schema(
    request: Request,
    model: Annotated[str | None, Query(description="The model's name, if the service has several.")] = None,
) -> dict[str, Any]:
    """What a config's `data` may be, for forms."""
    return _find_class(request, model).model_json_schema()


async def get_config(request: Request, config_id: _Id) -> ConfigRecord:
    """One config."""
    return ConfigRecord.of(await _configs(request).get(config_id))


async def replace_config(request: Request, config_id: _ActedId) -> ConfigRecord:
    """Change a config. Models that were trained with it keep what it was."""
    body = await _read(request)
    data = _check(request, body)
    try:
        return ConfigRecord.of(await _configs(request).replace(config_id, body.name, data))
    except InvalidContent as error:
        raise _as_mistake(error) from error


async def delete_config(request: Request, config_id: _ActedId) -> None:
    """Delete a config. Models that were trained with it stay."""
    await _configs(request).delete(config_id)


async def _read(request: Request) -> ConfigBody:
    return await read_small(request, Service.of(request.app), ConfigBody, FIELD_BYTES)


def _check(request: Request, body: ConfigBody) -> dict[str, Any]:
    """The data as the class of configs completes it. A 422 with the place for what it does not allow."""
    try:
        with answered("body", "data"):
            return _find_class(request, None).model_validate(body.data).model_dump(mode="json")
    except ValueError as error:  # it is nested too deeply to be written again
        raise mistake(("body", "data"), str(error)) from None


def _find_class(request: Request, model: str | None) -> type[BaseConfig]:
    """The class of this model's configs; without a name the one that all models have, or that of none in particular.

    If models have different classes, a config is checked by `$train`, which knows the model.
    """
    models = models_of(request.app)
    if model is not None:
        if model not in models.learners:
            raise mistake(
                ("query", "model"), f"There is no model of this name. There are: {', '.join(models.learners)}."
            )
        return models.learners[model].learner.options.config
    classes = {named.learner.options.config for named in models}
    return classes.pop() if len(classes) == 1 else BaseConfig


def _as_mistake(error: InvalidContent) -> RequestValidationError:
    """The same as a 422, at the place where the client has sent it."""
    place = ("body", *(part for part in error.place if part != "metadata"))
    return mistake_at(place, f"{error.reason[:1].upper()}{error.reason[1:].rstrip('.')}.")
