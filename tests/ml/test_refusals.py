"""What is wrong with a request is said when it is made, with the place."""

import json
from collections.abc import Iterator
from typing import Any, cast

import pytest
from fastapi import FastAPI

from servicekit.artifacts.feature import artifacts_of
from tests.ml.samples import AT_THE_END, FUTURE, TRAINING, UNKNOWN_ID, Client, make_app, tables


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with Client(make_app(tmp_path_factory.mktemp("refusals"), tables)) as client:
        yield client


@pytest.fixture(scope="module")
def model_id(client: Client) -> str:
    artifact_id: str = client.train()["artifact_id"]
    return artifact_id


def table(columns: list[Any], rows: list[Any]) -> dict[str, Any]:
    return {"columns": columns, "data": rows}


BAD_TABLES: dict[str, tuple[Any, list[str | int], str]] = {
    "ragged": (table(["rain", "cases"], [[1, 2], [3]]), ["data", 1], "2 columns"),
    "twice": (table(["rain", "rain", "cases"], [[1, 2, 3]]), ["columns", 1], "two columns"),
    "no name": (table(["rain", ""], [[1, 2]]), ["columns", 1], "name of a column"),
    "no rows": (table(["rain", "cases"], []), ["data"], "at least one"),
    "no columns": (table([], [[]]), ["columns"], "at least one"),
    "no table": ({"rows": []}, [], "must be a table"),
    "a text": ("rain", [], "must be a table"),
    "a list in a cell": (table(["rain", "cases"], [[1, [2]]]), ["data", 0, 1], "a number"),
    "without what is predicted": (table(["rain"], [[1]]), ["columns"], "'cases'"),
}


@pytest.mark.parametrize("name", BAD_TABLES)
def test_a_bad_table_is_refused_with_the_place(client: Client, name: str) -> None:
    data, place, text = BAD_TABLES[name]
    (detail,) = client.train(422, data=data)["detail"]
    assert detail["loc"] == ["body", "data", *place]
    assert text in detail["msg"]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_a_number_that_is_none_is_refused_and_the_answer_says_how_to_send_it(client: Client, number: str) -> None:
    body = json.dumps({"data": TRAINING}).replace("30", number)
    answer = client.post("/api/v1/ml/$train", content=body)
    (detail,) = answer.json()["detail"]
    assert (answer.status_code, detail["loc"]) == (422, ["body", "data", "data", 2, 1])
    assert "send null for a missing value" in detail["msg"]


def test_geo_that_is_no_json_is_refused_with_the_place(client: Client) -> None:
    body = json.dumps({"data": TRAINING, "geo": {"features": [{"at": 30.5}]}}).replace("30.5", "NaN")
    answer = client.post("/api/v1/ml/$train", content=body)
    (detail,) = answer.json()["detail"]
    assert (answer.status_code, detail["loc"]) == (422, ["body", "geo", "features", 0, "at"])
    geo = {"artifact_id": client.upload(b"a,b", "text/csv")}
    (detail,) = client.train(422, geo=geo)["detail"]
    assert detail["loc"] == ["body", "geo", "artifact_id"]


@pytest.mark.parametrize(("value", "place"), [('{"a": [NaN]}', ["run_info", "a", 0]), ("NaN", ["run_info"])])
def test_what_could_not_be_saved_with_a_model_is_refused_before_it_is_trained(
    client: Client, value: str, place: list[str | int]
) -> None:
    body = json.dumps({"data": TRAINING, "run_info": {}}).replace("{}", value)
    answer = client.post("/api/v1/ml/$train", content=body)
    (detail,) = answer.json()["detail"]
    assert (answer.status_code, detail["loc"]) == (422, ["body", *place])


@pytest.mark.parametrize("body", ["", "{", "[]", "[" * 5_000, '{"data": 1} x', "\xff"])
def test_a_body_that_is_no_json_object_is_refused(client: Client, body: str) -> None:
    answer = client.post("/api/v1/ml/$train", content=body.encode("latin-1"))
    assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["body"])


