"""What a job needs of a cluster: how much of a machine is kept for it while it runs."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from servicekit.errors import ConfigurationError

# Far more than any machine has: more is a mistake, such as bytes where processors were meant.
_MOST_UNITS: Final = 100_000
_MOST_BYTES: Final = 2**60
# Ray counts in ten-thousandths, and refuses less.
_LEAST_UNITS: Final = 0.0001
_NAMES: Final = ("cpus", "gpus", "memory_bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What is kept for a job on the machine of the cluster that runs it. It runs where so much is free.

    - `cpus`: processors, also a part of one, such as 0.5, of at least 0.0001. With 0, it shares what others leave.
    - `gpus`: GPUs, or a part of one. The job sees those that are its own in `CUDA_VISIBLE_DEVICES`.
    - `memory_bytes`: memory. It is counted, not bounded: see `max_memory_bytes` of `JobOptions`.

    `ConfigurationError` for numbers that make no sense.
    """

    cpus: float = 1
    gpus: float = 0
    memory_bytes: int | None = None

    def __post_init__(self) -> None:
        for name in ("cpus", "gpus"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MOST_UNITS:
                raise ConfigurationError(f"resources.{name}", value, f"a number from 0 to {_MOST_UNITS:,}")
            if 0 < value < _LEAST_UNITS:
                raise ConfigurationError(f"resources.{name}", value, f"0, or at least {_LEAST_UNITS}")
            if math.floor(value) == value:
                object.__setattr__(self, name, int(value))  # 4.0 is kept and shown as 4
        if self.gpus > 1 and not isinstance(self.gpus, int):  # a part of a GPU is shared; the others belong to one job
            raise ConfigurationError("resources.gpus", self.gpus, "a whole number, or a part of one GPU such as 0.5")
        memory = self.memory_bytes
        if memory is not None and (type(memory) is not int or not 1 <= memory <= _MOST_BYTES):
            raise ConfigurationError("resources.memory_bytes", memory, "a whole number of at least 1, or None")


def make_resources(value: object) -> Resources:
    """Resources from a mapping such as `{"cpus": 4, "gpus": 1, "memory_bytes": 2**30}`; or as they are.

    `ConfigurationError` for another name, or a number that makes no sense.
    """
    if isinstance(value, Resources):
        return value
    if not isinstance(value, Mapping):
        raise ConfigurationError("resources", value, 'numbers by their names, such as {"cpus": 4, "gpus": 1}')
    for name in value:
        if name not in _NAMES:
            raise ConfigurationError("resources", value, f"numbers by the names {', '.join(_NAMES)} (not {name!r})")
    return Resources(**value)
