"""The record of a queue."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field


@dataclass(frozen=True, slots=True)
class QueueRecord:
    """The state of one queue at one moment."""

    name: Annotated[str, Field(description="The queue's name.", examples=["gpu"])]
    is_paused: Annotated[bool, Field(description="Whether no job of it is started.")]
    pending: Annotated[int, Field(description="How many jobs wait in it.", examples=[3])]
    running: Annotated[int, Field(description="How many of its jobs run.", examples=[1])]
    max_concurrency: Annotated[
        int | None, Field(description="How many of its jobs may run at once; `null` is no limit of its own.")
    ] = None
