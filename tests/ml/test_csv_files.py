"""Tables as files for programs in other languages."""

from pathlib import Path

from servicekit.ml import Table
from servicekit.ml.tables import GivenTable

TABLE = Table(["place", "cases"], [["north", 4], ["so, uth", None], ['"east"\r\nand\rwest', 1.5]])


def test_lines_end_with_a_line_feed_alone(tmp_path: Path) -> None:
    """For awk and the like, a carriage return would be a part of the last cell."""
    GivenTable(Table(TABLE.columns, TABLE.data[:2])).write_csv(tmp_path / "data.csv")
    assert (tmp_path / "data.csv").read_bytes() == b'place,cases\nnorth,4\n"so, uth",\n'


def test_cells_come_back_as_they_were(tmp_path: Path) -> None:
    GivenTable(TABLE).write_csv(tmp_path / "data.csv")
    assert Table.from_csv((tmp_path / "data.csv").read_bytes().decode()) == TABLE
