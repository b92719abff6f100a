"""The page of the tables in PostgreSQL names all that is there."""

import re

import psycopg

from servicekit.stores.postgres.address import read_address
from servicekit.stores.postgres.schema import migrate
from tests.docs.pages import ROOT

COLUMNS = """
SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'servicekit' ORDER BY 1, 2
"""
SEQUENCES = """
SELECT sequence_name FROM information_schema.sequences WHERE sequence_schema = 'servicekit'
"""


def test_the_page_of_the_tables_has_every_table_and_column(postgres_url: str) -> None:
    migrate(read_address("url", postgres_url))
    with psycopg.connect(postgres_url) as connection:
        there = set(connection.execute(COLUMNS).fetchall())
        sequences = [name for (name,) in connection.execute(SEQUENCES)]
    page = (ROOT / "docs" / "postgres-schema.md").read_text()
    assert set(_columns_in(page)) == there
    for name in sequences:
        assert f"the sequence `{name}`" in page


def _columns_in(page: str) -> list[tuple[str, str]]:
    """The table and column of each name in the first column of a table of columns."""
    found, tables = [], []
    for line in page.splitlines():
        if named := re.match(r"\*\*`(\w+)`\*\*(?: and \*\*`(\w+)`\*\*)?", line):
            tables = [name for name in named.groups() if name]
        elif tables and line.startswith("| `"):
            names = re.findall(r"`(\w+)`", line.split(" | ")[0])
            found += [(tables[0], name) for name in names]
            tables = tables[1:] or tables
    return found
