"""What every job store promises, as tests for those who write a store.

    JobStoreContract     what every store promises
    BoundsByStatus       what it promises where failed jobs are kept for longer
    BoundedContract      what it promises where few jobs may wait, and where logs are short
    SharedStoreContract  what it promises where several processes work on the same jobs
    StoreSetting         what a store under test is made with

A store's own test module has a class for each of these that overrides `create_store`, the same for all: a mixin, say.
`skips` names tests that are left out, each with the reason. The tests need pytest, and pytest-asyncio in its `auto`
mode: the extra `testing`.
"""

from servicekit.errors import MissingExtra

try:
    import pytest
except ModuleNotFoundError as error:
    raise MissingExtra("The suite for stores", "testing") from error

# pytest shows what an `assert` has compared only in modules that it knows before they are imported.
pytest.register_assert_rewrite(
    *(
        f"servicekit.testing.stores.{name}"
        for name in (
            "activity",
            "base",
            "bounds",
            "calls",
            "families",
            "life",
            "logs",
            "many",
            "owners",
            "retries",
            "schedules",
            "searches",
            "shared",
            "waiting",
            "workers",
        )
    )
)

from servicekit.testing.stores.activity import ActivityContract
from servicekit.testing.stores.base import SCAN_LIMIT, StoreSetting, StoreTests, with_status
from servicekit.testing.stores.bounds import (
    FAILURES_ARE_KEPT_LONGER,
    MAX_PENDING,
    SHORT_LOGS,
    BoundedContract,
    BoundsByStatus,
)
from servicekit.testing.stores.calls import CallContract
from servicekit.testing.stores.families import FamilyContract
from servicekit.testing.stores.life import KEY, LifeContract
from servicekit.testing.stores.logs import LogContract
from servicekit.testing.stores.many import ManyContract
from servicekit.testing.stores.owners import OwnerContract
from servicekit.testing.stores.retries import ResubmitContract, RetryContract
from servicekit.testing.stores.schedules import ScheduleContract
from servicekit.testing.stores.searches import SearchContract
from servicekit.testing.stores.shared import SharedStoreContract
from servicekit.testing.stores.waiting import KeyContract, QueueContract, TimeContract
from servicekit.testing.stores.workers import WorkerContract

__all__ = [
    "FAILURES_ARE_KEPT_LONGER", "KEY", "MAX_PENDING", "SCAN_LIMIT", "SHORT_LOGS", "BoundedContract", "BoundsByStatus",
    "JobStoreContract", "SharedStoreContract", "StoreSetting", "StoreTests", "with_status",
]  # fmt: skip


class JobStoreContract(
    LifeContract,
    FamilyContract,
    OwnerContract,
    RetryContract,
    ResubmitContract,
    TimeContract,
    KeyContract,
    QueueContract,
    WorkerContract,
    LogContract,
    CallContract,
    ScheduleContract,
    SearchContract,
    ManyContract,
    ActivityContract,
):
    """What every store promises."""
