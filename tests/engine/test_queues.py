"""Queues that are declared."""

import logging

import pytest

from servicekit import ConfigurationError, Every, InMemoryScheduler
from tests.fakes import noop


def warnings_in(log: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in log.records if record.levelno == logging.WARNING]


async def test_a_mistyped_queue_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    async with InMemoryScheduler(queues={"gpu": 1, "io": None}) as scheduler:
        for queue in ("gpu", "io", "default", "gpuu", "gpuu", "mail"):
            await scheduler.with_options(queue=queue).add_job(noop)
        await scheduler.schedules.with_options(queue="oi").add("often", Every(60), noop)
        mistyped, mail, schedule = warnings_in(caplog)
    assert "'gpuu'" in mistyped
    assert "Did you mean 'gpu'?" in mistyped
    assert "'mail'" in mail
    assert "'oi'" in schedule


async def test_nothing_is_mistyped_where_nothing_is_declared(caplog: pytest.LogCaptureFixture) -> None:
    async with InMemoryScheduler() as scheduler:
        await scheduler.with_options(queue="gpuu").add_job(noop)
    assert not warnings_in(caplog)


async def test_names_that_clients_make_up_do_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async with InMemoryScheduler(queues={"gpu": 1}) as scheduler:
        for number in range(300):
            await scheduler.with_options(queue=f"user-{number}").add_job(noop)
    assert len(warnings_in(caplog)) == 100


async def test_a_queue_may_be_declared_without_a_limit() -> None:
    async with InMemoryScheduler(queues={"gpu": 1, "io": None}) as scheduler:
        assert [(record.name, record.max_concurrency) for record in await scheduler.queues.list()] == [
            ("gpu", 1),
            ("io", None),
        ]


@pytest.mark.parametrize("limit", [0, -1, 1.5, True, "1"])
def test_a_limit_is_a_whole_number(limit: int) -> None:
    with pytest.raises(ConfigurationError, match=r"queues\['gpu'\]"):
        InMemoryScheduler(queues={"gpu": limit})


async def test_a_name_that_an_address_would_shorten_is_no_queue() -> None:
    with pytest.raises(ConfigurationError, match="queues must be a text that can be part of an address"):
        InMemoryScheduler(queues={"a/../b": 1})
    async with InMemoryScheduler() as scheduler:
        for act in (scheduler.queues.pause, scheduler.queues.resume):
            with pytest.raises(ConfigurationError, match="queue must be"):
                await act("..")
