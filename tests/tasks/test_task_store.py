"""What is kept of tasks, in a file or in the database of the jobs: seen by every process that shares it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC
from pathlib import Path
from unittest.mock import patch

import pytest

from servicekit.errors import TaskConflict, TaskNotFound
from servicekit.stores.postgres.address import read_address
from servicekit.stores.postgres.schema import migrate
from servicekit.tasks import stored
from servicekit.tasks.ports import TaskStore, Template
from servicekit.tasks.task_file import TaskFile
from servicekit.tasks.task_table import TaskTable

ADD = Template(task_type="python", command="add", parameters={"a": 1})
OTHER = Template(task_type="python", command="add", parameters={"a": 2})

MakeStore = Callable[[], TaskStore]


@pytest.fixture(params=["file", "table"])
async def make_store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[MakeStore]:
    """Makes stores that share a place, as processes do."""
    made: list[TaskStore] = []
    address = None
    if request.param == "table":
        address = read_address("url", request.getfixturevalue("postgres_url"))
        migrate(address)

    def make() -> TaskStore:
        made.append(TaskFile(tmp_path / "tasks.db") if address is None else TaskTable(address))
        return made[-1]

    yield make
    for store in made:
        await store.close()


@pytest.fixture
def store(make_store: MakeStore) -> TaskStore:
    return make_store()


async def test_a_change_is_seen_by_whoever_shares_the_place(store: TaskStore, make_store: MakeStore) -> None:
    other = make_store()
    assert await store.read() == await other.read() == {}
    await store.add("mine", ADD, is_enabled=True)
    assert (await other.read())["mine"].template == ADD
    await store.set_enabled("mine", is_enabled=False)
    assert not (await other.read())["mine"].is_enabled
    await other.replace("mine", OTHER, is_enabled=True)
    found = (await store.read())["mine"]
    assert (found.template, found.is_enabled) == (OTHER, True)
    assert found.created_at < found.updated_at
    assert found.created_at.tzinfo is UTC
    await other.remove("mine")
    assert await store.read() == {}


async def test_what_has_not_changed_is_not_read_again(store: TaskStore) -> None:
    await store.add("mine", ADD, is_enabled=True)
    first = await store.read()
    assert await store.read() is first
    await store.set_enabled("mine", is_enabled=True)
    assert await store.read() is not first


async def test_a_task_of_the_code_has_no_template(store: TaskStore) -> None:
    await store.set_enabled("add", is_enabled=False)
    found = (await store.read())["add"]
    assert (found.is_enabled, found.template) == (False, None)
    for change in (store.replace("add", ADD, is_enabled=True), store.remove("add")):
        with pytest.raises(TaskNotFound):
            await change
    await store.add("add", ADD, is_enabled=True)
    assert (await store.read())["add"].template == ADD


async def test_names_are_taken_once(store: TaskStore) -> None:
    await store.add("mine", ADD, is_enabled=True)
    with pytest.raises(TaskConflict, match="the name is taken"):
        await store.add("mine", OTHER, is_enabled=True)
    for change in (store.replace("other", ADD, is_enabled=True), store.remove("other")):
        with pytest.raises(TaskNotFound):
            await change
    assert (await store.read())["mine"].template == ADD


async def test_those_that_take_a_name_at_once_get_one_answer_each(make_store: MakeStore) -> None:
    stores = [make_store() for _ in range(4)]
    ends = await asyncio.gather(*(each.add("mine", ADD, is_enabled=True) for each in stores), return_exceptions=True)
    assert sorted(type(end).__name__ for end in ends) == ["NoneType", *["TaskConflict"] * 3]


async def test_templates_are_bounded(store: TaskStore) -> None:
    with patch.object(stored, "MOST_TEMPLATES", 2):
        for name in ("a", "b"):
            await store.add(name, ADD, is_enabled=True)
        with pytest.raises(TaskConflict, match="there may be 2 templates"):
            await store.add("c", ADD, is_enabled=True)


async def test_all_templates_together_are_bounded(store: TaskStore) -> None:
    large = ADD.model_copy(update={"parameters": {"b": "x" * 500}})
    with patch.object(stored, "MOST_CHARACTERS", 1_000):
        for name in ("a", "b"):
            await store.add(name, ADD, is_enabled=True)
        await store.replace("a", large, is_enabled=True)
        await store.replace("a", large, is_enabled=False)  # in the place of itself
        for change in (store.add("c", large, is_enabled=True), store.replace("b", large, is_enabled=True)):
            with pytest.raises(TaskConflict, match="of 1,000 characters together"):
                await change
        await store.set_enabled("c", is_enabled=False)
    assert {name for name, found in (await store.read()).items() if found.template == ADD} == {"b"}
