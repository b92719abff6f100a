"""Services with a model, for tests: made in this process, with artifacts in a folder of their own."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

from servicekit.api import ServiceBuilder
from servicekit.artifacts import Artifacts
from servicekit.ml import CommandModel, MLServiceInfo, Model

PATIENCE_SECONDS = 60

DATA: dict[str, Any] = {
    "columns": ["time_period", "location", "rainfall", "disease_cases"],
    "data": [
        ["2023-01", "north", 10.5, 4],
        ["2023-01", "south", 0.0, 10],
        ["2023-02", "north", 12.0, 6],
        ["2023-02", "south", 3.5, 12],
    ],
}
HISTORIC: dict[str, Any] = DATA
FUTURE: dict[str, Any] = {
    "columns": ["time_period", "location", "rainfall"],
    "data": [["2023-03", "north", 9.0], ["2023-03", "south", 2.0]],
}


class ModelClient:
    """A client of such a service."""

    def __init__(self, http: TestClient, artifacts: Artifacts) -> None:
        self.http = http
        self.artifacts = artifacts

    def train(self, **body: Any) -> dict[str, Any]:
        """Submit a training, and return the answer."""
        return self._submit("$train", {"data": DATA, **body})

    def predict(self, artifact_id: str, **body: Any) -> dict[str, Any]:
        """Submit a prediction, and return the answer."""
        return self._submit("$predict", {"artifact_id": artifact_id, "historic": HISTORIC, "future": FUTURE, **body})

    def wait(self, job_id: str) -> dict[str, Any]:
        """The record of a job that has ended."""
        answer = self.http.get(f"/api/v1/jobs/{job_id}", params={"wait": PATIENCE_SECONDS})
        record: dict[str, Any] = answer.json()
        assert record["status"] not in ("pending", "running"), record
        return record

    def run(self, submitted: dict[str, Any]) -> dict[str, Any]:
        """The record of a job that has completed."""
        record = self.wait(submitted["job_id"])
        assert record["status"] == "completed", record["error"]
        return record

    def get_artifact(self, artifact_id: str) -> dict[str, Any]:
        answer = self.http.get(f"/api/v1/artifacts/{artifact_id}")
        assert answer.status_code == 200, answer.text
        artifact: dict[str, Any] = answer.json()
        return artifact

    def read_log(self, job_id: str) -> list[str]:
        log = self.http.get(f"/api/v1/jobs/{job_id}/$logs", params={"limit": 1_000}).json()
        return [line["text"] for line in log["lines"]]

    def _submit(self, route: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = self.http.post(f"/api/v1/ml/{route}", json=body)
        assert answer.status_code == 202, answer.text
        submitted: dict[str, Any] = answer.json()
        return submitted


@contextmanager
def run_models(folder: Path, *models: Model | CommandModel, info: MLServiceInfo | None = None) -> Iterator[ModelClient]:
    """A client of a service with these models."""
    artifacts = Artifacts(folder / "artifacts")
    builder = ServiceBuilder(info=info or MLServiceInfo(display_name="Model"))
    app = builder.with_health().with_jobs(url="memory://").with_artifacts(artifacts).with_ml(*models).build()
    with TestClient(app) as http:
        yield ModelClient(http, artifacts)
