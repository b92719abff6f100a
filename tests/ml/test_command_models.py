"""Models in other languages: what their commands get, what is kept of them, and what happens when they fail."""

import importlib
import io
import json
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from servicekit.artifacts import Artifacts
from servicekit.errors import ConfigurationError, ModelNotTrusted
from servicekit.ml import BaseConfig, CommandModel, Table
from servicekit.ml.learner import PredictionInputs
from servicekit.ml.tables import GivenTable
from tests.ml import command_models
from tests.ml.command_models import FOLDER
from tests.ml.services import DATA, ModelClient, run_models

MODELS = {name: value for name, value in vars(command_models).items() if isinstance(value, CommandModel)}


@pytest.fixture(scope="module")
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The temporary directory of this module's service and its jobs."""
    folder = tmp_path_factory.mktemp("temporary")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder))
        patch.setattr("tempfile.tempdir", None)
        yield folder


@pytest.fixture(scope="module")
def service(temporary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelClient]:
    with run_models(tmp_path_factory.mktemp("service"), *MODELS.values()) as client:
        yield client


@pytest.fixture
def client(service: ModelClient, temporary: Path) -> Iterator[ModelClient]:
    """A client of a service with all the models. No test leaves anything in the temporary directory."""
    yield service
    while list_directories(temporary):  # that of a process that was killed is removed after its job's end
        pass


def list_directories(temporary: Path) -> list[str]:
    return [path.name for path in temporary.iterdir() if path.name.startswith("servicekit-ml-")]


def list_archive(client: ModelClient, artifact_id: str) -> dict[str, bytes]:
    content = client.http.get(f"/api/v1/artifacts/{artifact_id}/$download").content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_a_model_in_awk_trains_and_predicts(client: ModelClient) -> None:
    submitted = client.train(model="means")
    record = client.run(submitted)
    assert record["artifact_id"] == submitted["artifact_id"] == submitted["job_id"]
    assert record["progress"]["done"] == 4
    assert "trained on 4 rows" in client.read_log(submitted["job_id"])

    model = client.get_artifact(submitted["artifact_id"])
    assert (model["kind"], model["media_type"], model["name"]) == ("model", "application/zip", "means.zip")
    assert {name: sorted(content.split()) for name, content in list_archive(client, model["id"]).items()} == {
        "model": [b"north,5", b"south,11"]
    }

    predicted = client.run(client.predict(model["id"]))
    prediction = client.get_artifact(predicted["artifact_id"])
    assert prediction["parent_id"] == model["id"]
    assert prediction["data"]["content"] == {
        "columns": ["time_period", "location", "sample_0", "sample_1"],
        "data": [["2023-03", "north", 5, 6], ["2023-03", "south", 11, 12]],
    }


def test_the_same_training_makes_the_same_bytes(client: ModelClient) -> None:
    first, second = (client.run(client.train(model="small")) for _ in range(2))
    hashes = {client.artifacts.get(record["artifact_id"]).sha256 for record in (first, second)}
    assert len(hashes) == 1


def test_a_command_gets_its_files_as_arguments_and_no_shell_reads_them(client: ModelClient) -> None:
    config = client.http.post(
        "/api/v1/configs", json={"name": "c", "data": {"prediction_periods": 6, "note": "jalapeño: [x]\n# y"}}
    ).json()
    record = client.run(
        client.train(model="listing", config_id=config["id"], geo={"type": "FeatureCollection", "features": []})
    )
    files = list_archive(client, record["artifact_id"])
    assert files["model"].decode().split("\n") == ["geo.json", "data.csv", "; touch pwned", "$(touch pwned)"]
    assert "pwned" not in files
    listed = [line for line in client.read_log(record["id"]) if line.startswith("file ")]
    assert listed == [
        f"file {name}"
        for name in [
            "config.yml", "data.csv", "geo.json", "scripts", "scripts/misbehave.js", "scripts/predict.awk",
            "scripts/train.awk",
        ]
    ]  # fmt: skip


def test_the_config_is_yaml_for_every_reader_of_yaml(client: ModelClient) -> None:
    values = {
        "prediction_periods": 6,
        "note": "jalapeño 🌶: [x]\n# no comment",
        "deep": {"list": [1, None, True, "true", 1e-9, 1e22, -2.5e-8, 7.0]},
    }
    config = client.http.post("/api/v1/configs", json={"name": "c", "data": values}).json()
    record = client.run(client.train(model="keeping", config_id=config["id"], run_info={"who": "Ada"}))
    files = list_archive(client, record["artifact_id"])
    text = files["kept-config.yml"].decode()
    expected = {**values, "additional_continuous_covariates": []}
    assert json.loads(text) == expected
    assert importlib.import_module("yaml").safe_load(text) == expected
    assert files["kept-data.csv"].decode().split("\n")[:2] == [
        "time_period,location,rainfall,disease_cases",
        "2023-01,north,10.5,4",
    ]
    assert json.loads(files["kept-run_info.json"]) == {"who": "Ada"}


def test_a_command_that_fails_leaves_its_output_and_no_model(client: ModelClient) -> None:
    submitted = client.train(model="failing")
    record = client.wait(submitted["job_id"])
    assert record["status"] == "failed"
    assert "exited with code 3" in record["error"]
    assert "singular matrix" in record["error"]

    output = client.get_artifact(record["artifact_id"])
    assert output["id"] != submitted["artifact_id"]
    assert output["data"]["exit_code"] == 3
    assert output["data"]["stdout"] == "reading data.csv\n"
    assert output["data"]["stderr"] == "Error: singular matrix\n"

    missing = client.http.get(f"/api/v1/artifacts/{submitted['artifact_id']}")
    assert missing.status_code == 404
    assert "singular matrix" in missing.json()["detail"]
    refused = client.http.post("/api/v1/ml/$predict", json={"artifact_id": submitted["artifact_id"], "future": DATA})
    assert refused.status_code == 409


