"""Tables without pandas: names of columns, and rows of cells."""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self, TypeGuard

from servicekit.errors import InvalidContent, MissingExtra
from servicekit.jobs.texts import is_short_text

if TYPE_CHECKING:
    from pandas import DataFrame, Series

# As JSON has numbers, so that `007` and `1_000` stay texts. A plus and a point without digits are taken too.
_INTEGER: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,17})")
_NUMBER: Final = re.compile(r"[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?")
# What R and pandas write into a column of numbers for a missing one. In a column of texts they are texts.
_MISSING: Final = frozenset(["", "NA", "NaN", "nan"])


@dataclass(frozen=True, slots=True)
class Table:
    """`Table(["name", "age"], [["Ada", 36], ["Alan", 41]])`. A cell that is missing is `None`.

    `InvalidContent`, with the place, for columns that are empty or there twice, and for rows of another length. What
    the cells are is checked when the table is saved.
    """

    columns: list[str]
    data: list[list[object]]

    def __post_init__(self) -> None:
        _check_columns(self.columns)
        if not isinstance(self.data, list):
            raise InvalidContent(("data",), "it must be a list of rows")
        width = len(self.columns)
        for place, row in enumerate(self.data):
            if not isinstance(row, list | tuple) or len(row) != width:
                found = f"{len(row)} cells" if isinstance(row, list | tuple) else "no list"
                raise InvalidContent(("data", place), f"the row has {found}, but there are {width} columns")

    def __len__(self) -> int:
        """How many rows it has."""
        return len(self.data)

    @classmethod
    def of(cls, value: "Table | DataFrame | Mapping[str, object]") -> "Table":
        """The table itself, or one from a DataFrame, or from `{"columns": [...], "data": [...]}`.

        Of a DataFrame the index is left out. What is missing becomes `None`, and times become texts (ISO 8601).
        """
        if isinstance(value, Table):
            return value
        if is_frame(value):
            return cls([*value.columns], _rows_of(value))
        if not isinstance(value, Mapping) or not {"columns", "data"} <= value.keys():
            raise InvalidContent(("data",), 'it must be a table: {"columns": [...], "data": [[...], ...]}')
        return cls(value["columns"], value["data"])  # type: ignore[arg-type] # they are checked

    def as_dict(self) -> dict[str, object]:
        """The table as it stands in JSON."""
        return {"columns": self.columns, "data": self.data}

    def column(self, name: str) -> list[object]:
        """The cells of a column. `KeyError` if there is none of this name."""
        if name not in self.columns:
            raise KeyError(name)
        place = self.columns.index(name)
        return [row[place] for row in self.data]

    def to_pandas(self) -> "DataFrame":
        """The table as a DataFrame. `MissingExtra` without pandas."""
        try:
            from pandas import DataFrame
        except ImportError:
            raise MissingExtra("a DataFrame", "ml") from None
        return DataFrame(self.data, columns=self.columns)

    def to_csv(self) -> str:
        """The table as CSV (RFC 4180), with the names of the columns. What is missing is empty."""
        file = io.StringIO(newline="")
        writer = csv.writer(file)
        writer.writerow(self.columns)
        writer.writerows(self.data)
        return file.getvalue()

    @classmethod
    def from_csv(cls, text: str) -> Self:
        """The table in a CSV text whose first line has the names of the columns.

        A column in which every cell is a number or missing has numbers; each other has texts. An empty cell is
        missing, and in a column of numbers also `NA` and `NaN`.
        """
        try:
            lines = [line for line in csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline="")) if line]
        except csv.Error as error:
            raise InvalidContent(("data",), f"it is no CSV: {error}") from None
        if not lines:
            raise InvalidContent(("data",), "it is empty: the first line must have the names of the columns")
        columns, *rows = lines
        table = cls(columns, rows)  # type: ignore[arg-type] # a list of lists of texts; it checks their length
        cells = [_read_column(list(column)) for column in zip(*rows, strict=True)]
        return cls(columns, list(map(list, zip(*cells, strict=True)))) if cells else table


def is_frame(value: object) -> "TypeGuard[DataFrame]":
    """Whether the value is a DataFrame of pandas, without importing pandas."""
    return any(
        kind.__name__ == "DataFrame" and kind.__module__.partition(".")[0] == "pandas" for kind in type(value).__mro__
    )


def _check_columns(columns: object) -> None:
    if not isinstance(columns, list) or not columns:
        raise InvalidContent(("columns",), "it must be a list of at least one name")
    seen: set[str] = set()
    for place, name in enumerate(columns):
        if not name or not is_short_text(name):
            raise InvalidContent(("columns", place), "it must be the name of a column: one line of text")
        if name in seen:
            raise InvalidContent(("columns", place), f"there are two columns named {name!r}")
        seen.add(name)


def _read_column(cells: list[str]) -> Sequence[object]:
    if all(cell in _MISSING or _NUMBER.fullmatch(cell) for cell in cells):
        return [None if cell in _MISSING else _read_number(cell) for cell in cells]
    return [cell or None for cell in cells]


def _read_number(cell: str) -> int | float:
    return int(cell) if _INTEGER.fullmatch(cell) else float(cell)


def _rows_of(frame: "DataFrame") -> list[list[object]]:
    # By their places, since two columns can have the same name; `Table` refuses that, and says which.
    columns = [_cells_of(frame.iloc[:, place]) for place in range(frame.shape[1])]
    return list(map(list, zip(*columns, strict=True)))


def _cells_of(column: "Series") -> list[object]:
    cells = column.astype(object).where(column.notna(), None).tolist()
    if column.dtype.kind in "ifb":
        return cells
    return [cell.isoformat() if hasattr(cell, "isoformat") else cell for cell in cells]
