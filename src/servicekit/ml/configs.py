"""Configs: the settings of a model that clients keep under an id, and train with.

A config is an artifact of the kind "config": every process of the service sees it, and no more files are needed. Its
name and data are in the artifact's metadata, since these may change and the content of an artifact may not. A model
keeps a copy of the data that it was trained with, so a config can be changed and deleted at any time.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from servicekit.artifacts import Artifact, Artifacts
from servicekit.artifacts.ownership import check_is_seen
from servicekit.errors import ArtifactNotFound, ConfigNotFound, InvalidArtifactId, InvalidContent

CONFIG_KIND: Final = "config"
MAX_NAME_CHARACTERS: Final = 200
MAX_CONFIG_BYTES: Final = 8 * 1024  # each model has a copy in its metadata, where other facts need some room too


class BaseConfig(BaseModel):
    """The settings of a model. Derive from it for those of your own; other fields are kept as they are."""

    # NaN is to be refused with its place, and not to become null.
    model_config = ConfigDict(extra="allow", ser_json_inf_nan="constants")

    prediction_periods: int = Field(default=3, ge=1, description="How many periods to predict.")
    additional_continuous_covariates: list[str] = Field(
        default_factory=list, description="Columns that the model may use besides those that it needs."
    )


@dataclass(frozen=True, slots=True)
class Config:
    """A config, as it is kept."""

    id: str
    name: str
    data: dict[str, Any]
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class ConfigPage:
    """Some configs, newest first."""

    configs: list[Config]
    next_cursor: str | None


class Configs:
    """The configs of a service; with a `seer`, only what this owner has is there. New ones belong to the `owner`."""

    def __init__(self, artifacts: Artifacts, *, owner: str | None = None, seer: str | None = None) -> None:
        self._artifacts = artifacts.aio
        self._owner = owner
        self._seer = seer

    async def add(self, name: str, data: Mapping[str, Any]) -> Config:
        """Keep a new config. It stays until it is deleted, whatever the retention of artifacts is.

        `InvalidContent`, with the place, for what is no JSON, or more than 8 KiB of it.
        """
        metadata = _metadata(name, data)
        artifact = await self._artifacts.save({}, kind=CONFIG_KIND, metadata=metadata, keep="always", owner=self._owner)
        return await self.get(artifact.id)

    async def get(self, config_id: str) -> Config:
        """`ConfigNotFound` if there is none of this id."""
        try:
            config = _config_of(check_is_seen(await self._artifacts.get(config_id), self._seer))
        except (ArtifactNotFound, InvalidArtifactId):
            config = None
        if config is None:
            raise ConfigNotFound(config_id)
        return config

    async def list(self, *, limit: int = 100, cursor: str | None = None) -> ConfigPage:
        """The configs, newest first."""
        page = await self._artifacts.list(kind=CONFIG_KIND, owner=self._seer, limit=limit, cursor=cursor)
        return ConfigPage([*filter(None, map(_config_of, page.artifacts))], page.next_cursor)

    async def replace(self, config_id: str, name: str, data: Mapping[str, Any]) -> Config:
        """Change a config. Models that were trained with it keep what it was. `ConfigNotFound` if there is none."""
        await self.get(config_id)
        await self._artifacts.update(config_id, metadata=_metadata(name, data))
        return await self.get(config_id)

    async def delete(self, config_id: str) -> None:
        """Delete a config. Models that were trained with it stay. `ConfigNotFound` if there is none."""
        await self.get(config_id)
        await self._artifacts.delete(config_id, owner=self._seer)


def _metadata(name: str, data: Mapping[str, Any]) -> dict[str, Any]:
    if len(json.dumps(data, ensure_ascii=False).encode(errors="replace")) > MAX_CONFIG_BYTES:
        raise InvalidContent(("data",), f"it is larger than {MAX_CONFIG_BYTES:,} bytes of JSON")
    return {"name": name, "data": dict(data)}


def _config_of(artifact: Artifact) -> Config | None:
    """The config in an artifact; `None` if it is another artifact, or one of this kind that a client has made up."""
    name, data = artifact.metadata.get("name"), artifact.metadata.get("data")
    if artifact.kind != CONFIG_KIND or not isinstance(name, str) or not isinstance(data, dict):
        return None
    if not 1 <= len(name) <= MAX_NAME_CHARACTERS:
        return None
    return Config(artifact.id, name, data, artifact.created_at, artifact.updated_at)
