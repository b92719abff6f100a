"""Tables that models are given: sent with a request, or kept in an artifact as CSV, parquet or JSON."""

import csv
import io
import json
import shutil
from codecs import BOM_UTF8
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from math import isfinite
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from servicekit.artifacts import Artifact, Artifacts, Table
from servicekit.errors import InvalidContent, MissingExtra, ServicekitError
from servicekit.ml.files import local_file

if TYPE_CHECKING:
    from pandas import DataFrame

CSV: Final = "text/csv"
PARQUET: Final = "application/vnd.apache.parquet"
JSON: Final = "application/json"
_MAX_HEADER_CHARACTERS: Final = 1024 * 1024  # for tens of thousands of columns; a file can be one line of gigabytes


class GivenTable:
    """A table in memory."""

    def __init__(self, table: Table) -> None:
        self._table = table

    @property
    def columns(self) -> list[str]:
        return list(self._table.columns)

    def table(self) -> Table:
        return self._table

    def frame(self) -> "DataFrame":
        return to_frame(self._table)

    def write_csv(self, path: Path) -> None:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(_LineFeeds(file))
            writer.writerow(self._table.columns)
            writer.writerows(self._table.data)


class _LineFeeds:
    """Ends lines with a line feed alone, as programs of Unix expect it: for awk a CR is a part of the last cell.

    `csv.writer` would do so as well, but then it would not quote a cell that has a CR in it.
    """

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def write(self, line: str) -> None:
        self._file.write(line.removesuffix("\r\n") + "\n")


class StoredTable:
    """A table in an artifact. Every call reads it anew.

    `InvalidContent` if the artifact is no table: its media type is none of a table, or its content is not what the
    media type says.
    """

    def __init__(self, artifacts: Artifacts, artifact: Artifact) -> None:
        self._artifacts = artifacts
        self._artifact = artifact
        self._media_type = _media_type_of(artifact)

    @property
    def columns(self) -> list[str]:
        if self._media_type == JSON:
            return list(self.table().columns)
        read = _read_csv_header if self._media_type == CSV else _read_parquet_header
        with _as_invalid(self._artifact), local_file(self._artifacts, self._artifact) as path:
            return read(path)

    def table(self) -> Table:
        if self._media_type == PARQUET:
            return Table.of(self.frame())
        with _as_invalid(self._artifact), self._artifacts.open(self._artifact.id) as file:
            content = file.read()
            return (
                Table.from_csv(content.decode("utf-8-sig"))
                if self._media_type == CSV
                else read_table(json.loads(content))
            )

    def frame(self) -> "DataFrame":
        if self._media_type == JSON:
            return to_frame(self.table())
        pandas = _pandas()
        read = pandas.read_csv if self._media_type == CSV else pandas.read_parquet
        with _as_invalid(self._artifact), local_file(self._artifacts, self._artifact) as path:
            frame: DataFrame = read(path)
            return frame

    def write_csv(self, path: Path) -> None:
        if self._media_type == PARQUET:
            self.frame().to_csv(path, index=False)
        elif self._media_type == JSON:
            GivenTable(self.table()).write_csv(path)
        else:
            with local_file(self._artifacts, self._artifact) as file:
                _copy_csv(file, path)


def _copy_csv(source: Path, copy: Path) -> None:
    """Copy the file. If it is as Windows writes it, the copy has line feeds alone, and no mark before them."""
    with source.open("rb") as lines:
        first = lines.readline()
        if not first.startswith(BOM_UTF8) and not first.endswith(b"\r\n"):
            shutil.copyfile(source, copy)
            return
        with copy.open("wb") as file:
            for line in chain([first.removeprefix(BOM_UTF8)], lines):
                file.write(line[:-2] + b"\n" if line.endswith(b"\r\n") else line)


def read_table(value: object, place: tuple[str | int, ...] = ()) -> Table:
    """The table of a JSON value, `{"columns": [...], "data": [[...]]}`; also where it is the `content` of a prediction.

    `InvalidContent`, with the place below `place`, if it is none, or has no columns or no rows.
    """
    if isinstance(value, Mapping) and isinstance(value.get("content"), Mapping):
        value, place = value["content"], (*place, "content")
    if not isinstance(value, Mapping) or not {"columns", "data"} <= set(value):
        raise InvalidContent(place, 'it must be a table: {"columns": ["a", "b"], "data": [[1, 2], [3, 4]]}')
    columns, rows = value["columns"], value["data"]
    if not isinstance(columns, list) or not columns:
        raise InvalidContent((*place, "columns"), "it must be a list of the columns' names, with at least one")
    if not isinstance(rows, list) or not rows:
        raise InvalidContent((*place, "data"), "it must be a list of rows, with at least one")
    try:
        table = Table(columns, rows)
        _check_cells(rows)
    except InvalidContent as error:
        raise InvalidContent((*place, *error.place), error.reason) from error
    return table


