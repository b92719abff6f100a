"""The parts of models that are no matter of HTTP."""

import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from servicekit.artifacts import Artifacts
from servicekit.errors import ConfigurationError, InvalidContent, ModelNotTrusted
from servicekit.ml import Custom, Json, Model, Skops, Table, report_metrics
from servicekit.ml.cache import ModelCache
from servicekit.ml.functions import PREDICT, TRAIN, ModelFunction
from servicekit.ml.home import find_home
from servicekit.ml.jobs import MAX_METADATA_BYTES, fit_metadata
from servicekit.ml.metrics import collect_metrics
from servicekit.ml.tables import GivenTable, StoredTable, read_table
from tests.ml import samples

TABLE = Table(["rain", "name"], [[1, "a"], [2, None]])


# --- imports -------------------------------------------------------------------------------------------------------


def run_python(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_to_import_models_imports_nothing_heavy() -> None:
    program = """
import sys
import servicekit.ml

from servicekit.ml import Json, Model, Table, jobs
print(sorted({"pandas", "skops", "sklearn", "numpy", "pyarrow", "fastapi"} & set(sys.modules)))
"""
    assert run_python(program) == "[]"


WITHOUT = """
import importlib.util, sys
sys.modules["pandas"] = sys.modules["skops"] = None
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name in ("pandas", "skops") else find_spec(name, *more)
from servicekit.errors import MissingExtra
from servicekit.ml import Json, Model, Table
"""


def test_tables_and_json_work_without_pandas() -> None:
    program = """
model = Model(serializer=Json())
@model.train
def train(data): return {"rows": len(data)}
@model.predict
def predict(model, future: Table): return future
model.prepare()
print(train(Table(["a"], [[1]])))
"""
    assert run_python(WITHOUT + program) == "{'rows': 1}"


@pytest.mark.parametrize(("annotation", "serializer"), [("'pd.DataFrame'", "Json()"), ("Table", "None")])
def test_what_is_not_installed_is_told_when_the_service_is_built(annotation: str, serializer: str) -> None:
    program = f"""
model = Model(serializer={serializer})
@model.train
def train(data: {annotation}): ...
@model.predict
def predict(future: {annotation}): ...
try:
    model.prepare()
except MissingExtra as error:
    print(error)
"""
    assert "extra [ml]" in run_python(WITHOUT + program)


# --- what a model is made of ---------------------------------------------------------------------------------------


def test_a_model_is_found_by_the_module_that_has_it() -> None:
    assert find_home(samples.tables, ["tests.ml.samples"]) == ("tests.ml.samples", "tables")


def test_a_model_that_no_module_has_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"no global of a module.*model = Model"):
        find_home(Model())


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"config": dict}, "BaseConfig"),
        ({"targets": "cases"}, "names of columns"),
        ({"run_timeout": -1}, "run_timeout"),
        ({"serializer": "json"}, "Json()"),
        ({"serializer": Json}, "Json()"),
        ({"serialiser": Json()}, "Did you mean 'serializer'?"),
        ({"prediction": {"run_timout": 1}}, "run_timout"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(text)):
        Model(**options)


def test_a_model_without_functions_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"@model\.train"):
        Model(serializer=Json()).prepare()


def test_a_second_function_is_refused() -> None:
    model = Model()
    model.train(samples.train_tables)
    with pytest.raises(ConfigurationError, match="already"):
        model.train(samples.train_tables)


def test_a_parameter_that_nobody_gives_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"'dta', and gets only some of config, data, geo, run_info"):
        ModelFunction.of("train", lambda dta: dta, TRAIN)


def test_a_function_gets_what_it_names() -> None:
    values = {"config": 1, "model": 2, "future": GivenTable(TABLE), "geo": None}
    assert ModelFunction.of("predict", lambda geo, model: (geo, model), PREDICT)(values) == (None, 2)
    assert ModelFunction.of("predict", lambda **more: sorted(more), PREDICT)(values) == sorted(PREDICT)
    assert ModelFunction.of("predict", lambda model, own=3: own, PREDICT)(values) == 3


def test_an_annotation_decides_which_table_it_is() -> None:
    def wants_table(future: Table | None) -> object:
        return future

    def wants_frame(future) -> object:  # type: ignore[no-untyped-def]
        return future

    values = {"future": GivenTable(TABLE)}
    assert ModelFunction.of("predict", wants_table, PREDICT)(values) is TABLE
    frame = ModelFunction.of("predict", wants_frame, PREDICT)(values)
    assert list(frame.columns) == ["rain", "name"]


# --- tables --------------------------------------------------------------------------------------------------------


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    return Artifacts(tmp_path / "artifacts")


def store(artifacts: Artifacts, form: str) -> StoredTable:
    match form:
        case "csv":
            artifact = artifacts.save(TABLE.to_csv().encode(), media_type="text/csv; charset=utf-8")
        case "parquet":
            artifact = artifacts.save(TABLE.to_pandas())
        case "prediction":
            artifact = artifacts.save({"content": TABLE.as_dict()})
        case _:
            artifact = artifacts.save(TABLE)
    return StoredTable(artifacts, artifacts.get(artifact.id))


