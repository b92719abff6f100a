"""What every job store promises, as tests.

A store's own test module subclasses `JobStoreContract` and provides `store`; and `BoundsByStatus` and `BoundedContract`
with stores that have the bounds which these name.
"""

import pytest

# pytest shows what an `assert` has compared only in modules that it knows before they are imported.
pytest.register_assert_rewrite(
    *(
        f"servicekit.testing.stores.{name}"
        for name in ("base", "bounds", "families", "life", "logs", "retries", "schedules", "waiting")
    )
)

from servicekit.testing.stores.base import SCAN_LIMIT, StoreTests, with_status
from servicekit.testing.stores.bounds import (
    FAILURES_ARE_KEPT_LONGER,
    MAX_PENDING,
    SHORT_LOGS,
    BoundedContract,
    BoundsByStatus,
)
from servicekit.testing.stores.families import FamilyContract
from servicekit.testing.stores.life import KEY, LifeContract
from servicekit.testing.stores.logs import LogContract
from servicekit.testing.stores.retries import ResubmitContract, RetryContract
from servicekit.testing.stores.schedules import ScheduleContract
from servicekit.testing.stores.waiting import KeyContract, QueueContract, TimeContract

__all__ = [
    "FAILURES_ARE_KEPT_LONGER", "KEY", "MAX_PENDING", "SCAN_LIMIT", "SHORT_LOGS", "BoundedContract", "BoundsByStatus",
    "JobStoreContract", "StoreTests", "with_status",
]  # fmt: skip


class JobStoreContract(
    LifeContract,
    FamilyContract,
    RetryContract,
    ResubmitContract,
    TimeContract,
    KeyContract,
    QueueContract,
    LogContract,
    ScheduleContract,
):
    """What every store promises."""
