"""Tables as files for programs in other languages."""

from pathlib import Path

import pytest

from servicekit.artifacts import Artifacts
from servicekit.ml import Table
from servicekit.ml.tables import GivenTable, StoredTable

TABLE = Table(["place", "cases"], [["north", 4], ["so, uth", None], ['"east"\r\nand\rwest', 1.5]])


def test_lines_end_with_a_line_feed_alone(tmp_path: Path) -> None:
    """For awk and the like, a carriage return would be a part of the last cell."""
    GivenTable(Table(TABLE.columns, TABLE.data[:2])).write_csv(tmp_path / "data.csv")
    assert (tmp_path / "data.csv").read_bytes() == b'place,cases\nnorth,4\n"so, uth",\n'


def test_cells_come_back_as_they_were(tmp_path: Path) -> None:
    GivenTable(TABLE).write_csv(tmp_path / "data.csv")
    assert Table.from_csv((tmp_path / "data.csv").read_bytes().decode()) == TABLE


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_an_uploaded_file_of_windows_is_given_as_one_of_unix(tmp_path: Path, mark: bytes, end: bytes) -> None:
    artifacts = Artifacts(tmp_path / "artifacts")
    artifact = artifacts.save(mark + end.join([b"place,cases", b"north,4", b"s\xc3\xbcd,5"]), media_type="text/csv")
    table = StoredTable(artifacts, artifacts.get(artifact.id))
    table.write_csv(tmp_path / "data.csv")
    assert (tmp_path / "data.csv").read_bytes() == "place,cases\nnorth,4\nsüd,5".encode()
    assert table.columns == table.table().columns == list(table.frame().columns) == ["place", "cases"]


def test_an_uploaded_file_of_unix_is_given_as_it_is(tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path / "artifacts")
    content = b'place,cases\n"east\r\nwest",4\n'
    artifact = artifacts.save(content, media_type="text/csv")
    StoredTable(artifacts, artifacts.get(artifact.id)).write_csv(tmp_path / "data.csv")
    assert (tmp_path / "data.csv").read_bytes() == content