@pytest.mark.parametrize("form", ["csv", "json", "parquet", "prediction"])
def test_a_stored_table_is_read_in_every_form(artifacts: Artifacts, tmp_path: Path, form: str) -> None:
    source = store(artifacts, form)
    assert source.columns == ["rain", "name"]
    assert source.table().data == TABLE.data
    assert source.frame()["rain"].tolist() == [1, 2]
    source.write_csv(tmp_path / "table.csv")
    assert Table.from_csv((tmp_path / "table.csv").read_text()).data == TABLE.data


def test_what_is_no_table_says_which_artifact_it_is(artifacts: Artifacts) -> None:
    artifact = artifacts.save(b"PAR1 and no more", media_type="application/vnd.apache.parquet")
    with pytest.raises(InvalidContent, match=artifact.id):
        StoredTable(artifacts, artifact).columns  # noqa: B018


def test_a_cell_that_is_a_list_is_refused_with_its_place() -> None:
    with pytest.raises(InvalidContent) as caught:
        read_table({"columns": ["a", "b"], "data": [[1, 2], [1, {}]]}, ("body",))
    assert caught.value.place == ("body", "data", 1, 1)


# --- how models are kept -------------------------------------------------------------------------------------------


def test_json_refuses_what_it_would_not_give_back(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        Json().dump({"slope": float("nan")}, tmp_path / "model")
    Json().dump({"slope": [1, None]}, tmp_path / "model")
    assert Json().load(tmp_path / "model") == {"slope": [1, None]}


class Own:
    """A type that skops does not know."""


def test_skops_reads_only_what_is_trusted(tmp_path: Path) -> None:
    path, name = tmp_path / "model.skops", f"{Own.__module__}.Own"
    with pytest.raises(ModelNotTrusted, match=name):
        Skops().dump(Own(), path)
    Skops(trusted=[name]).dump(Own(), path)
    assert isinstance(Skops(trusted=[name]).load(path), Own)
    with pytest.raises(ModelNotTrusted, match=name):
        Skops(trusted=["other.Type"]).load(path)


def test_serializers_with_options_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="trusted"):
        Skops(trusted="sklearn.tree._tree.Tree")
    with pytest.raises(ConfigurationError, match="load"):
        Custom(print, None)  # type: ignore[arg-type]


def test_facts_that_are_too_many_are_left_out_in_order() -> None:
    facts = {"config": {}, "columns": ["x" * 100] * 100, "run_info": {"text": "x" * 20_000}, "metrics": {"rmse": 1}}
    assert set(fit_metadata(facts)) == {"config", "columns", "metrics"}
    facts["columns"] = ["x" * MAX_METADATA_BYTES]
    assert set(fit_metadata(facts)) == {"config"}


def test_metrics_are_kept_as_json_and_ignored_outside_of_a_training() -> None:
    import numpy

    report_metrics(rmse=1.0)
    with collect_metrics() as metrics:
        report_metrics(rmse=1.0, fold=1)
        report_metrics(rmse=numpy.float64(0.5), score=float("nan"))
    assert metrics == {"rmse": 0.5, "fold": 1, "score": None}
    assert type(metrics["rmse"]) is float


# --- the cache -----------------------------------------------------------------------------------------------------


def test_the_models_that_were_used_last_are_kept() -> None:
    cache, loaded = ModelCache(max_models=2, max_bytes=100), []

    def get(key: str, size: int = 1) -> None:
        cache.get(key, size, lambda: loaded.append(key))

    for key in ("a", "b", "a", "c", "a", "b"):
        get(key)
    assert loaded == ["a", "b", "c", "b"]
    get("large", 99)
    get("larger than all", 101)
    get("larger than all", 101)
    get("large", 99)
    assert loaded[4:] == ["large", "larger than all", "larger than all"]


def test_threads_that_want_the_same_model_load_it_once() -> None:
    cache, loaded, may_go_on = ModelCache(), [], threading.Event()

    def load() -> str:
        loaded.append(1)
        may_go_on.wait(30)
        return "model"

    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(cache.get("a", 1, load))) for _ in range(4)]
    for thread in threads:
        thread.start()
    may_go_on.set()
    for thread in threads:
        thread.join()
    assert (found, loaded) == (["model"] * 4, [1])


def test_a_model_that_cannot_be_loaded_is_tried_again() -> None:
    cache = ModelCache()
    with pytest.raises(ZeroDivisionError):
        cache.get("a", 1, lambda: 1 / 0)
    assert cache.get("a", 1, lambda: "model") == "model"


def test_a_model_that_two_threads_load_counts_once() -> None:
    cache = ModelCache(max_models=10, max_bytes=100)

    def load() -> str:
        cache._loading.clear()  # as a third thread does, whose load has failed
        return str(cache.get("a", 60, lambda: "model"))

    assert cache.get("a", 60, load) == "model"
    assert cache.get("b", 40, lambda: "other") == "other"
    assert cache.get("a", 60, lambda: "loaded again") == "model"


def test_a_check_that_hangs_does_not_keep_a_service_from_ending() -> None:
    command = [sys.executable, "-m", "tests.ml.hanging_check"]
    assert subprocess.run(command, timeout=60, check=False).returncode == 0
