"""Configs: kept, changed and deleted by clients, while models keep what they were trained with."""

from collections.abc import Iterator

import pytest

from servicekit.ml.configs import Configs
from tests.ml.python_model import means_in_python
from tests.ml.services import ModelClient, run_models

CONFIGS = "/api/v1/configs"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelClient]:
    with run_models(tmp_path_factory.mktemp("service"), means_in_python) as client:
        yield client


@pytest.fixture
def client(service: ModelClient) -> ModelClient:
    """A client of a service without configs."""
    for artifact in service.artifacts.list(kind="config").artifacts:
        service.artifacts.delete(artifact.id)
    return service


def test_a_config_is_kept_with_its_defaults_and_other_fields(client: ModelClient) -> None:
    added = client.http.post(CONFIGS, json={"name": "monthly", "data": {"smoothing": 0.5, "mine": {"a": [1, None]}}})
    assert added.status_code == 201
    config = added.json()
    assert config["name"] == "monthly"
    assert config["data"] == {
        "prediction_periods": 3,
        "additional_continuous_covariates": [],
        "smoothing": 0.5,
        "mine": {"a": [1, None]},
    }
    assert client.http.get(f"{CONFIGS}/{config['id']}").json() == config
    assert client.http.get(CONFIGS).json() == [config]


def test_configs_are_listed_in_pages_the_newest_first(client: ModelClient) -> None:
    ids = [client.http.post(CONFIGS, json={"name": f"config {number}"}).json()["id"] for number in range(5)]
    found, url = [], f"{CONFIGS}?limit=2"
    while url:
        answer = client.http.get(url)
        assert len(answer.json()) <= 2
        found += [config["id"] for config in answer.json()]
        url = answer.links.get("next", {}).get("url", "")
    assert found == ids[::-1]


def test_a_config_is_changed_and_deleted(client: ModelClient) -> None:
    config = client.http.post(CONFIGS, json={"name": "old", "data": {"mine": 1}}).json()
    changed = client.http.put(f"{CONFIGS}/{config['id']}", json={"name": "new", "data": {"smoothing": 2.0}}).json()
    assert (changed["id"], changed["name"], changed["created_at"]) == (config["id"], "new", config["created_at"])
    assert changed["data"]["smoothing"] == 2.0
    assert "mine" not in changed["data"]
    assert client.http.get(f"{CONFIGS}/{config['id']}").json() == changed
    assert client.http.delete(f"{CONFIGS}/{config['id']}").status_code == 204
    assert client.http.get(CONFIGS).json() == []


@pytest.mark.parametrize("config_id", ["01JQRS7XK5N8Z3VQ2M4T6W8Y0A", "nonsense"])
def test_an_unknown_config_is_404_everywhere(client: ModelClient, config_id: str) -> None:
    one = f"{CONFIGS}/{config_id}"
    for answer in (
        client.http.get(one),
        client.http.put(one, json={"name": "x"}),
        client.http.delete(one),
        client.http.post("/api/v1/ml/$train", json={"config_id": config_id, "data": {"columns": ["a"], "data": [[1]]}}),
    ):
        assert (answer.status_code, answer.json()) == (404, {"detail": "Config not found"})


def test_another_artifact_is_no_config(client: ModelClient) -> None:
    """Its id must not lead to it by these routes, least of all to delete it."""
    artifact = client.artifacts.save({"data": {}, "name": "x"}, metadata={"data": {}, "name": "x"})
    assert client.http.get(f"{CONFIGS}/{artifact.id}").status_code == 404
    assert client.http.delete(f"{CONFIGS}/{artifact.id}").status_code == 404
    assert client.artifacts.get(artifact.id).id == artifact.id


def test_an_artifact_that_claims_to_be_a_config_does_no_harm(client: ModelClient) -> None:
    """Clients choose the kinds and the metadata of what they upload."""
    for metadata in ({}, {"name": 1, "data": {}}, {"name": "x", "data": [1]}):
        artifact = client.artifacts.save({}, kind="config", metadata=metadata)
        assert client.http.get(f"{CONFIGS}/{artifact.id}").status_code == 404
    assert client.http.get(CONFIGS).json() == []
    artifact = client.artifacts.save({}, kind="config", metadata={"name": "a\nb", "data": {}})
    assert [config["id"] for config in client.http.get(CONFIGS).json()] == [artifact.id]


