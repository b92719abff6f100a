"""The launcher's program, executed by the path of this file: `python -P main.py SOCKET PARENT`.

SOCKET is the descriptor of the socket to the service, PARENT the number of the service's process.
"""

import os
import sys
from importlib import import_module
from types import ModuleType
from typing import Final

PACKAGE: Final = "servicekit_launcher_program"
"""The name of the package of this file in the launcher. By its own, `servicekit` would be imported with it."""


def name_package() -> None:
    package = ModuleType(PACKAGE)
    package.__path__ = [os.path.dirname(__file__)]  # noqa: PTH120 (pathlib takes longer to import than the rest)
    sys.modules[PACKAGE] = package


if __name__ == "__main__":  # a process that a target starts by `multiprocessing` executes this file by another name
    name_package()
    import_module(f"{PACKAGE}.fork_server").run(requests=int(sys.argv[1]), parent=int(sys.argv[2]))
