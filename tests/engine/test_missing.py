"""Which of many jobs are kept no more."""

from ulid import ULID

from servicekit import Scheduler
from servicekit.engine import scheduler as scheduler_module
from tests.fakes import noop


async def test_of_many_ids_it_is_told_which_belong_to_no_job_any_more(scheduler: Scheduler) -> None:
    kept, deleted = [await scheduler.add_job(noop) for _ in range(2)]
    await scheduler.wait(deleted)
    await scheduler.delete(deleted)
    never = [str(ULID()) for _ in range(2 * scheduler_module._PAGE)]
    assert await scheduler.find_missing([*never, kept, ULID.from_str(deleted)]) == {*never, deleted}
    assert await scheduler.find_missing(iter([kept])) == await scheduler.find_missing([]) == set()
