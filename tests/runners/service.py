"""A program that runs a process and a command, tells who belongs to it, and waits to be killed."""

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from servicekit.jobs.command import Command
from servicekit.jobs.options import RunnerKind
from servicekit.runners.command import CommandRunner
from servicekit.runners.launcher import Launcher
from servicekit.runners.process import ProcessRunner
from tests.runners import targets
from tests.runners.trial import Trial, parent_of

COMMAND = Command("trap '' TERM; echo shell $$; setsid sleep 1000 & echo program $!; wait", shell=True)

CLOSES_ALL = """
import os, time
with open({fifo!r}, "w") as file:
    file.write(str(os.getpid()))
os.closerange(0, 100)
time.sleep(1_000)
"""


async def main(how_to_end: str) -> None:
    if how_to_end == "while it imports":
        await _import()
    launcher = Launcher()
    process = Trial(ProcessRunner(launcher), targets.sleep_with_daemon).start()
    command = Trial(CommandRunner(launcher), COMMAND, kind=RunnerKind.COMMAND).start()
    pids = [await process.wait_pid("work"), await process.wait_pid("daemon")]
    pids += [await command.wait_pid("shell"), await command.wait_pid("program")]
    pids += [parent_of(pids[0]), parent_of(pids[2])]
    pids += [parent_of(pids[-1])]
    if how_to_end == "with a forked child":
        pids += [_fork()]
    print(json.dumps(pids), flush=True)
    if how_to_end == "by an exception":
        process.job.kill_grace_seconds = command.job.kill_grace_seconds = 0
        raise SystemExit(3)
    await asyncio.Event().wait()


async def _import() -> None:
    """Tell who imports what never ends, and has closed all descriptors."""
    with TemporaryDirectory() as folder:
        os.mkfifo(Path(folder, "fifo"))
        Path(folder, "never_imported.py").write_text(CLOSES_ALL.format(fifo=str(Path(folder, "fifo"))))
        sys.path.insert(0, folder)
        launcher = Launcher(["never_imported"])
        launcher.open()
        pid = int(Path(folder, "fifo").read_text())  # which waits for who writes it
    print(json.dumps([pid]), flush=True)
    time.sleep(1_000)  # noqa: ASYNC251 # the event loop would see that the launcher is good for nothing, and end it


def _fork() -> int:
    """A child that has all that its parent had, and outlives it."""
    pid = os.fork()
    if pid == 0:
        time.sleep(1_000)
    return pid


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
