"""A process with a lease that is shorter than usual, and jobs that note when they run: see `test_leases.py`.

python -m tests.many_machines.lease_member URL FOLDER
"""

import asyncio
import logging
import os
import sys
import time
from pathlib import Path
from typing import Final

from servicekit import create_scheduler
from servicekit.stores.postgres import leases

TERMS: Final = leases.Terms(renewal=0.5, stop=3.0, death=4.5, gone=1.0)
STEP_SECONDS: Final = 0.02


def note(folder: str, label: str) -> None:
    """Note that this process runs this job just now, by the clock that all processes of this machine share."""
    line = f"{os.getpid()} {label} {time.monotonic()}\n".encode()
    file = os.open(Path(folder, "journal"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, line)
    os.close(file)


async def beat(folder: str, label: str) -> int:
    """Run until there is a file of that name; return who has."""
    while not Path(folder, f"end {label}").exists():
        note(folder, label)
        await asyncio.sleep(STEP_SECONDS)
    return os.getpid()


async def block(folder: str, label: str, seconds: float) -> int:
    """Block the event loop."""
    note(folder, label)
    time.sleep(seconds)  # noqa: ASYNC251
    return os.getpid()


async def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    leases.TERMS = TERMS  # type: ignore[misc]
    async with create_scheduler(sys.argv[1], shutdown_grace=0):
        print(f"member {os.getpid()} is ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)  # until the test is done with it, or has ended


if __name__ == "__main__":
    asyncio.run(main())
