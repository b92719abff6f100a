"""Calls beside the event loop."""

import asyncio
import sys
import threading
from contextvars import ContextVar
from typing import Any

import pytest

from servicekit.jobs.threads import start_in_thread
from tests.hindering import without_threads

request = ContextVar("request", default="none")


async def test_a_call_has_its_arguments_and_the_context_of_its_caller() -> None:
    def tell(number: int, *, unit: str) -> str:
        return f"{number} {unit} {request.get()}"

    request.set("one")
    assert await start_in_thread(tell, 1, unit="m") == "1 m one"


@pytest.mark.parametrize("error", [SystemExit, StopIteration])
async def test_what_would_end_the_event_loop_comes_as_an_error(error: type[BaseException]) -> None:
    def fail() -> None:
        raise error("no more")

    with pytest.raises(RuntimeError, match=f"{error.__name__}: no more"):
        await start_in_thread(fail)


async def test_an_error_comes_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError):
        await start_in_thread(divmod, 1, 0)


async def test_that_there_is_no_thread_is_no_error_of_the_call() -> None:
    with without_threads(), pytest.raises(RuntimeError, match="can't start new thread"):
        start_in_thread(sys.exit)


def test_an_event_loop_does_not_wait_for_a_call_at_its_end() -> None:
    ended = threading.Event()

    async def leave() -> None:
        start_in_thread(ended.wait)

    asyncio.run(leave())
    ended.set()


async def test_who_does_not_want_the_result_any_more_is_not_told() -> None:
    began, ended = threading.Event(), threading.Event()
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))

    def call() -> None:
        began.set()
        ended.wait()

    future = start_in_thread(call)
    future.cancel()
    ended.set()
    assert await start_in_thread(began.wait)
    for thread in [each for each in threading.enumerate() if each.name == "servicekit-call"]:
        await start_in_thread(thread.join, 30)  # it has told the loop, which has turned since
    with pytest.raises(asyncio.CancelledError):
        await future
    assert not complaints
