"""examples/ml_api.py, by the lines of its own docstring."""

import subprocess
import textwrap
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.needs import needs
from tests.service import ROOT, Service, run_service

EXAMPLE = ROOT / "examples" / "ml_api.py"
PRINTED_ADDRESS = "http://localhost:8000"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    artifacts = str(tmp_path_factory.mktemp("example") / "artifacts")
    with run_service(EXAMPLE, environment={"ARTIFACTS": artifacts}) as service:
        yield service


def read_commands() -> str:
    """The lines for a shell, all in one, since they share variables."""
    docstring = compile(EXAMPLE.read_text(), str(EXAMPLE), "exec").co_consts[0]
    _, *lines = [line for line in docstring.splitlines() if line.startswith("    ")]
    return textwrap.dedent("\n".join(lines))


@needs("curl")
@needs("jq")
def test_a_newcomer_uploads_trains_watches_predicts_and_walks_the_lineage(service: Service, tmp_path: Path) -> None:
    commands = read_commands().replace(PRINTED_ADDRESS, service.url)
    bash = ["bash", "-euo", "pipefail", "-c", commands]
    done = subprocess.run(bash, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "fold 5 of 5" in done.stdout
    assert "fold=1 rmse=" in done.stdout
    assert '"status":"completed"' in done.stdout
    assert '"sample_0"' in done.stdout
    assert "data\nmodel\nprediction" in done.stdout
    assert '"ml_prediction"' in (tmp_path / "downloaded.json").read_text()


def test_a_training_of_the_example_is_canceled(service: Service) -> None:
    with httpx.Client(base_url=service.url, timeout=60) as client:
        config = {"name": "large", "data": {"trees": 1_000, "folds": 20}}
        config_id = client.post("/api/v1/configs", json=config).json()["id"]
        rows = [[number % 7, number % 5, number % 11] for number in range(200)]
        data = {"columns": ["rainfall", "temperature", "cases"], "data": rows}
        job = client.post("/api/v1/ml/$train", json={"config_id": config_id, "data": data}).json()
        client.post(f"/api/v1/jobs/{job['job_id']}/$cancel")
        assert client.get(f"/api/v1/jobs/{job['job_id']}", params={"wait": 60}).json()["status"] == "canceled"
        assert client.get(f"/api/v1/artifacts/{job['artifact_id']}").status_code == 404


def test_the_check_of_the_example_says_what_is_too_little(service: Service) -> None:
    data = {"columns": ["rainfall", "temperature", "cases"], "data": [[1, 2, 3]]}
    answer = httpx.post(f"{service.url}/api/v1/ml/$validate", json={"data": data}, timeout=60).json()
    assert (answer["valid"], answer["diagnostics"][0]["message"]) == (False, "1 rows are too few for 5 folds")


def test_the_info_tells_what_the_model_needs(service: Service) -> None:
    assert httpx.get(f"{service.url}/api/v1/info").json()["required_covariates"] == ["rainfall", "temperature"]
