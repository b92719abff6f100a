"""Models, trained and asked over HTTP as their users do."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from openapi_spec_validator import validate

from servicekit.jobs.options import options_of
from servicekit.jobs.resources import Resources
from tests.ml.samples import (
    AT_THE_END,
    FUTURE,
    TRAINING,
    Client,
    apart,
    custom,
    elsewhere,
    make_app,
    predicting,
    tables,
)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with Client(make_app(tmp_path_factory.mktemp("models"), tables, custom, apart)) as client:
        yield client


def test_a_model_is_trained_and_predicts(client: Client) -> None:
    trained = client.train()
    assert (trained["status"], trained["artifact_id"]) == ("completed", trained["job_id"])
    predicted = client.predict(trained["artifact_id"])
    assert predicted["result"] == {"columns": ["rain", "sample_0"], "data": [[5, 50.0], [6, 60.0]]}
    assert predicted["artifact_id"] == predicted["job_id"] != trained["job_id"]


def test_without_a_wait_the_answer_comes_at_once_and_leads_to_the_job(client: Client) -> None:
    answer = client.post("/api/v1/ml/$train", json={"model": "tables", "data": TRAINING})
    submitted = answer.json()
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/api/v1/jobs/{submitted['job_id']}"
    assert set(submitted) == {"job_id", "artifact_id", "message", "stream_url"}
    record = client.get(submitted["stream_url"].replace("/$stream", ""), params={"wait": 60}).json()
    assert (record["status"], record["artifact_id"]) == ("completed", submitted["artifact_id"])
    assert record["tags"] == ["ml", "sample", "train:tables"]


def test_a_prediction_is_an_artifact_as_callers_of_the_originals_expect_it(client: Client) -> None:
    model_id = client.train()["artifact_id"]
    prediction = client.artifact(client.predict(model_id)["artifact_id"])
    assert prediction["data"]["content"] == {"columns": ["rain", "sample_0"], "data": [[5, 50.0], [6, 60.0]]}
    assert (prediction["kind"], prediction["level_label"], prediction["parent_id"]) == ("prediction",) * 2 + (model_id,)


def test_progress_lines_and_metrics_of_a_training_are_seen(client: Client) -> None:
    job_id = client.train()["job_id"]
    record = client.get(f"/api/v1/jobs/{job_id}").json()
    assert (record["progress"]["done"], record["progress"]["message"]) == (3, "fold 3 of 3")
    lines = client.get(f"/api/v1/jobs/{job_id}/$logs").json()["lines"]
    assert [line["text"] for line in lines] == ["fold=1 rmse=0.25", "fold=2 rmse=0.5", "fold=3 rmse=0.75"]
    assert client.artifact(job_id)["metadata"]["metrics"] == {"fold": 3, "rmse": 0.75}


def test_a_model_tells_how_it_was_made(client: Client) -> None:
    config_id = client.keep_config(factor=2.0)
    geo = {"type": "FeatureCollection", "features": [], "rain": 7}
    model = client.artifact(client.train(config_id=config_id, geo=geo, run_info={"who": "me"})["artifact_id"])
    facts = model["metadata"]
    assert (facts["model"], facts["serializer"], facts["columns"]) == ("tables", "json", ["rain", "cases"])
    assert (facts["config_id"], facts["config"]["factor"]) == (config_id, 2.0)
    assert (facts["run_info"], facts["versions"].keys() >= {"python", "scikit-learn"}) == ({"who": "me"}, True)
    assert facts["inputs"]["data"] == model["parent_id"]
    assert client.artifact(facts["inputs"]["geo"])["data"] == geo
    assert model["data"] == {"slope": 20.0}


def test_the_lineage_can_be_walked_both_ways(client: Client) -> None:
    model_id = client.train()["artifact_id"]
    prediction_id = client.predict(model_id, historic=FUTURE, geo={"rain": 9})["artifact_id"]
    data_id = client.artifact(model_id)["parent_id"]

    above = client.get(f"/api/v1/artifacts/{prediction_id}/$ancestors").json()
    assert [each["id"] for each in above][:2] == [data_id, model_id]
    assert prediction_id in client.get(f"/api/v1/artifacts/{data_id}/$tree").text
    inputs = client.artifact(prediction_id)["metadata"]["inputs"]
    assert client.artifact(inputs["historic"])["data"] == FUTURE
    assert set(inputs) == {"historic", "future", "geo"}


def test_a_table_is_uploaded_once_and_trained_on_many_times(client: Client) -> None:
    data_id = client.upload(b"rain,cases\n1,10\n2,20\n", "text/csv", kind="data")
    first, second = (client.train(data={"artifact_id": data_id})["artifact_id"] for _ in range(2))
    assert first != second
    assert {client.artifact(each)["parent_id"] for each in (first, second)} == {data_id}
    assert client.predict(second, future={"artifact_id": client.upload(b"rain\n7\n", "text/csv", kind="data")})[
        "result"
    ]["data"] == [[7, 70.0]]


def test_a_model_keeps_the_config_that_it_was_trained_with(client: Client) -> None:
    config_id = client.keep_config(factor=3.0)
    model_id = client.train(config_id=config_id)["artifact_id"]
    client.delete(f"/api/v1/configs/{config_id}")
    assert client.predict(model_id)["result"]["data"] == [[5, 150.0], [6, 180.0]]


def test_a_training_is_canceled(client: Client) -> None:
    job_id = client.start(config_id=client.keep_config(waits=True))["job_id"]
    assert client.post(f"/api/v1/jobs/{job_id}/$cancel").status_code in (200, 202)
    assert client.get(f"/api/v1/jobs/{job_id}", params={"wait": 60}).json()["status"] == "canceled"
    assert "canceled" in client.predict(job_id, 409)["detail"]


def test_a_prediction_that_was_canceled_leaves_nothing(client: Client) -> None:
    """Its thread cannot be interrupted, and goes on to the end."""
    body = {"artifact_id": client.train()["artifact_id"], "future": FUTURE, "geo": {"rain": 1, "waits": True}}
    job_id = client.ask("predict", 202, body)["job_id"]
    assert predicting.wait(60)
    client.post(f"/api/v1/jobs/{job_id}/$cancel")
    assert client.get(f"/api/v1/jobs/{job_id}", params={"wait": 60}).json()["status"] == "canceled"
    assert client.get(f"/api/v1/artifacts/{job_id}").status_code == 404


def test_the_same_key_trains_once_and_keeps_the_data_once(client: Client) -> None:
    headers, body = {**AT_THE_END, "Idempotency-Key": "once"}, {"model": "tables", "data": TRAINING}
    first = client.ask("train", 200, body, headers=headers)
    tables_before = client.get("/api/v1/artifacts", params={"kind": "data"}).json()
    second = client.ask("train", 200, body, headers=headers)
    assert first["job_id"] == second["job_id"]
    assert client.get("/api/v1/artifacts", params={"kind": "data"}).json() == tables_before


def test_a_pair_of_functions_keeps_models_in_a_format_of_its_own(client: Client) -> None:
    model_id = client.train(model="custom")["artifact_id"]
    assert client.artifact(model_id)["name"] == "custom.txt"
    assert client.predict(model_id)["result"]["data"][0] == [5, 50.0]


def test_with_several_models_a_request_names_one(client: Client) -> None:
    detail = client.train(422, model=None)["detail"][0]
    assert detail["loc"] == ["body", "model"]
    assert detail["msg"] == "Name one of the models of this service: tables, custom, apart."


def test_a_prediction_runs_in_a_process_of_its_own_if_that_is_asked_for(client: Client) -> None:
    predicted = client.predict(client.train(model="apart")["artifact_id"])
    ((process,),) = predicted["result"]["data"]
    assert process != os.getpid()


def test_geo_is_uploaded_once_too(client: Client) -> None:
    geo_id = client.upload(json.dumps({"rain": 9}).encode(), "application/geo+json")
    geo = {"artifact_id": geo_id}
    model_id = client.train(geo=geo)["artifact_id"]
    assert client.artifact(model_id)["metadata"]["inputs"]["geo"] == geo_id
    assert client.predict(model_id, geo=geo)["result"]["data"][-1] == [9, None]
    assert client.check(artifact_id=model_id, future=FUTURE, geo=geo) == []


def test_the_document_describes_what_is_sent_and_answered(client: Client) -> None:
    document = client.get("/openapi.json").json()
    validate(document)
    for verb, fields in (("train", {"config_id", "data", "geo"}), ("predict", {"artifact_id", "future", "historic"})):
        operation = document["paths"][f"/api/v1/ml/${verb}"]["post"]
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        assert set(schema["properties"]) >= fields
        assert {"Idempotency-Key", "Prefer"} <= {each["name"] for each in operation["parameters"]}
        assert set(operation["responses"]) >= {"200", "202", "404", "409", "413", "422"}


def test_a_model_can_run_on_a_cluster(tmp_path: Path) -> None:
    make_app(tmp_path, elsewhere)
    trainer, predictor = options_of(elsewhere.trainer), options_of(elsewhere.predictor)
    assert (trainer.runner, trainer.resources, predictor.runner) == ("ray", Resources(gpus=1), "ray")
