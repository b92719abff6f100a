"""Tables with and without pandas."""

from datetime import UTC, datetime
from typing import Any

import numpy
import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicekit.artifacts import Artifacts, Table
from servicekit.artifacts import content as content_module
from servicekit.errors import InvalidContent

CELLS = st.one_of(st.none(), st.integers(-(10**17), 10**17), st.floats(allow_nan=False, allow_infinity=False))


@pytest.mark.parametrize(
    ("columns", "data", "place"),
    [
        ([], [], ("columns",)),
        ("ab", [], ("columns",)),
        (["a", "a"], [], ("columns", 1)),
        (["a", ""], [], ("columns", 1)),
        (["a", 3], [], ("columns", 1)),
        (["a\n"], [], ("columns", 0)),
        (["a"], None, ("data",)),
        (["a"], [[1], [1, 2]], ("data", 1)),
        (["a"], [[1], 2], ("data", 1)),
        (["a"], [[1], "x"], ("data", 1)),
    ],
)
def test_a_table_of_nonsense_says_where(columns: Any, data: Any, place: tuple[object, ...]) -> None:
    with pytest.raises(InvalidContent) as caught:
        Table(columns, data)
    assert caught.value.place == place
    with pytest.raises(InvalidContent) as caught:
        Table.of({"columns": columns, "data": data})
    assert caught.value.place == place


def test_a_table_of_something_else_is_refused() -> None:
    values: list[Any] = [{"columns": ["a"]}, [], None]
    for value in values:
        with pytest.raises(InvalidContent, match="must be a table"):
            Table.of(value)


def test_a_table_has_columns_and_rows() -> None:
    table = Table(["a", "b"], [[1, "x"], [2, "y"]])
    assert (len(table), table.column("b")) == (2, ["x", "y"])
    assert Table.of(table) is table
    with pytest.raises(KeyError, match="c"):
        table.column("c")


def test_csv_of_r_and_pandas_is_read() -> None:
    text = '\ufeff"place","rain","code"\r\n"Oslo, N",1.50,007\r\n"NA",NA,NA\r\n"",-2e3,\r\n'
    table = Table.from_csv(text)
    assert table.columns == ["place", "rain", "code"]
    assert table.data == [["Oslo, N", 1.5, "007"], ["NA", None, "NA"], [None, -2000.0, None]]
    assert Table.from_csv("a\n") == Table(["a"], [])
    for wrong, reason in [("", "empty"), ("a,a\n1,2", "two columns"), ("a,b\n1\n", "1 cells")]:
        with pytest.raises(InvalidContent, match=reason):
            Table.from_csv(wrong)


@given(st.lists(st.tuples(CELLS, CELLS), min_size=1))
def test_numbers_come_back_from_csv(rows: list[tuple[object, object]]) -> None:
    table = Table(["a", "b"], [list(row) for row in rows])
    assert Table.from_csv(table.to_csv()) == table


def test_a_dataframe_becomes_a_table_and_comes_back() -> None:
    frame = pandas.DataFrame(
        {
            "n": [1, 2],
            "x": [1.5, numpy.nan],
            "s": ["a", None],
            "b": [True, False],
            "t": [pandas.Timestamp("2026-01-01T12:00Z"), pandas.NaT],
            "d": [datetime(2026, 1, 1, tzinfo=UTC).date(), None],
        },
        index=["first", "second"],
    )
    table = Table.of(frame)
    assert table.columns == ["n", "x", "s", "b", "t", "d"]
    assert table.data == [
        [1, 1.5, "a", True, "2026-01-01T12:00:00+00:00", "2026-01-01"],
        [2, None, None, False, None, None],
    ]
    assert [type(cell) for cell in table.data[0]] == [int, float, str, bool, str, str]
    back = table.to_pandas()
    assert back["x"].isna().tolist() == [False, True]
    with pytest.raises(InvalidContent, match="two columns"):
        Table.of(pandas.DataFrame([[1, 2]], columns=["a", "a"]))
    with pytest.raises(InvalidContent) as caught:
        Table.of(pandas.DataFrame([[1, 2]]))
    assert caught.value.place == ("columns", 0)


def test_a_dataframe_is_kept_as_parquet(artifacts: Artifacts) -> None:
    frame = pandas.DataFrame({"n": [1, 2], "s": ["a", None]})
    saved = artifacts.save(frame, kind="data")
    assert saved.media_type == "application/vnd.apache.parquet"
    loaded = artifacts.load(saved.id)
    assert isinstance(loaded, pandas.DataFrame)
    assert Table.of(loaded) == Table.of(frame)
    with pytest.raises(InvalidContent, match="no Parquet file"):
        artifacts.load(artifacts.save(b"PAR1", media_type=saved.media_type).id)
    with pytest.raises(InvalidContent, match="cannot be written as Parquet"):
        artifacts.save(pandas.DataFrame({"mixed": [1, "a", object()]}))


def test_without_pyarrow_a_dataframe_is_kept_as_a_table(artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content_module, "_write_parquet", lambda _: None)
    frame = pandas.DataFrame({"n": [1, 2]})
    assert artifacts.load(artifacts.save(frame).id) == Table(["n"], [[1], [2]])


def test_numbers_of_numpy_are_numbers(artifacts: Artifacts) -> None:
    value = {"a": numpy.int64(3), "b": numpy.array([1.5, 2.5]), "c": numpy.bool_(True)}
    assert artifacts.save(value).data == {"a": 3, "b": [1.5, 2.5], "c": True}
    with pytest.raises(InvalidContent, match="no JSON") as caught:
        artifacts.save({"a": numpy.array([1.0, numpy.nan])})
    assert caught.value.place[:2] == ("data", "a")