def test_what_is_missing_is_named(client: Client) -> None:
    (detail,) = client.ask("train", 422, {})["detail"]
    assert (detail["type"], detail["loc"]) == ("missing", ["body", "data"])


def test_an_unknown_config_is_404(client: Client) -> None:
    assert "onfig" in client.train(404, config_id=UNKNOWN_ID)["detail"]


def test_unknown_artifacts_are_404_and_what_is_no_id_422(client: Client) -> None:
    assert client.train(404, data={"artifact_id": UNKNOWN_ID})["detail"] == "Artifact not found"
    assert client.predict(UNKNOWN_ID, 404)["detail"] == "Artifact not found"
    assert client.predict("nonsense", 422)["detail"][0]["loc"] == ["body", "artifact_id"]
    (detail,) = client.train(422, data={"artifact_id": "nonsense"})["detail"]
    assert detail["loc"] == ["body", "data", "artifact_id"]


@pytest.mark.parametrize(
    ("content", "media_type", "text"),
    [
        (b"rain,cases\n", "text/csv", "no rows"),
        (b"rain,rain\n1,2\n", "text/csv", "two columns"),
        (b"rain,cases\n1\n", "text/csv", "2 columns"),
        (b"PAR1", "application/vnd.apache.parquet", "is no application/vnd.apache.parquet"),
        (b"{}", "application/json", "must be a table"),
        (b"rain,cases\n1,2\n", "application/octet-stream", "media type"),
    ],
)
def test_an_upload_that_is_no_table_is_refused(client: Client, content: bytes, media_type: str, text: str) -> None:
    artifact_id = client.upload(content, media_type, kind="data")
    (detail,) = client.train(422, data={"artifact_id": artifact_id})["detail"]
    assert detail["loc"] == ["body", "data", "artifact_id"]
    assert text in detail["msg"]


def test_a_table_to_train_on_has_the_kind_data(client: Client) -> None:
    artifact_id = client.upload(b"rain,cases\n1,2\n", "text/csv")
    (detail,) = client.train(422, data={"artifact_id": artifact_id})["detail"]
    assert "kind 'data'" in detail["msg"]


def test_columns_that_the_model_does_not_know_are_refused(client: Client, model_id: str) -> None:
    (detail,) = client.predict(model_id, 422, future=table(["rain", "snow"], [[1, 2]]))["detail"]
    assert detail["loc"] == ["body", "future", "columns", 1]
    assert "'snow'" in detail["msg"]
    (detail,) = client.predict(model_id, 422, historic=table(["snow"], [[1]]))["detail"]
    assert detail["loc"] == ["body", "historic", "columns", 0]


def test_columns_that_the_model_needs_are_missed(client: Client, model_id: str) -> None:
    (detail,) = client.predict(model_id, 422, future=table(["cases"], [[1]]))["detail"]
    assert (detail["loc"], "'rain'" in detail["msg"]) == (["body", "future", "columns"], True)


def test_a_prediction_is_no_model(client: Client, model_id: str) -> None:
    prediction_id = client.predict(model_id)["artifact_id"]
    assert "kind 'prediction'" in client.predict(prediction_id, 409)["detail"]


def test_a_training_that_has_failed_has_made_no_model(client: Client) -> None:
    failed = client.train(config_id=client.keep_config(fails=True))
    assert failed["status"] == "failed"
    detail = client.predict(failed["artifact_id"], 409)["detail"]
    assert "ValueError: the data are odd" in detail


def test_a_prediction_before_the_end_of_the_training_is_told_where_to_wait(client: Client) -> None:
    job_id = client.start(config_id=client.keep_config(waits=True))["job_id"]
    answer = client.post("/api/v1/ml/$predict", json={"artifact_id": job_id, "future": FUTURE})
    client.post(f"/api/v1/jobs/{job_id}/$cancel")
    assert answer.status_code == 409
    assert answer.headers["Location"] == f"/api/v1/jobs/{job_id}"
    assert answer.headers["Retry-After"]
    assert "not there yet" in answer.json()["detail"]


