"""What options mean for a row."""

import json
from datetime import datetime, timedelta

from servicekit.jobs.options import JobOptions, seconds_of
from servicekit.stores.durable.times import time_text


def expiry_after(options: JobOptions, moment: datetime) -> str | None:
    """When a job that may start from this moment on has waited too long."""
    return (
        None
        if options.queue_timeout is None
        else time_text(moment + timedelta(seconds=seconds_of(options.queue_timeout)))
    )


def expiry_after_text(text: str | None, moment: datetime) -> str | None:
    """The same for options as they are written, also if this version does not know all of them."""
    seconds = None if text is None else json.loads(text).get("queue_timeout")
    return None if seconds is None else time_text(moment + timedelta(seconds=seconds))