def test_links_and_hidden_files_that_a_command_makes_are_not_kept(client: ModelClient) -> None:
    record = client.run(client.train(model="linking"))
    assert list_archive(client, record["artifact_id"]) == {"model": b"fitted"}
    assert any("'.RData', 'etc', 'passwd'" in line for line in client.read_log(record["id"]))


def test_nothing_is_left_of_a_command_that_takes_its_own_permissions_away(client: ModelClient) -> None:
    assert client.wait(client.train(model="locking")["job_id"])["status"] == "failed"


def test_a_model_that_is_too_large_fails_with_the_limit(client: ModelClient) -> None:
    record = client.wait(client.train(model="growing")["job_id"])
    assert record["status"] == "failed"
    assert "1,000,000 bytes" in record["error"]


@pytest.mark.parametrize("model", ["waiting", "refusing"])
def test_nothing_is_left_of_a_command_that_is_canceled(client: ModelClient, temporary: Path, model: str) -> None:
    job_id = client.train(model=model)["job_id"]
    wait_for_line(client, job_id, "waiting")
    assert len(list_directories(temporary)) == 1
    client.http.post(f"/api/v1/jobs/{job_id}/$cancel")
    assert client.wait(job_id)["status"] == "canceled"


def wait_for_line(client: ModelClient, job_id: str, text: str) -> None:
    """Wait until the job has logged this. The test client has no streams, so it asks again and again."""
    while text not in client.read_log(job_id):
        pass


@pytest.mark.parametrize(
    ("model", "error"),
    [
        ("speechless", "has written no file predictions.csv"),
        ("infinite", "'Inf' in row 1 of the column 'sample_0' is no number"),
    ],
)
def test_predictions_that_are_none_fail_with_the_reason(client: ModelClient, model: str, error: str) -> None:
    trained = client.run(client.train(model=model))
    record = client.wait(client.predict(trained["artifact_id"])["job_id"])
    assert record["status"] == "failed"
    assert error in record["error"]


def test_an_uploaded_archive_is_never_used_as_a_model(client: ModelClient) -> None:
    """It could bring a script of its own, and many languages run code when they read a file of theirs."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("scripts/predict.awk", 'BEGIN { system("touch /tmp/pwned") }')
        file.writestr("model", "north,5")
    trained = client.run(client.train(model="means"))
    parent = client.get_artifact(trained["artifact_id"])["parent_id"]
    uploaded = client.http.post(
        "/api/v1/artifacts",
        params={"kind": "model", "name": "means.zip", "parent_id": parent},
        content=archive.getvalue(),
        headers={"Content-Type": "application/zip"},
    )
    assert uploaded.status_code == 201, uploaded.text
    refused = client.http.post("/api/v1/ml/$predict", json={"artifact_id": uploaded.json()["id"], "future": DATA})
    assert refused.status_code == 409
    assert "no training of this service has made it" in refused.json()["detail"]


def test_a_job_checks_its_model_as_well(tmp_path: Path) -> None:
    """The artifact may be another one by then, and a job can be submitted in other ways than by the route."""
    artifacts = Artifacts(tmp_path / "artifacts")
    made_up = artifacts.save(b"PK", kind="model", name="means.zip", media_type="application/zip")
    with ExitStack() as resources:
        inputs = PredictionInputs(
            artifacts=artifacts,
            learner="means",
            resources=resources,
            config=BaseConfig(),
            historic=None,
            future=GivenTable(Table(["location"], [["north"]])),
        )
        with pytest.raises(ModelNotTrusted):
            command_models.means.run_prediction(made_up, inputs)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train": "Rscript train.R"}, "a list of texts"),
        ({"train": []}, "a list that begins with a program"),
        ({"train": ["{data_file}"]}, "a list that begins with a program"),
        ({"train": ["Rscript", "{data}"]}, "only these are filled: {data_file}, {config_file}"),
        ({"train": ["Rscript", "{future_file}"]}, "only these are filled"),
        ({"include": ["../**"]}, "leads out of the folder"),
        ({"include": [".env"]}, "begins with a dot"),
        ({"max_bytes": 0}, "max_bytes must be"),
        ({"max_files": -1}, "max_files must be"),
        ({"config": dict}, "derived from BaseConfig"),
        ({"targets": "cases"}, "names of columns"),
        ({"targets": [3]}, "names of columns"),
        ({"prediction": {"run_timeout": -1}}, "run_timeout"),
        ({"retries": 3}, "retries"),
        ({"env": {"A=B": "C"}}, "env"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        CommandModel(**{"train": ["true"], "predict": ["true"], **options})  # type: ignore[arg-type]
    assert message in str(caught.value)


def test_a_pattern_that_names_no_file_is_an_error_when_the_service_is_built() -> None:
    model = CommandModel(train=["true"], predict=["true"], include=["script/**"], folder=FOLDER)
    with pytest.raises(ConfigurationError, match="names no file"):
        model.prepare()


def test_a_program_that_is_not_installed_is_told_when_the_service_is_built(caplog: pytest.LogCaptureFixture) -> None:
    model = CommandModel(train=["no-such-program"], predict=["./scripts/predict.awk"], folder=FOLDER)
    model.prepare()
    assert "The program no-such-program of a model is not installed here" in caplog.text
    assert "predict.awk" not in caplog.text
