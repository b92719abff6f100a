"""References: names by which any process of a program can import an object, `package.module:qualified.name`.

The process that runs the program's own file calls it `__main__`. If other processes could import it by its file's name,
the reference has that name.
"""

import importlib
import sys
from contextlib import suppress
from functools import cache, partial
from inspect import iscoroutine
from pathlib import Path
from types import BuiltinMethodType, MethodType, ModuleType
from typing import Any, Final

MAIN: Final = "__main__"
_BOUND: Final[dict[type, str]] = {
    kind: f"is a {what}, which no other process can import. Pass a function of a module and its arguments"
    for kind, what in (
        (MethodType, "bound method"),
        (BuiltinMethodType, "bound method"),
        (partial, "partial"),
    )
}


def find_reference(thing: object) -> str | None:
    """`module:qualified.name` if this name leads to this very object, else `None`."""
    if type(thing) is MethodType:  # Python makes a new method object at each look, so none leads to this very one
        return None
    try:
        module, name = getattr(thing, "__module__", None), getattr(thing, "__qualname__", None)
        if type(module) is not str or type(name) is not str or "<locals>" in name:
            return None
        if look_up(sys.modules.get(module), name) is not thing:
            return None
    except Exception:  # a proxy's __getattr__, say
        return None
    module = name_of_main() if module == MAIN else module
    return None if module is None else f"{module}:{name}"


def explain_no_reference(thing: Any) -> str:
    """Why `find_reference` finds none: the end of a sentence whose subject is the thing, such as "the target"."""
    kind = type(thing)
    if kind in _BOUND and not (kind is BuiltinMethodType and type(thing.__self__) is ModuleType):
        return _BOUND[kind]
    if iscoroutine(thing):
        return "is a coroutine object, which runs only once, and only here. Pass the function and its arguments"
    module, name = _text_of(thing, "__module__"), _text_of(thing, "__qualname__")
    if not name:
        return f"is an object of the class {kind.__qualname__}, which no other process can import by a name"
    if name.endswith("<lambda>"):
        return "is a lambda, which no other process can import. Define it by def, at the top level of a module"
    if "<locals>" in name:
        return f"is {name}, defined inside of a function, where no other process can import it"
    if module == MAIN and name_of_main() is None:
        return f"is {name} of {_describe_main()}"
    return f"is {name}, and the name {module}.{name} does not lead to it, but to something else or nowhere"


def _text_of(thing: object, attribute: str) -> str:
    try:
        text = getattr(thing, attribute, None)
    except Exception:  # a proxy's __getattr__, say
        return ""
    return text if type(text) is str else ""


def _describe_main() -> str:
    file = getattr(sys.modules.get(MAIN), "__file__", None)
    if file is None:
        return "an interactive session, which no other process can import"
    name = Path(file).name
    if not Path(file).stem.isidentifier():
        return f"the program {name}, which cannot be imported under that name: rename the file, without {_odd(name)}"
    return f"the program {name}, whose folder is not where Python looks for modules"


def _odd(name: str) -> str:
    odd = sorted({character for character in Path(name).stem if not f"_{character}".isidentifier()})
    return " and ".join(repr(character) for character in odd) or "a digit in front"


def load_reference(reference: str) -> object:
    """The object of a reference; `None` if its module has no such name. Raises what the import of the module raises."""
    module_name, _, name = reference.partition(":")
    module = sys.modules[MAIN] if module_name == name_of_main() else importlib.import_module(module_name)
    return look_up(module, name)


def find_loaded(reference: str) -> object | None:
    """The object of a reference whose module has been imported; else `None`, and nothing is imported."""
    module_name, _, name = reference.partition(":")
    module = sys.modules.get(MAIN if module_name == name_of_main() else module_name)
    with suppress(Exception):  # a module can have a `__getattr__` of its own, which can raise anything
        return None if module is None else look_up(module, name)
    return None


def look_up(module: object, name: str) -> object:
    """The object of a qualified name in a module; `None` if there is none."""
    found = module
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


@cache
def name_of_main() -> str | None:
    """The name by which other processes can import the module that this process runs as its program, if they can."""
    main = sys.modules.get(MAIN)
    spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    if spec is not None:  # python -m package.module
        return str(spec.name)
    if file is None:  # an interactive session
        return None
    path = Path(file)
    # The folder is on `sys.path` if the program was run by its file. Otherwise no other process could import it.
    return path.stem if path.stem.isidentifier() and str(path.resolve().parent) in map(_resolved, sys.path) else None


def name_in_full(kind: type) -> str:
    """The full name of a class, the same in every process of this program: `package.module.Class`."""
    # Read from `type`, since a metaclass can have attributes of these names that say something else.
    module, name = (type.__dict__[attribute].__get__(kind) for attribute in ("__module__", "__qualname__"))
    return f"{(name_of_main() or MAIN) if module == MAIN else module}.{name}"


def find_class(name: str) -> type | None:
    """The class with this full name, or with this alias, if its module has been imported."""
    parts = name.split(".")
    for length in range(len(parts) - 1, 0, -1):
        module = sys.modules.get(".".join(parts[:length]))
        with suppress(Exception):  # a module can have a `__getattr__` of its own, which can raise anything
            found = look_up(module, ".".join(parts[length:]))
            if isinstance(found, type):
                return found
    return None


def _resolved(folder: str) -> str:
    return str(Path(folder).resolve())
