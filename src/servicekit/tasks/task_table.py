"""Tasks in the database of the jobs, which the processes of all machines share.

Every execution asks whether its task is enabled. So each process keeps the rows in memory, and asks the server for one
number, which counts the changes. All calls are made in threads.
"""

from collections.abc import Mapping
from typing import Final

from servicekit.errors import TaskNotFound, TasksUnavailable
from servicekit.jobs.threads import call_in_thread
from servicekit.stores.postgres.address import Address
from servicekit.stores.postgres.pool import ConnectionPool
from servicekit.stores.postgres.session import Session
from servicekit.tasks import stored
from servicekit.tasks.ports import StoredTask, Template

# In UTC and in a form of its own, whatever the settings of the connection are: a pooler may be between.
_TIME: Final = """to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"')"""
_READ: Final = (
    f"SELECT name, is_enabled, template, {_TIME.format('created_at')}, {_TIME.format('updated_at')} "
    "FROM servicekit.tasks"
)
_SET_ENABLED: Final = """
    INSERT INTO servicekit.tasks VALUES (%(name)s, %(is_enabled)s, NULL, clock_timestamp(), clock_timestamp())
    ON CONFLICT (name) DO UPDATE SET is_enabled = excluded.is_enabled, updated_at = excluded.updated_at
    RETURNING 1
"""
_ADD: Final = """
    INSERT INTO servicekit.tasks
    SELECT %(name)s, %(is_enabled)s, %(template)s, clock_timestamp(), clock_timestamp()
    WHERE (SELECT count(*) FROM servicekit.tasks WHERE template IS NOT NULL) < %(most)s
    AND (SELECT coalesce(sum(length(template)), 0) FROM servicekit.tasks) + length(%(template)s) <= %(most_characters)s
    ON CONFLICT (name) DO UPDATE
    SET template = excluded.template, is_enabled = excluded.is_enabled, updated_at = excluded.updated_at
    WHERE tasks.template IS NULL
    RETURNING 1
"""
_REPLACE: Final = """
    UPDATE servicekit.tasks SET template = %(template)s, is_enabled = %(is_enabled)s, updated_at = clock_timestamp()
    WHERE name = %(name)s AND template IS NOT NULL AND length(%(template)s) <= %(most_characters)s
    - (SELECT coalesce(sum(length(template)), 0) FROM servicekit.tasks WHERE name <> %(name)s)
    RETURNING 1
"""
_REMOVE: Final = "DELETE FROM servicekit.tasks WHERE name = %(name)s AND template IS NOT NULL RETURNING 1"


class TaskTable:
    """The tasks of one service, in a table that must be there."""

    def __init__(self, address: Address) -> None:
        self._pool = ConnectionPool(address, purpose="tasks", refuse=lambda _, reason: TasksUnavailable(reason))
        self._known: tuple[int, Mapping[str, StoredTask]] = (-1, {})
        """All tasks, and how many changes there had been."""

    async def read(self) -> Mapping[str, StoredTask]:
        return await call_in_thread(self._pool.read, self._read)

    async def set_enabled(self, name: str, *, is_enabled: bool) -> None:
        await self._write(_SET_ENABLED, name, is_enabled=is_enabled)

    async def add(self, name: str, template: Template, *, is_enabled: bool) -> None:
        if not await self._write(_ADD, name, template=template, is_enabled=is_enabled):
            raise stored.refuse_addition(name, is_taken=await self._has_template(name))

    async def replace(self, name: str, template: Template, *, is_enabled: bool) -> None:
        if not await self._write(_REPLACE, name, template=template, is_enabled=is_enabled):
            raise stored.refuse_replacement(name, is_there=await self._has_template(name))

    async def remove(self, name: str) -> None:
        if not await self._write(_REMOVE, name):
            raise TaskNotFound(name)

    async def close(self) -> None:
        await call_in_thread(self._pool.close)

    async def _has_template(self, name: str) -> bool:
        found = (await self.read()).get(name)
        return found is not None and found.template is not None

    def _read(self, session: Session) -> Mapping[str, StoredTask]:
        [(number,)] = session.run("SELECT number FROM servicekit.task_changes")
        known, tasks = self._known
        if number != known:
            # The number first: a change between the two reads is then read once more, and not missed.
            tasks = {row[0]: stored.read_row(*row) for row in session.run(_READ)}
            self._known = (number, tasks)
        return tasks

    async def _write(
        self, statement: str, name: str, *, template: Template | None = None, is_enabled: bool = True
    ) -> bool:
        """Execute the statement in a transaction. Return whether it has changed anything."""
        values = {
            "name": name,
            "is_enabled": is_enabled,
            "template": None if template is None else template.model_dump_json(),
            "most": stored.MOST_TEMPLATES,
            "most_characters": stored.MOST_CHARACTERS,
        }

        def change(session: Session) -> bool:
            # First, so that of two who change tasks at the same time the second one sees what the first has done.
            session.run("UPDATE servicekit.task_changes SET number = number + 1")
            return bool(session.run(statement, values))

        return await call_in_thread(self._pool.write, change)
