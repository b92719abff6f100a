"""The start beside a server that is being started as well."""

import logging
import math
import time
from typing import Final

from servicekit.errors import StoreUnavailable
from servicekit.stores.postgres.address import Address
from servicekit.stores.postgres.connections import is_locked, may_come
from servicekit.stores.postgres.schema import prepare

# A server that is started at the same time, as with `docker compose up` or when the machine starts, is there by then. A
# wrong address is told at once, and ends the start after that.
_START_SECONDS: Final = 30.0
# Between two tries, since they may fail at once.
_PAUSE_SECONDS: Final = 2.0

_log = logging.getLogger("servicekit.stores")


def patience_for(error: StoreUnavailable) -> float:
    """For how many seconds a start waits until this has passed: see `Database.patience_for`."""
    return math.inf if is_locked(error) else _START_SECONDS if may_come(error) else 0.0


def prepare_when_there(address: Address) -> None:
    """As `schema.prepare`, as soon as the server can be reached: for features that start before the jobs."""
    began = time.monotonic()
    while True:
        try:
            prepare(address)
        except StoreUnavailable as error:
            if time.monotonic() - began >= patience_for(error):
                raise
            _log.warning("The start waits for the job store %s: %s", address.location, error.reason)
        else:
            return
        time.sleep(_PAUSE_SECONDS)
