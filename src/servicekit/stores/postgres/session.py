"""A connection as statements see it."""

import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

import psycopg
from psycopg import sql
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.types.string import StrDumper

DEFAULT_SCHEMA: Final = "servicekit"

# PostgreSQL keeps no text with a NUL in it, and the other stores do. A mark of two code points that are no characters
# stands in its place. Where a text has that itself, another one does, so every text is read as it was written.
_NUL: Final = "\0"
_FIRST: Final = "\ufdd0"
_MARK: Final = _FIRST + "\ufdd1"
_KEPT: Final = _FIRST + "\ufdd2"
_LIKE_MARK: Final = re.compile(f"{_FIRST}(?=[\ufdd1\ufdd2])")
_FIRST_BYTES: Final = _FIRST.encode()

Values = Sequence[object] | Mapping[str, object]
Connection = psycopg.Connection[tuple[Any, ...]]


class Session:
    """A connection in a transaction, and what that transaction has to tell.

    Statements name each table as one of the schema `servicekit`, which is replaced by the schema of the address. There
    is no search path: behind a pooler it may be that of another client. Values are `%s` or `%(name)s`.
    """

    def __init__(self, connection: Connection, schema: str = DEFAULT_SCHEMA) -> None:
        self.connection = connection
        adapt(connection)
        self.number = 0
        """The number of this process; 0 if it is not registered."""
        self.shard = 0
        """Its rows in `counts` and `owner_counts`."""
        self.keys: set[str] = set()
        """Concurrency keys of which this transaction has freed slots, or for which it has jobs that seek one."""
        self.owned: dict[tuple[str, str], int] = {}
        """By how many jobs this transaction has changed the count of an owner and a status: see `owners.py`."""
        self.folded_owner = ""
        """The last owner whose counts were put together: see `owners.py`."""
        self.is_changed = False
        """Whether this transaction has written events."""
        self.is_ready = False
        """Whether this transaction has made waiting jobs ready."""
        self.is_unsure = False
        """Whether the calls of this transaction may have been written already: the answer to a commit was lost."""
        self.has_lost_answers = False
        """Whether the answer to any commit of this process was lost, so that a caller may ask for the same again."""
        self.next_look_at = 0.0
        """When a claim shall look through all ready jobs, by the monotonic clock; 0: at once. See `lines.py`."""
        self.bounds = (-1, -1)
        """What the last look has found, and the one before."""
        self.passed_on_at = 0.0
        """When slots of jobs that cannot start were last looked for: see `keys.py`."""
        self.claim_again_at: float | None = None
        """When a claim has to follow the last one, which has not looked for such slots, even if nothing happens."""
        self._schema = schema
        self._prefix = "" if schema == DEFAULT_SCHEMA else f"{sql.Identifier(schema).as_string(None)}."
        self._texts: dict[str, str] = {}
        self._cursor = connection.cursor()  # a new one for each statement would cost as much as a third of it

    def begin(self, number: int, shard: int) -> None:
        """A transaction begins, of the process with this number. What the one before had to tell has been told."""
        self.number, self.shard = number, shard
        self.keys.clear()
        self.owned.clear()
        self.is_changed = self.is_ready = False

    def run(self, statement: str, values: Values = ()) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows. Times and JSON come as the server writes them, in UTC."""
        cursor = self._cursor.execute(self.text_of(statement), values or None)
        return cursor.fetchall() if cursor.description is not None else []

    def text_of(self, statement: str) -> str:
        """The statement for the schema of the address."""
        if not self._prefix:
            return statement
        if statement not in self._texts:  # statements are constants, so this is bounded
            self._texts[statement] = statement.replace(f"{DEFAULT_SCHEMA}.", self._prefix)
        return self._texts[statement]

    def lock_number(self, purpose: str) -> int:
        """The number of the advisory lock for this purpose: advisory locks are those of a database, not of a schema."""
        digest = sha256(f"servicekit {self._schema} {purpose}".encode()).digest()
        return int.from_bytes(digest[:8], "big", signed=True)


def to_text(value: str) -> str:
    """The text as the server can keep it: for texts that are part of a JSON value. Others are handled by `adapt`."""
    if _FIRST in value:
        value = _LIKE_MARK.sub(_KEPT, value)
    return value.replace(_NUL, _MARK) if _NUL in value else value


class _TextDumper(StrDumper):
    def dump(self, obj: str) -> Buffer | None:
        return super().dump(to_text(obj))


class _TextLoader(Loader):
    def load(self, data: Buffer) -> str:
        data = bytes(data)
        text = data.decode()
        return text.replace(_MARK, _NUL).replace(_KEPT, _FIRST) if _FIRST_BYTES in data else text


def adapt(connection: Connection) -> None:
    """Have texts sent and read with a mark in place of each NUL, and times and JSON read as plain texts."""
    connection.adapters.register_dumper(str, _TextDumper)
    for kind in ("text", "timestamptz", "json", "jsonb"):
        connection.adapters.register_loader(kind, _TextLoader)
