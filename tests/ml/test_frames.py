"""Models with DataFrames and scikit-learn, over HTTP."""

from collections.abc import Iterator
from io import BytesIO

import pandas as pd
import pytest

from servicekit.api import Service
from tests.ml.frames import careful_forest, forest, linear
from tests.ml.samples import TRAINING, Client, make_app


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with Client(make_app(tmp_path_factory.mktemp("frames"), linear, forest, careful_forest)) as client:
        yield client


def make_parquet() -> bytes:
    file = BytesIO()
    pd.DataFrame(TRAINING["data"], columns=TRAINING["columns"]).to_parquet(file)
    return file.getvalue()


def test_a_table_is_read_as_json_and_as_parquet(client: Client) -> None:
    data_id = client.upload(make_parquet(), "application/vnd.apache.parquet", kind="data")
    for data in (TRAINING, {"artifact_id": data_id}):
        model_id = client.train(model="linear", data=data)["artifact_id"]
        assert client.artifact(model_id)["name"] == "linear.skops"
        predicted = client.predict(model_id)["result"]
        assert predicted["columns"] == ["rain", "sample_0"]
        assert [row[1] for row in predicted["data"]] == [pytest.approx(50), pytest.approx(60)]


def test_a_training_finds_its_packages_loaded(client: Client) -> None:
    """Unless importing them leaves something that makes a fork unsafe. `find_notice` would say so."""
    client.train(model="linear")
    scheduler = Service.of(client.app).scheduler  # type: ignore[arg-type] # it is a FastAPI
    assert scheduler.find_notice() is None


def test_a_missing_value_is_sent_as_null(client: Client) -> None:
    data = {"columns": ["rain", "cases"], "data": [[1, 10], [None, 20]]}
    error = client.train(model="linear", data=data)["error"]
    assert "NaN" in error  # which scikit-learn has seen


def test_functions_can_be_methods_of_an_object_and_async(client: Client) -> None:
    model_id = client.train(model="forest")["artifact_id"]
    assert client.predict(model_id)["result"]["columns"] == ["rain", "sample_0"]


def test_a_training_whose_model_skops_would_not_read_says_what_to_write(client: Client) -> None:
    error = client.train(model="careful_forest")["error"]
    assert "sklearn.tree._tree.Tree" in error
    assert "Model(serializer=Skops(trusted=[" in error
