"""What a request names is looked up and checked, before anything is kept. So `$validate` does the same."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import ValidationError

from servicekit.api import Service
from servicekit.artifacts import Artifact, Artifacts, Table
from servicekit.artifacts.ownership import check_is_seen
from servicekit.artifacts.promises import PROMISE
from servicekit.errors import (
    ArtifactNotFound,
    InvalidArtifactId,
    InvalidContent,
    JobFailed,
    JobNotFinished,
    JobNotFound,
    ModelNotReady,
    ModelUnusable,
)
from servicekit.jobs.results import check_completed
from servicekit.ml.configs import BaseConfig, Configs
from servicekit.ml.jobs import DATA_KIND, MAX_CONFIG_BYTES
from servicekit.ml.learner import TableSource
from servicekit.ml.requests import Place, PredictRequest, TableRef, TrainRequest, mistake_at
from servicekit.ml.state import Models, NamedLearner
from servicekit.ml.tables import GivenTable, StoredTable, check_readable
from servicekit.ml.trust import check_model


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedTable:
    """A table of the request: one that is not saved yet, or an artifact."""

    source: TableSource
    columns: Sequence[str]
    given: Table | None = None
    artifact_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A training or a prediction for which everything was found."""

    kind: Literal["train", "predict"]
    chosen: NamedLearner
    config: BaseConfig
    config_facts: Mapping[str, Any]
    """The id of the config, `None` for the defaults, and its data: what the job is given."""
    tables: Mapping[str, PlannedTable]
    model: Artifact | None = None
    geo: Any = None
    """As it was sent; or else its artifact is known."""
    geo_id: str | None = None
    run_info: Mapping[str, Any] = field(default_factory=dict)


class Planner:
    """Looks up and checks what requests name. Every mistake is an error with an answer of its own.

    With a `seer`, only what this owner has is there.

    `RequestValidationError` (422) with the place, `ConfigNotFound` and `ArtifactNotFound` (404), `ModelUnusable` (409).
    """

    def __init__(self, service: Service, artifacts: Artifacts, models: Models, seer: str | None) -> None:
        self._service = service
        self._seer = seer
        self._artifacts = artifacts
        self._models = models

    async def plan_training(self, request: TrainRequest) -> Plan:
        chosen = self._choose(request.model)
        facts = await self._find_config(request.config_id, chosen)
        config = _read_config(chosen, facts["data"], ("body", "config_id"))
        data = await self._find_table(request.data, ("body", "data"), kind=DATA_KIND)
        missing = [name for name in chosen.learner.options.targets if name not in data.columns]
        if missing:
            raise mistake_at(_place_of("data", data), f"There is no column {missing[0]!r}, which is to be predicted.")
        geo, geo_id = await self._find_geo(request.geo)
        return Plan(
            kind="train",
            chosen=chosen,
            config=config,
            config_facts=facts,
            tables={"data": data},
            geo=geo,
            geo_id=geo_id,
            run_info=request.run_info,
        )

    async def plan_prediction(self, request: PredictRequest) -> Plan:
        model = await self._find_model(request.artifact_id)
        chosen = self._choose_for(model)
        facts = {"id": model.metadata.get("config_id"), "data": model.metadata.get("config", {})}
        config = _read_config(chosen, facts["data"], ("body", "artifact_id"))
        tables = {"future": await self._find_table(request.future, ("body", "future"))}
        if request.historic is not None:
            tables["historic"] = await self._find_table(request.historic, ("body", "historic"))
        _check_columns(tables, model, chosen.learner.options.targets)
        geo, geo_id = await self._find_geo(request.geo)
        return Plan(
            kind="predict",
            chosen=chosen,
            config=config,
            config_facts=facts,
            tables=tables,
            model=model,
            geo=geo,
            geo_id=geo_id,
            run_info=request.run_info,
        )

    def _choose(self, name: str | None) -> NamedLearner:
        if name is None and self._models.only is not None:
            return self._models.only
        found = self._models.learners.get(name or "")
        if found is None:
            names = ", ".join(self._models.learners)
            raise mistake_at(("body", "model"), f"Name one of the models of this service: {names}.")
        return found

    def _choose_for(self, model: Artifact) -> NamedLearner:
        """The learner that has made this model; one that has not refuses it."""
        by_file_name = {each.file_name: each for each in self._models}
        chosen = by_file_name.get(model.name or "") or next(iter(self._models))
        options = chosen.learner.options
        check_model(
            model,
            file_name=chosen.file_name,
            media_type=options.model_media_type,
            is_safe=options.has_safe_models,
        )
        return chosen

    async def _find_config(self, config_id: str | None, chosen: NamedLearner) -> dict[str, Any]:
        if config_id is None:
            return {"id": None, "data": _default_config(chosen)}
        config = await Configs(self._artifacts, seer=self._seer).get(config_id)
        if len(json.dumps(config.data)) > MAX_CONFIG_BYTES:
            raise mistake_at(("body", "config_id"), f"The config is larger than {MAX_CONFIG_BYTES:,} bytes.")
        return {"id": config.id, "data": config.data}

    async def _find_model(self, artifact_id: str) -> Artifact:
        try:
            return await self._get(artifact_id, ("body", "artifact_id"))
        except ArtifactNotFound:
            with suppress(JobNotFound):
                await self._explain_missing(artifact_id)
            raise

    async def _explain_missing(self, job_id: str) -> None:
        """Raise what says why the model of this training is not there. `JobNotFound` if there is no such job."""
        job = await self._service.scheduler.get_record(job_id)
        key, value = PROMISE
        if job.metadata.get(key) != value or self._seer not in (None, job.owner):
            return
        try:
            check_completed(job_id, job.status, job.error)
        except JobNotFinished as error:
            raise ModelNotReady(job_id, job.status) from error
        except JobFailed as error:
            reason = f": {job.error}" if job.error else "."
            raise ModelUnusable(
                job_id, f"is not there, since its training has ended as {job.status}{reason}"
            ) from error

    async def _find_table(self, value: object, place: Place, kind: str | None = None) -> PlannedTable:
        if isinstance(value, Table):
            return PlannedTable(source=GivenTable(value), columns=value.columns, given=value)
        if not isinstance(value, TableRef):
            raise mistake_at(place, "It must be a table, or the id of one that was uploaded.")
        place = (*place, "artifact_id")
        artifact = await self._get(value.artifact_id, place)
        if kind is not None and artifact.kind != kind:
            text = f"Artifact {artifact.id} has the kind {artifact.kind!r}. Upload the table with the kind {kind!r}."
            raise mistake_at(place, text)
        try:
            source, columns = await asyncio.to_thread(_open_table, self._artifacts, artifact)
        except (InvalidContent, ImportError) as error:  # `MissingExtra` is an ImportError
            reason = error.reason if isinstance(error, InvalidContent) else str(error)
            raise mistake_at(place, f"{reason[:1].upper()}{reason[1:].rstrip('.')}.") from error
        return PlannedTable(source=source, columns=columns, artifact_id=artifact.id)

    async def _find_geo(self, geo: Any) -> tuple[Any, str | None]:
        """What was sent, or the id of its artifact."""
        if not isinstance(geo, dict) or set(geo) != {"artifact_id"}:
            return geo, None
        place = ("body", "geo", "artifact_id")
        artifact = await self._get(str(geo["artifact_id"]), place)
        if not artifact.is_json:
            raise mistake_at(place, f"Artifact {artifact.id} is no JSON, but {artifact.media_type}.")
        most = self._artifacts.max_data_bytes
        if artifact.size > most:
            raise mistake_at(
                place, f"Artifact {artifact.id} has {artifact.size:,} bytes, of which at most {most:,} are read."
            )
        return None, artifact.id

    async def _get(self, artifact_id: str, place: Place) -> Artifact:
        try:
            return check_is_seen(await self._artifacts.aio.get(artifact_id), self._seer)
        except InvalidArtifactId as error:
            raise mistake_at(place, str(error)) from error


