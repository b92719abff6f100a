"""Where a model is: the module and the name by which any process of the program can import it."""

import sys
from collections.abc import Iterable, Iterator
from types import ModuleType

from servicekit.errors import ConfigurationError


def find_home(thing: object, likely_modules: Iterable[str] = ()) -> tuple[str, str]:
    """The name of the module that has this object as a global, and the global's name.

    `likely_modules` are looked at first, then all others that are imported. `ConfigurationError` if there is none.
    """
    # The last ones first: a module that is imported by another one comes after it, and has less to import itself.
    for name in (*likely_modules, *reversed(list(sys.modules))):
        for found in _names_in(sys.modules.get(name), thing):
            return name, found
    kind = type(thing).__name__
    sentence = (
        f"This {kind} is no global of a module, so a job's own process cannot find it. Write `model = {kind}(...)` at "
        "the top level of a module."
    )
    raise ConfigurationError("model", thing, sentence=sentence)


def _names_in(module: ModuleType | None, thing: object) -> Iterator[str]:
    # `vars`, and not `getattr`: a module can have a `__getattr__` that imports something or raises.
    return (name for name, value in list(getattr(module, "__dict__", {}).items()) if value is thing)
