"""How many transactions a process commits. Counting costs each statement something, so nothing is timed meanwhile."""

import functools
import sqlite3
from dataclasses import dataclass
from typing import Any, Self


@dataclass
class Commits:
    count: int = 0

    @classmethod
    def watched(cls) -> Self:
        """Count those of every connection that is opened from now on."""
        commits = cls()

        class Connection(sqlite3.Connection):
            def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
                commits.count += sql == "COMMIT"
                return super().execute(sql, *parameters)

        sqlite3.connect = functools.partial(sqlite3.connect, factory=Connection)  # type: ignore[assignment]
        return commits
