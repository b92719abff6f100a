"""What every store promises of the calls that are shown."""

from pydantic import SecretStr

from servicekit.jobs.outcome import completion
from servicekit.jobs.shown_calls import show_arguments, show_call
from servicekit.ports import JobStore
from servicekit.testing.stores.base import StoreTests
from servicekit.testing.stores.fakes import greet, noop, submission

_MOST = 10_000


class CallContract(StoreTests):
    """What every store promises of the calls that are shown."""

    async def test_calls_are_shown_before_and_after_their_end(self, store: JobStore) -> None:
        job_id = await self.submit(store, target=greet, args=("ana", SecretStr("hunter2")), owner="ana", mask=["name"])
        for _ in range(2):
            call = (await store.reads.list_calls([job_id], _MOST))[job_id]
            assert (call.name, call.owner, call.mask) == ("greet", "ana", ("name",))
            assert show_arguments(call) == {"name": "***", "word": "***"}
            if (claims := await store.attempts.claim(1, ())) != []:
                assert repr(claims[0].submission.args) == "('ana', SecretStr('**********'))"
                assert claims[0].submission.args[1] == SecretStr("hunter2")
                await store.attempts.end_attempt(claims[0], completion(None))

    async def test_calls_of_many_jobs_are_found_and_others_left_out(self, store: JobStore) -> None:
        named = {await self.submit(store, target=greet, args=(number,)): f"greet(name={number})" for number in range(9)}
        deleted = await self.submit(store, target=greet, args=("x",))
        await store.submissions.delete(deleted)
        calls = await store.reads.list_calls([*named, deleted, self.ids.next_id()], _MOST)
        assert {job_id: show_call(call) for job_id, call in calls.items()} == named
        assert await store.reads.list_calls([], _MOST) == {}

    async def test_a_repetition_has_the_same_call(self, store: JobStore) -> None:
        job_id = await self.submit(
            store, target=greet, args=("ana", SecretStr("hunter2")), mask=["name"], outcome=completion(None)
        )
        new_id = await store.submissions.resubmit(job_id, self.ids.next_id())
        calls = await store.reads.list_calls([job_id, new_id], _MOST)
        assert calls[job_id] == calls[new_id]
        assert (await self.claim(store)).submission.args == ("ana", SecretStr("hunter2"))

    async def test_what_cannot_be_written_is_shown_by_its_type_while_this_process_has_it(self, store: JobStore) -> None:
        job_id = await self.submit(store, target=greet, args=(object(), 1))
        call = (await store.reads.list_calls([job_id], _MOST))[job_id]
        assert show_arguments(call) == {"name": "<object>", "word": 1}
        coroutine = noop()
        held = submission(self.ids.next_id(), target=coroutine)
        await store.submissions.insert(held)
        assert show_arguments((await store.reads.list_calls([held.id], _MOST))[held.id]) is None
        coroutine.close()

    async def test_long_arguments_may_be_cut(self, store: JobStore) -> None:
        job_id = await self.submit(store, target=greet, args=("x" * 50_000,))
        (call,) = (await store.reads.list_calls([job_id], 100)).values()
        assert call.arguments is not None
        assert len(call.arguments) > 100
