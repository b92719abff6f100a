"""A target whose module takes a while to import."""

import time

import fastapi  # noqa: F401  # some hundred milliseconds of the imports that a job may have


def begin() -> float:
    """A plain function that tells when it began, on the clock that all processes share."""
    return time.monotonic()
