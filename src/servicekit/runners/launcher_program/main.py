"""The launcher's program, executed by the path of this file: `python -P main.py SOCKET PARENT`.

SOCKET is the descriptor of the socket to the service, PARENT the id of the service's process.
"""

import os
import signal
import sys
from importlib import import_module
from types import ModuleType
from typing import Final

PACKAGE: Final = "servicekit_launcher_program"
"""The name of this package in the launcher. Under its real name, Python would import `servicekit` first."""
# These signals are meant for the service, even if they come here: systemd sends them to each process of a service.
# They are blocked, not ignored, and forked processes inherit that. So a signal that is sent to a job's work too early
# waits until the work can take it.
_HELD_BACK: Final = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)


def name_package() -> None:
    package = ModuleType(PACKAGE)
    package.__path__ = [os.path.dirname(__file__)]  # noqa: PTH120 (pathlib takes longer to import than the rest)
    sys.modules[PACKAGE] = package


# A target that uses `multiprocessing` executes this file once more, under the name `__mp_main__`: nothing happens then.
if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, _HELD_BACK)  # first: a signal during the imports would end it
    name_package()
    import_module(f"{PACKAGE}.fork_server").run(requests=int(sys.argv[1]), parent=int(sys.argv[2]))