@pytest.mark.parametrize(
    ("data", "place"),
    [
        ({"smoothing": -1}, ["body", "data", "smoothing"]),
        ({"prediction_periods": "many"}, ["body", "data", "prediction_periods"]),
        ({"prediction_periods": 0}, ["body", "data", "prediction_periods"]),
        ({"additional_continuous_covariates": "rain"}, ["body", "data", "additional_continuous_covariates"]),
        ({"mine": "x" * 9_000}, ["body", "data"]),
        ({"additional_continuous_covariates": [1] * 101}, ["body", "data"]),
        ([], ["body", "data"]),
    ],
)
def test_what_is_wrong_in_a_config_is_refused_with_its_place(
    client: ModelClient, data: object, place: list[str]
) -> None:
    config = client.http.post(CONFIGS, json={"name": "good"}).json()
    for answer in (
        client.http.post(CONFIGS, json={"name": "bad", "data": data}),
        client.http.put(f"{CONFIGS}/{config['id']}", json={"name": "bad", "data": data}),
    ):
        assert answer.status_code == 422, answer.text
        assert answer.json()["detail"][0]["loc"] == place
    assert client.http.get(CONFIGS).json() == [config]


@pytest.mark.parametrize("value", ["NaN", "Infinity", "[" * 300 + "]" * 300], ids=["nan", "infinity", "deep"])
def test_what_json_does_not_know_is_refused(client: ModelClient, value: str) -> None:
    text = f'{{"name": "odd", "data": {{"mine": {value}}}}}'
    answer = client.http.post(CONFIGS, content=text, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422, answer.text
    assert client.http.get(CONFIGS).json() == []


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (r'{"name": "\ud800"}', ["body"]),
        (r'{"name": "odd", "data": {"\ud800": 1}}', ["body"]),
        ('{"name": "odd", "data": {"prediction_periods": NaN}}', ["body", "data", "prediction_periods"]),
        ('{"name": NaN}', ["body", "name"]),
        ('{"name": ' + "[" * 5_000, ["body"]),
        ("", ["body"]),
    ],
)
def test_any_body_that_is_no_config_is_a_422(client: ModelClient, body: str, place: list[str]) -> None:
    config = client.http.post(CONFIGS, json={"name": "good"}).json()
    for answer in (client.http.post(CONFIGS, content=body), client.http.put(f"{CONFIGS}/{config['id']}", content=body)):
        assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, place)
    assert client.http.post(CONFIGS, content=b"x" * 1_000_000).status_code == 413
    assert client.http.get(CONFIGS).json() == [config]


def test_a_model_keeps_the_config_that_it_was_trained_with(client: ModelClient) -> None:
    config = client.http.post(CONFIGS, json={"name": "c", "data": {"smoothing": 1.0}}).json()
    trained = client.run(client.train(config_id=config["id"]))
    client.http.put(f"{CONFIGS}/{config['id']}", json={"name": "c", "data": {"smoothing": 9.0}})
    assert client.get_artifact(trained["artifact_id"])["metadata"]["config"]["smoothing"] == 1.0
    client.http.delete(f"{CONFIGS}/{config['id']}")
    client.run(client.predict(trained["artifact_id"]))


async def test_every_process_sees_the_same_configs(client: ModelClient) -> None:
    """Another object at the same address, as another process has it."""
    config = client.http.post(CONFIGS, json={"name": "shared"}).json()
    other = Configs(type(client.artifacts).at(client.artifacts.address))
    assert (await other.get(config["id"])).name == "shared"
    await other.replace(config["id"], "changed", {})
    assert client.http.get(f"{CONFIGS}/{config['id']}").json()["name"] == "changed"


def test_pages_of_other_sites_cannot_change_configs(client: ModelClient) -> None:
    headers = {"Origin": "https://elsewhere.example", "Sec-Fetch-Site": "cross-site"}
    assert client.http.post(CONFIGS, json={"name": "x"}, headers=headers).status_code == 403
    assert client.http.get(CONFIGS).json() == []


@pytest.mark.parametrize("name", ["", "x" * 201])
def test_what_only_looks_like_a_config_is_none(client: ModelClient, name: str) -> None:
    kept = client.http.post(CONFIGS, json={"name": "kept"}).json()
    forged = {"data": 1, "kind": "config", "metadata": {"name": name, "data": {}}}
    artifact = client.http.post("/api/v1/artifacts", json=forged).json()
    assert client.http.get(CONFIGS).json() == [kept]
    assert client.http.get(f"{CONFIGS}/{artifact['id']}").status_code == 404
