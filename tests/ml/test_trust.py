"""Whose models are read, and whose are not, whatever they say of themselves."""

import base64
import json
import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from servicekit.api import Service
from servicekit.artifacts import Artifact, Artifacts, Origin
from servicekit.artifacts.feature import artifacts_of
from servicekit.errors import ModelNotTrusted, ModelUnusable
from servicekit.ml import Json, Pickle, Serializer
from servicekit.ml.cache import ModelCache
from servicekit.ml.trust import check_model, load_model
from tests.ml.samples import FUTURE, TRAINING, Client, make_app, pickled, tables

FILE = {"name": "pickled.pickle", "media_type": Pickle.media_type}


class Bomb:
    """To read its pickle makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.fixture
def proof(tmp_path: Path) -> Iterator[Path]:
    """The folder is not there at the end: nothing was run."""
    path = tmp_path / "the bomb was read"
    yield path
    assert not path.exists()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with Client(make_app(tmp_path_factory.mktemp("trust"), pickled, tables)) as client:
        yield client


def upload_bomb(client: Client, proof: Path, **fields: str) -> str:
    data_id = client.upload(json.dumps(TRAINING).encode(), "application/json", kind="data")
    fields = {"kind": "model", "parent_id": data_id, **FILE, **fields}
    return client.upload(pickle.dumps(Bomb(proof)), fields.pop("media_type"), **fields)


def test_a_pickle_that_a_training_has_made_is_read(client: Client) -> None:
    model_id = client.train(model="pickled")["artifact_id"]
    assert client.artifact(model_id)["name"] == FILE["name"]
    assert client.predict(model_id)["result"]["data"] == [[5, 50.0], [6, 60.0]]


def test_an_uploaded_pickle_is_not_read_though_it_looks_like_one_of_ours(client: Client, proof: Path) -> None:
    detail = client.predict(upload_bomb(client, proof), 409)["detail"]
    assert "no training of this service has made it" in detail


@pytest.mark.parametrize(
    "claims",
    [
        {"media_type": "application/json"},
        {"media_type": "application/vnd.skops", "name": "pickled.skops"},
        {"media_type": "application/json", "name": "tables.json"},
        {"name": "../pickled.pickle"},
        {"kind": "artifact"},
        {"kind": "prediction"},
        {"metadata": json.dumps({"origin": "job", "serializer": "json", "job_id": "01JQRS7XK5N8Z3VQ2M4T6W8Y0A"})},
    ],
)
def test_no_claim_of_an_upload_makes_it_a_model(client: Client, proof: Path, claims: dict[str, str]) -> None:
    data_id = client.upload(json.dumps(TRAINING).encode(), "application/json", kind="data")
    parent_id = client.train(model="pickled")["artifact_id"] if claims.get("kind") == "prediction" else data_id
    artifact_id = upload_bomb(client, proof, **{"parent_id": parent_id, **claims})
    answer = client.post(
        "/api/v1/ml/$predict", json={"artifact_id": artifact_id, "future": FUTURE}, headers={"Prefer": "wait=60"}
    )
    assert answer.status_code == 409 or answer.json()["status"] == "failed", answer.text


def test_metadata_that_are_changed_afterwards_make_it_no_model(client: Client, proof: Path) -> None:
    artifact_id = upload_bomb(client, proof)
    trained = client.artifact(client.train(model="pickled")["artifact_id"])["metadata"]
    answer = client.patch(f"/api/v1/artifacts/{artifact_id}", json={"metadata": {**trained, "origin": "job"}})
    assert answer.status_code == 200
    client.predict(artifact_id, 409)


def test_fields_that_no_client_may_set_are_not_taken(client: Client, proof: Path) -> None:
    job_id = client.train(model="pickled")["job_id"]
    claims = {"id": job_id, "job_id": job_id, "origin": "job", "attempt": "1"}
    content = pickle.dumps(Bomb(proof))
    answer = client.post(
        "/api/v1/artifacts/$upload",
        content=content,
        params={"kind": "artifact", **FILE, **claims},
        headers={"Content-Type": FILE["media_type"]},
    )
    if answer.status_code == 201:
        assert answer.json()["id"] != job_id
        assert answer.json()["origin"] == "upload"
        client.predict(answer.json()["id"], 409)


def test_the_id_of_a_failed_training_cannot_be_taken_by_an_upload(client: Client, proof: Path) -> None:
    job_id = client.train(model="pickled", config_id=client.keep_config(fails=True))["job_id"]
    data_id = client.upload(b"{}", "application/json", kind="data")
    client.post(
        "/api/v1/artifacts",
        json={"id": job_id, "data": "x", "kind": "model", "parent_id": data_id, "name": FILE["name"]},
    )
    assert client.get(f"/api/v1/artifacts/{job_id}").status_code == 404
    client.predict(job_id, 409)


def test_a_table_is_never_read_as_a_pickle(client: Client, proof: Path) -> None:
    for media_type in ("text/csv", "application/vnd.apache.parquet", "application/json", Pickle.media_type):
        artifact_id = client.upload(pickle.dumps(Bomb(proof)), media_type, kind="data")
        client.train(422, data={"artifact_id": artifact_id})


def test_a_safe_format_is_read_though_it_was_uploaded(client: Client) -> None:
    data_id = client.upload(json.dumps(TRAINING).encode(), "application/json", kind="data")
    fields = {"kind": "model", "parent_id": data_id, "name": "tables.json"}
    model_id = client.upload(b'{"slope": 2}', "application/json", **fields)
    assert client.predict(model_id)["result"]["data"] == [[5, 10], [6, 12]]


def save(artifacts: Artifacts, content: bytes, **facts: Any) -> Artifact:
    facts = {"kind": "model", **FILE, **facts}
    return artifacts.save(content, **facts)


def save_as_model(address: str, parent_id: str, content: str) -> str:
    """A job of the service that keeps what a client has sent, under a name that the client has chosen."""
    artifacts = Artifacts.at(address)
    saved = save(artifacts, base64.b64decode(content), parent=parent_id)
    artifacts.close()
    return saved.id


def test_what_another_job_has_saved_for_a_client_is_not_read(client: Client, proof: Path) -> None:
    service = Service.of(client.app)  # type: ignore[arg-type] # it is a FastAPI
    data_id = client.upload(json.dumps(TRAINING).encode(), "application/json", kind="data")
    content = base64.b64encode(pickle.dumps(Bomb(proof))).decode()
    address = artifacts_of(client.app).address  # type: ignore[arg-type]
    assert client.portal is not None
    job_id = client.portal.call(service.scheduler.add_job, save_as_model, address, data_id, content)
    record = client.get(f"/api/v1/jobs/{job_id}", params={"wait": 60}).json()
    assert client.artifact(record["artifact_id"])["origin"] == "job"
    assert "no training of this service" in client.predict(record["artifact_id"], 409)["detail"]


# --- the place that decides ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("origin", [None, Origin.UPLOAD, Origin.CODE, Origin.JOB])
def test_outside_of_a_job_nobody_saves_what_is_read_as_code(tmp_path: Path, proof: Path, origin: Origin | None) -> None:
    artifacts = Artifacts(tmp_path / "artifacts")
    artifact = save(artifacts, pickle.dumps(Bomb(proof)), origin=origin)
    with pytest.raises(ModelNotTrusted):
        load_model(artifacts, artifact, Pickle(), FILE["name"], ModelCache())


def test_what_is_in_the_cache_is_not_given_for_what_may_not_be_read(tmp_path: Path) -> None:
    artifacts, cache = Artifacts(tmp_path / "artifacts"), ModelCache()
    artifact = artifacts.save(
        pickle.dumps({"slope": 1}), kind="model", name=FILE["name"], media_type=FILE["media_type"]
    )
    cache.get(artifact.sha256, artifact.size, lambda: {"slope": 1})
    with pytest.raises(ModelNotTrusted):
        load_model(artifacts, artifact, Pickle(), FILE["name"], cache)


@pytest.mark.parametrize("serializer", [Pickle(), Json()])
def test_a_model_of_another_learner_is_refused(tmp_path: Path, proof: Path, serializer: Serializer) -> None:
    artifact = save(Artifacts(tmp_path / "artifacts"), pickle.dumps(Bomb(proof)), name="other.pickle")
    with pytest.raises(ModelUnusable, match="another model has made it"):
        check_model(artifact, file_name=FILE["name"], media_type=serializer.media_type, is_safe=serializer.is_safe)


def test_no_other_module_reads_models() -> None:
    """One place decides only as long as there is one."""
    folder = Path("src/servicekit")
    callers = {
        path.name
        for path in folder.rglob("*.py")
        if "serializer.load(" in (text := path.read_text()) or "pickle.load(" in text
    }
    assert callers & {path.name for path in (folder / "ml").glob("*.py")} == {"trust.py", "serializers.py"}
