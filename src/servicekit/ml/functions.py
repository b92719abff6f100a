"""The user's functions: each gets the values that its parameters name, and tables in the form that they ask for."""

import asyncio
import inspect
from collections.abc import Callable, Collection, Mapping
from importlib.util import find_spec
from typing import Any, Final, NamedTuple

from servicekit.errors import ConfigurationError, MissingExtra
from servicekit.ml.learner import TableSource

TRAIN: Final = ("config", "data", "geo", "run_info")
PREDICT: Final = ("config", "model", "historic", "future", "geo", "run_info")
VALIDATE: Final = ("kind", "config", "data", "historic", "future", "geo", "run_info")
_TABLES: Final = frozenset({"data", "historic", "future"})


class ModelFunction(NamedTuple):
    """A function, and which of the values it wants."""

    function: Callable[..., object]
    wanted: tuple[str, ...]
    as_table: frozenset[str]
    """The parameters that get a `Table`. The other tables are DataFrames."""

    @classmethod
    def of(cls, role: str, function: Any, known: Collection[str]) -> "ModelFunction":
        """`ConfigurationError` if it is no function, or has a parameter that nobody would give it."""
        if not callable(function):
            raise ConfigurationError(role, function, "a function")
        parameters = _parameters_of(function)
        takes_all = any(each.kind is each.VAR_KEYWORD for each in parameters)
        for each in parameters:
            if each.name not in known and each.default is each.empty and each.kind not in (_REST, _MORE):
                names = ", ".join(known)
                sentence = f"{role} has a parameter {each.name!r}, and gets only some of {names}."
                raise ConfigurationError(role, function, sentence=sentence)
        wanted = tuple(known) if takes_all else tuple(each.name for each in parameters if each.name in known)
        tables = {each.name: each.annotation for each in parameters if each.name in _TABLES}
        return cls(function, wanted, frozenset(name for name in wanted if _wants_table(name, tables)))

    @property
    def module(self) -> str:
        """The name of the module that defines it."""
        return self.function.__module__

    @property
    def needs_pandas(self) -> bool:
        return any(name in _TABLES and name not in self.as_table for name in self.wanted)

    def __call__(self, values: Mapping[str, object]) -> Any:
        """Call it with what it wants of these. A coroutine is awaited on an event loop of its own."""
        result = self.function(**{name: self._read(name, values.get(name)) for name in self.wanted})
        return asyncio.run(_await(result)) if inspect.isawaitable(result) else result

    def _read(self, name: str, value: Any) -> object:
        if name not in _TABLES or value is None:
            return value
        source: TableSource = value
        return source.table() if name in self.as_table else source.frame()


_REST: Final = inspect.Parameter.VAR_POSITIONAL
_MORE: Final = inspect.Parameter.VAR_KEYWORD


def has_pandas() -> bool:
    return find_spec("pandas") is not None


def check_pandas(what: str) -> None:
    """`MissingExtra` unless pandas is installed."""
    if not has_pandas():
        raise MissingExtra(what, "ml")


async def _await(result: Any) -> object:
    return await result


def _parameters_of(function: Callable[..., object]) -> list[inspect.Parameter]:
    try:
        # Evaluated, since `from __future__ import annotations` makes a text of every annotation.
        signature = inspect.signature(function, eval_str=True)
    except Exception:  # a name that is imported only for type checkers, such as `pd`
        signature = inspect.signature(function)
    return list(signature.parameters.values())


def _wants_table(name: str, annotations: Mapping[str, object]) -> bool:
    """Whether the annotation names `Table`. A parameter without one gets a DataFrame where pandas is installed."""
    if name not in _TABLES:
        return False
    annotation = annotations.get(name, inspect.Parameter.empty)
    if annotation is inspect.Parameter.empty:
        return not has_pandas()
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))
    return "DataFrame" not in text and "Table" in text
