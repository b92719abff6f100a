"""Models without DataFrames, and services with models. A job's own process imports this module."""

import json
import os
import threading
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.testclient import TestClient

from servicekit import current_job
from servicekit.api import ServiceBuilder, ServiceInfo
from servicekit.artifacts import Artifacts
from servicekit.ml import BaseConfig, Custom, Diagnostic, Json, Model, Pickle, Table, report_metrics

TRAINING: dict[str, list[Any]] = {"columns": ["rain", "cases"], "data": [[1, 10], [2, 20], [3, 30], [4, 40]]}
FUTURE = {"columns": ["rain"], "data": [[5], [6]]}
AT_THE_END = {"Prefer": "wait=60"}
UNKNOWN_ID = "01JQRS7XK5N8Z3VQ2M4T6W8Y0A"


class Config(BaseConfig):
    factor: float = 1.0
    fails: bool = False
    waits: bool = False


# --- tables only ---------------------------------------------------------------------------------------------------

predicting = threading.Event()
"""Set when a prediction waits until it is canceled."""

tables = Model(config=Config, serializer=Json(), targets=["cases"], tags=["sample"])


@tables.train
def train_tables(config: Config, data: Table) -> dict[str, Any]:
    job = current_job()
    if config.waits:
        job.progress(1, 5, "fold 1 of 5")
        job.wait_cancel_requested()
        job.raise_if_canceled()
    if config.fails:
        raise ValueError("the data are odd")
    rains, cases = data.column("rain"), data.column("cases")
    slope = sum(cases) / sum(rains)  # type: ignore[arg-type] # they are numbers
    for fold in range(3):
        job.progress(fold + 1, 3, f"fold {fold + 1} of 3")
        report_metrics(fold=fold + 1, rmse=0.25 * (fold + 1))
    return {"slope": slope * config.factor}


@tables.predict
def predict_tables(model: dict[str, float], future: Table, historic: Table | None, geo: Any) -> Table:
    if geo is not None and geo.get("waits"):
        predicting.set()
        current_job().wait_cancel_requested()
    rows = [[rain, rain * model["slope"]] for rain in future.column("rain")]  # type: ignore[operator]
    extra = [] if historic is None else [[rain, 0.0] for rain in historic.column("rain")]
    return Table(["rain", "sample_0"], [*extra, *rows, *([] if geo is None else [[geo["rain"], None]])])


@tables.validate
def check_tables(kind: str, config: Config, data: Table | None) -> list[Diagnostic | str]:
    if config.fails:
        return ["the config says that it fails"]
    if kind == "train" and data is not None and len(data) < 2:
        return [Diagnostic(severity="warning", message="there is little data", code="little_data", field="data")]
    return []


# --- other formats -------------------------------------------------------------------------------------------------

pickled = Model(config=Config, serializer=Pickle())
pickled.train(train_tables)
pickled.predict(predict_tables)


apart = Model(serializer=Json(), prediction={"runner": "process"})


@apart.train
def train_nothing(data: Table) -> int:
    return len(data)


@apart.predict
def predict_process(future: Table) -> Table:
    return Table(["process"], [[os.getpid()]])


elsewhere = Model(serializer=Json(), runner="ray", resources={"gpus": 1}, prediction={"runner": "ray"})
elsewhere.train(train_nothing)
elsewhere.predict(predict_process)

elsewhere_later = Model(serializer=Json(), prediction={"runner": "ray"})
elsewhere_later.train(train_nothing)
elsewhere_later.predict(predict_process)


def dump_text(model: Any, path: Path) -> None:
    path.write_text(json.dumps(model))


def load_text(path: Path) -> Any:
    return json.loads(path.read_text())


custom = Model(config=Config, serializer=Custom(dump_text, load_text, suffix=".txt", media_type="text/plain"))
custom.train(train_tables)
custom.predict(predict_tables)


def make_app(folder: Path, *models: Model) -> FastAPI:
    builder = ServiceBuilder(info=ServiceInfo(display_name="Models")).with_jobs()
    return builder.with_artifacts(Artifacts(folder / "artifacts")).with_ml(*models).build()


class Client(TestClient):
    """A client of a service with models, of which one is called `tables`."""

    model = "tables"

    def train(self, status: int = 200, **body: Any) -> dict[str, Any]:
        return self.ask("train", status, {"model": self.model, "data": TRAINING, **body}, headers=AT_THE_END)

    def start(self, **body: Any) -> dict[str, Any]:
        """Begin to train, and do not wait."""
        return self.ask("train", 202, {"model": self.model, "data": TRAINING, **body})

    def predict(self, artifact_id: str, status: int = 200, **body: Any) -> dict[str, Any]:
        return self.ask("predict", status, {"artifact_id": artifact_id, "future": FUTURE, **body}, headers=AT_THE_END)

    def check(self, **body: Any) -> list[dict[str, Any]]:
        answer = self.ask("validate", 200, body)
        assert answer["valid"] == all(each["severity"] != "error" for each in answer["diagnostics"])
        found: list[dict[str, Any]] = answer["diagnostics"]
        return found

    def ask(self, verb: str, status: int, body: object, headers: dict[str, str] | None = None) -> dict[str, Any]:
        answer = self.post(f"/api/v1/ml/${verb}", json=body, headers=headers)
        assert answer.status_code == status, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def keep_config(self, **data: Any) -> str:
        answer = self.post("/api/v1/configs", json={"name": "a config", "data": data})
        assert answer.status_code == 201, answer.text
        config_id: str = answer.json()["id"]
        return config_id

    def upload(self, content: bytes, media_type: str, **fields: str) -> str:
        answer = self.post(
            "/api/v1/artifacts/$upload", content=content, params=fields, headers={"Content-Type": media_type}
        )
        assert answer.status_code == 201, answer.text
        artifact_id: str = answer.json()["id"]
        return artifact_id

    def artifact(self, artifact_id: str) -> dict[str, Any]:
        answer = self.get(f"/api/v1/artifacts/{artifact_id}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found