def _check_cells(rows: list[list[object]]) -> None:
    for place, row in enumerate(rows):
        for column, cell in enumerate(row):
            kind = type(cell)
            if kind is float and not isfinite(cell):  # type: ignore[arg-type] # it is a float
                raise InvalidContent(("data", place, column), f"{cell} is no JSON; send null for a missing value")
            if kind is list or kind is dict:
                raise InvalidContent(("data", place, column), "a value must be a text, a number, true, false or null")


def to_frame(table: Table) -> "DataFrame":
    """`MissingExtra` if pandas is not installed."""
    _pandas()
    frame: DataFrame = table.to_pandas()
    return frame


def check_readable(artifact: Artifact, max_json_bytes: int) -> None:
    """`InvalidContent` if the artifact's media type is none of a table, or it has more JSON, which the service would
    read whole to learn the columns. `MissingExtra` if it cannot be read here.
    """
    media_type = _media_type_of(artifact)
    if media_type == PARQUET:
        _parquet()
    if media_type == JSON and artifact.size > max_json_bytes:
        raise InvalidContent(
            (),
            f"the table has {artifact.size:,} bytes of JSON, of which at most {max_json_bytes:,} are read: "
            f"upload it as {CSV} or {PARQUET}",
        )


def _media_type_of(artifact: Artifact) -> str:
    essence = (artifact.media_type or "").partition(";")[0].strip().lower()
    found = _MEDIA_TYPES.get(essence)
    if found is None:
        raise InvalidContent(
            (),
            f"the artifact has the media type {artifact.media_type!r}; a table is {CSV}, {PARQUET} or {JSON}: "
            "upload it with its Content-Type",
        )
    return found


_MEDIA_TYPES: Final = {
    CSV: CSV,
    "application/csv": CSV,
    PARQUET: PARQUET,
    "application/parquet": PARQUET,
    "application/x-parquet": PARQUET,
    JSON: JSON,
}


@contextmanager
def _as_invalid(artifact: Artifact) -> Iterator[None]:
    """Make `InvalidContent` of whatever the libraries raise for content that they cannot read."""
    try:
        yield
    except (OSError, ServicekitError, MemoryError):
        raise
    except Exception as error:  # each library has errors of its own, and none says which file it is
        reason = f"artifact {artifact.id} is no {artifact.media_type}: {error}"
        raise InvalidContent((), reason[:500]) from error


def _read_csv_header(path: Path) -> list[str]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        begin = file.read(_MAX_HEADER_CHARACTERS)
    is_cut = len(begin) == _MAX_HEADER_CHARACTERS
    rows = csv.reader(io.StringIO(begin.rpartition("\n")[0] if is_cut else begin, newline=""))
    columns = next(rows, [])
    first = next(rows, None)
    if is_cut and first is None:
        raise InvalidContent((), f"its first two lines have more than {_MAX_HEADER_CHARACTERS:,} characters")
    _check_columns(columns)
    if first is None:
        raise InvalidContent((), "the file has no rows")
    if len(first) != len(columns):
        raise InvalidContent((0,), f"the first row has {len(first)} values, and there are {len(columns)} columns")
    return columns


def _read_parquet_header(path: Path) -> list[str]:
    file = _parquet().ParquetFile(path)
    columns = [str(name) for name in file.schema_arrow.names if not str(name).startswith("__index_level_")]
    if file.metadata.num_rows == 0:
        raise InvalidContent((), "the file has no rows")
    _check_columns(columns)
    return columns


def _check_columns(columns: list[str]) -> None:
    seen: set[str] = set()
    for index, name in enumerate(columns):
        if not name.strip():
            raise InvalidContent(("columns", index), "the column has no name")
        if name in seen:
            raise InvalidContent(("columns", index), f"there are two columns {name!r}")
        seen.add(name)
    if not columns:
        raise InvalidContent(("columns",), "the file has no columns")


def _pandas() -> Any:
    try:
        import pandas
    except ImportError as error:
        raise MissingExtra("A model that works with DataFrames", "ml") from error
    return pandas


def _parquet() -> Any:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtra("A table in a parquet file", "parquet") from error
    return pyarrow.parquet
