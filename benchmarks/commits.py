"""How many transactions a process commits. Counting costs each statement something, so nothing is timed meanwhile."""

import sqlite3
from dataclasses import dataclass
from typing import Any, Self


@dataclass
class Commits:
    count: int = 0

    @classmethod
    def watched(cls) -> Self:
        """Count those of every connection that is opened from now on, of whatever class."""
        commits, connect = cls(), sqlite3.connect

        def connect_and_watch(*args: Any, **options: Any) -> sqlite3.Connection:
            connection: sqlite3.Connection = connect(*args, **options)
            connection.set_trace_callback(commits.hear)
            return connection

        sqlite3.connect = connect_and_watch  # type: ignore[assignment]
        return commits

    def hear(self, statement: str) -> None:
        self.count += statement == "COMMIT"
