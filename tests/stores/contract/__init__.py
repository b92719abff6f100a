"""What every job store promises, as tests.

A store's own test module subclasses `JobStoreContract` and provides `store`; and `BoundsByStatus` and `BoundedContract`
with stores that have the bounds which these name.
"""

from tests.stores.contract.base import SCAN_LIMIT, StoreTests, with_status
from tests.stores.contract.bounds import (
    FAILURES_ARE_KEPT_LONGER,
    MAX_PENDING,
    SHORT_LOGS,
    BoundedContract,
    BoundsByStatus,
)
from tests.stores.contract.families import FamilyContract
from tests.stores.contract.life import KEY, LifeContract
from tests.stores.contract.logs import LogContract
from tests.stores.contract.retries import ResubmitContract, RetryContract
from tests.stores.contract.schedules import ScheduleContract
from tests.stores.contract.waiting import KeyContract, QueueContract, TimeContract

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
