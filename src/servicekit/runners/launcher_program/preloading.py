"""What the launcher imports once, for all calls that are forked from it."""

import gc
import importlib
import os
import sys
from typing import Final

from .beginning import ISOLATED
from .messages import Request

_LOADING: Final = "SERVICEKIT_IS_LOADING"  # as in `calls`
# pyarrow, which pandas imports, would start a thread for its allocator, and beside threads no process is forked.
_THREADLESS: Final = {"JE_ARROW_MALLOC_CONF": "background_thread:false"}


def preload(request: Request) -> list[str]:
    """Import what calls need, once for all processes that are forked from here. Return a sentence for each failure.

    Only the user's modules have such sentences. If servicekit cannot be imported, each job tells it by itself.
    """
    sys.path[:], sys.argv[:] = request["path"], request["program"]
    problems = []
    os.environ[_LOADING] = "1"
    os.environ.update(_THREADLESS)  # each job has the environment of the service instead
    for name in (ISOLATED, *request["imports"], *request["preload"]):
        try:
            importlib.import_module(name)
        except BaseException as error:  # a module may raise anything, `SystemExit` too
            if name in request["preload"]:
                problems.append(f"{name} cannot be imported beforehand: {type(error).__name__}: {error}")
    os.environ.pop(_LOADING, None)
    gc.collect()
    gc.freeze()  # a collection in a child would copy every page that is shared with this process
    return problems