def test_a_model_that_was_deleted_is_not_there(client: Client) -> None:
    model_id = client.train()["artifact_id"]
    client.delete(f"/api/v1/artifacts/{model_id}", params={"recursive": True})
    assert client.predict(model_id, 404)["detail"] == "Artifact not found"


def test_a_body_that_is_too_large_is_refused_before_it_is_read(client: Client) -> None:
    answer = client.post("/api/v1/ml/$train", content=(b" " * 1024**2 for _ in range(17)))
    assert answer.status_code == 413


def test_a_page_of_another_site_may_not_train(client: Client) -> None:
    answer = client.post("/api/v1/ml/$train", json={"data": TRAINING}, headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 403


def test_a_refused_job_leaves_no_data(client: Client) -> None:
    headers = {**AT_THE_END, "Idempotency-Key": "other data"}
    client.ask("train", 200, {"data": TRAINING}, headers=headers)
    before = client.get("/api/v1/artifacts", params={"kind": "data"}).json()
    client.ask("train", 200, {"data": table(["rain", "cases"], [[1, 2]])}, headers=headers)
    assert client.get("/api/v1/artifacts", params={"kind": "data"}).json() == before


# --- $validate -----------------------------------------------------------------------------------------------------


def test_a_check_finds_what_a_training_would_refuse(client: Client) -> None:
    assert client.check(data=TRAINING) == []
    (found,) = client.check(data=table(["rain", "cases"], [[1, 2], [3]]))
    assert (found["severity"], found["field"]) == ("error", "data.data.1")
    (found,) = client.check(data=TRAINING, config_id=UNKNOWN_ID)
    assert (found["code"], found["field"]) == ("config_not_found", "config_id")
    (found,) = client.check()
    assert (found["code"], found["field"]) == ("missing", "data")


def test_a_check_finds_what_a_prediction_would_refuse(client: Client) -> None:
    model_id = client.train()["artifact_id"]
    assert client.check(artifact_id=model_id, future=FUTURE) == []
    (found,) = client.check(artifact_id=model_id, future=table(["snow"], [[1]]))
    assert found["field"] == "future.columns.0"
    (found,) = client.check(type="predict", future=FUTURE, artifact_id=UNKNOWN_ID)
    assert (found["code"], found["field"]) == ("artifact_not_found", "artifact_id")


def test_the_models_own_check_is_asked(client: Client) -> None:
    (found,) = client.check(data=table(["rain", "cases"], [[1, 2]]))
    assert found == {
        "severity": "warning",
        "code": "little_data",
        "message": "there is little data",
        "field": "data",
    }
    (found,) = client.check(data=TRAINING, config_id=client.keep_config(fails=True))
    assert (found["severity"], found["message"]) == ("error", "the config says that it fails")


def test_a_check_keeps_nothing(client: Client) -> None:
    before = client.get("/api/v1/artifacts").json()
    client.check(data=TRAINING)
    assert client.get("/api/v1/artifacts").json() == before


@pytest.mark.parametrize("name", ["future", "historic", "geo"])
def test_json_that_the_service_would_read_whole_is_bounded(
    client: Client, model_id: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = json.dumps(table(["rain"], [[0.5]] * 1_000)).encode()
    artifact_id = client.upload(content, "application/json")
    monkeypatch.setattr(artifacts_of(cast(FastAPI, client.app)), "max_data_bytes", len(content) - 1)
    (detail,) = client.predict(model_id, 422, **{name: {"artifact_id": artifact_id}})["detail"]
    assert detail["loc"] == ["body", name, "artifact_id"]
    assert f"of which at most {len(content) - 1:,} are read" in detail["msg"]


@pytest.mark.parametrize("begin", [b"", b"rain,cases\n"])
def test_of_a_csv_file_only_the_beginning_is_read(client: Client, begin: bytes) -> None:
    artifact_id = client.upload(begin + b"rain,cases," * 200_000, "text/csv", kind="data")
    (detail,) = client.train(422, data={"artifact_id": artifact_id})["detail"]
    assert detail["loc"] == ["body", "data", "artifact_id"]
    assert "its first two lines have more than" in detail["msg"].lower()
