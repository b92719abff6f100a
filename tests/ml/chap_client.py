"""A caller of models as CHAP is one: the requests that its documentation tells, in its order, and nothing else."""

from typing import Any

from fastapi.testclient import TestClient

_ENDED = ("completed", "failed", "canceled")


class ChapClient:
    """Evaluates a model behind an address: is it well, what does it need, train it, predict with it."""

    def __init__(self, http: TestClient) -> None:
        self._http = http

    def is_healthy(self) -> bool:
        answer = self._http.get("/health")
        return answer.status_code == 200 and answer.json()["status"] == "healthy"

    def get_info(self) -> dict[str, Any]:
        return dict(self._json("GET", "/api/v1/info"))

    def get_config_schema(self) -> dict[str, Any]:
        return dict(self._json("GET", "/api/v1/configs/$schema"))

    def create_config(self, name: str, data: dict[str, Any]) -> str:
        config_id: str = self._json("POST", "/api/v1/configs", {"name": name, "data": data})["id"]
        return config_id

    def train(self, config_id: str, data: dict[str, Any], geo: object = None) -> str:
        """Train, and return the id of the model."""
        return self._run("/api/v1/ml/$train", {"config_id": config_id, "data": data, "geo": geo, "run_info": {}})

    def predict(
        self, artifact_id: str, historic: dict[str, Any], future: dict[str, Any], geo: object = None
    ) -> list[dict[str, Any]]:
        """Predict, and return the rows of the prediction."""
        body = {"artifact_id": artifact_id, "historic": historic, "future": future, "geo": geo, "run_info": {}}
        artifact = self._json("GET", f"/api/v1/artifacts/{self._run('/api/v1/ml/$predict', body)}")
        content = artifact["data"]["content"]
        return [dict(zip(content["columns"], row, strict=True)) for row in content["data"]]

    def _run(self, path: str, body: dict[str, Any]) -> str:
        """Submit a job, ask until it has ended, and return the id of its artifact. `RuntimeError` if it has failed."""
        submitted = self._json("POST", path, body)
        assert submitted["message"]
        job: dict[str, Any] = {}
        while job.get("status") not in _ENDED:
            job = self._json("GET", f"/api/v1/jobs/{submitted['job_id']}")
        if job["status"] != "completed":
            raise RuntimeError(job["error"])
        assert job["artifact_id"] == submitted["artifact_id"]
        artifact_id: str = submitted["artifact_id"]
        return artifact_id

    def _json(self, method: str, path: str, body: object = None) -> Any:
        answer = self._http.request(method, path, json=body)
        answer.raise_for_status()
        return answer.json()
