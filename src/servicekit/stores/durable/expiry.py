"""The times that follow from a job's options."""

import json
from datetime import datetime, timedelta

from servicekit.jobs.options import JobOptions, seconds_of
from servicekit.stores.durable.times import time_text


def expiry_after(options: JobOptions, moment: datetime) -> str | None:
    """The moment at which a job that may start now has waited for longer than its `queue_timeout`."""
    return (
        None
        if options.queue_timeout is None
        else time_text(moment + timedelta(seconds=seconds_of(options.queue_timeout)))
    )


def expiry_after_text(text: str | None, moment: datetime) -> str | None:
    """The same for written options. This version need not know all of them."""
    seconds = None if text is None else json.loads(text).get("queue_timeout")
    return None if seconds is None else time_text(moment + timedelta(seconds=seconds))