def _open_table(artifacts: Artifacts, artifact: Artifact) -> tuple[StoredTable, list[str]]:
    check_readable(artifact, artifacts.max_data_bytes)
    source = StoredTable(artifacts, artifact)
    return source, source.columns


def _read_config(chosen: NamedLearner, data: object, place: Place) -> BaseConfig:
    try:
        return chosen.learner.options.config.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the config"
        raise mistake_at(
            place, f"The config does not fit the model {chosen.name!r}: {where}: {first['msg']}."
        ) from error


def _default_config(chosen: NamedLearner) -> dict[str, Any]:
    try:
        settings: dict[str, Any] = chosen.learner.options.config().model_dump(mode="json")
        return settings
    except ValidationError:
        raise mistake_at(("body", "config_id"), "The model needs a config: some settings have no defaults.") from None


def _check_columns(tables: Mapping[str, PlannedTable], model: Artifact, targets: Sequence[str]) -> None:
    """Refuse columns that the model was not trained with, and the lack of those that it needs."""
    trained = model.metadata.get("columns")
    if not isinstance(trained, list):  # somebody has replaced the metadata
        return
    for name, table in tables.items():
        for index, column in enumerate(table.columns):
            if column not in trained:
                known = ", ".join(map(str, trained[:20]))
                text = f"The model was not trained with a column {column!r}, but with {known}."
                raise mistake_at((*_place_of(name, table), index) if table.given else _place_of(name, table), text)
    future = tables["future"]
    missing = [column for column in trained if targets and column not in {*targets, *future.columns}]
    if missing:
        raise mistake_at(_place_of("future", future), f"There is no column {missing[0]!r}, which the model needs.")


def _place_of(name: str, table: PlannedTable) -> Place:
    return ("body", name, "columns") if table.given is not None else ("body", name, "artifact_id")
