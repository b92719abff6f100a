"""The check whether the arguments of a job fit its target's signature.

Missing, unknown and surplus arguments are found for every target whose signature Python can read. Types are checked
only for functions and methods that can be imported by name: pydantic needs a millisecond to prepare for a type, once
for each function, and a function that is made anew for every job would cost that every time.

The rule is that of type checkers: a value must be of the type that the signature names. Nothing is converted, since the
target gets exactly what was passed. Where pydantic is stricter than this rule, or cannot decide, the argument passes,
so that a job that keeps to its signature is never refused.
"""

import inspect
import sys
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import suppress
from datetime import date
from functools import cached_property
from itertools import chain, repeat
from numbers import Integral, Real
from types import FunctionType, MethodType, SimpleNamespace
from typing import Annotated, Any, Final, NamedTuple, get_type_hints
from weakref import finalize

from pydantic import BaseModel, FailFast, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from servicekit.errors import InvalidArguments, InvalidTarget
from servicekit.jobs.options import RunnerKind
from servicekit.jobs.outcome import clip
from servicekit.jobs.references import find_reference, name_in_full
from servicekit.jobs.submission import check_target, name_of

# Both stand in one sentence of an error, which a client shows; a path and a value can be as long as the user likes.
_MAX_PATH_CHARACTERS: Final = 100
_MAX_REASON_CHARACTERS: Final = 300
_BY_PLACE: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_BY_NAME: Final = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)

# By the kind of pydantic's error: values that fit by the rules of type checkers, or are numbers of NumPy. Pydantic
# refuses them in its strict mode, so these errors do not count.
_ALSO_FITS: Final[dict[str, tuple[type, ...]]] = {
    "int_type": (Integral,),
    "float_type": (Real,),
    "complex": (Real,),
    "date_type": (date,),
    "bytes_type": (bytearray, memoryview),
    "sequence_str": (str, bytes),
    "list_type": (Sequence,),  # pydantic gives this error for `Sequence[...]` too, so a sequence may be right
    "dict_type": (Mapping,),
    "frozen_set_type": (Set,),
    "recursion_loop": (object,),  # pydantic gave up: the value is nested too deeply
}
# Exceptions to these: they do not fit by the rules of type checkers either.
_BUT_NOT: Final[dict[str, tuple[type, ...]]] = {"list_type": (str, bytes, tuple), "frozen_set_type": (set,)}


def signature_of(target: Any) -> "Signature":
    """The signature of the target. It is read once for each target."""
    function = target.__func__ if type(target) is MethodType else target
    return _signatures.get(id(function)) or _learn_signature(function)


class _Mismatch(NamedTuple):
    argument: str | None
    reason: str


class _Type:
    """The type and the default of one parameter."""

    def __init__(self, annotation: object, default: object) -> None:
        self._annotation: Any = annotation
        self._default = default
        self._classes: Any = annotation if _is_class(annotation) else ()

    def find_mismatch(self, name: str, value: object) -> _Mismatch | None:
        try:
            if isinstance(value, self._classes) or value is self._default or self._adapter is None:
                return None
            return _validate(self._adapter, name, value)
        except Exception:  # it is the user's code: a validator, an `__eq__`, or a metaclass's `__instancecheck__`
            return None

    @cached_property
    def _adapter(self) -> TypeAdapter[object] | None:
        """`None` if pydantic cannot check this type."""
        fast: Any = Annotated[self._annotation, FailFast()]  # a million wrong numbers need not give a million errors
        for annotation in (fast, self._annotation):
            with suppress(Exception):
                return TypeAdapter(annotation)
        return None


class NamedArguments(NamedTuple):
    """Arguments by the names of their parameters."""

    values: Mapping[str, Any]
    """In the order of the signature. Those of `*rest` are a list, and those of `**more` are an object."""
    rest: str | None = None
    more: str | None = None


class Signature:
    """How a target can be called. For a function also its runner's kind and its name, which each job of it needs.

    `kind` and `name` are the answers of `check_target` and `name_of`; `None` if the target is no function.
    """

    kind: RunnerKind | None = None
    name: str | None = None

    def __init__(self, parameters: Sequence[inspect.Parameter], types: Mapping[str, _Type]) -> None:
        variable = {each.kind: each.name for each in parameters}
        rest, more = variable.get(inspect.Parameter.VAR_POSITIONAL, ""), variable.get(inspect.Parameter.VAR_KEYWORD, "")
        required = [each for each in parameters if each.default is each.empty and each.name not in (rest, more)]
        self._places = [each.name for each in parameters if each.kind in _BY_PLACE]
        self._names = frozenset(each.name for each in parameters if each.kind in _BY_NAME)
        self._required = [each.name for each in required]
        self._rest, self._more = rest, more
        self._order = [each.name for each in parameters]
        self._types = types
        # How many arguments a call without keywords may have. Most calls are such, and need no other check of names.
        most = len(self._places) if not rest else sys.maxsize - 1
        self._counts = range(len(required), most + 1) if all(each.kind in _BY_PLACE for each in required) else range(0)

    def check(self, target: object, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        """`InvalidArguments`, which names the argument, unless the target takes these. It must be this signature's."""
        if type(target) is MethodType:
            args = (target.__self__, *args)
        mismatch = self._find_mismatch(args, kwargs)
        if mismatch is not None:
            raise InvalidArguments(name_of(target), mismatch.argument, mismatch.reason)

    def name_all(self, target: object, args: Sequence[Any], kwargs: Mapping[str, Any]) -> NamedArguments | None:
        """The arguments by the names of this target's parameters; `None` if Python could not read these."""
        if self is _ANYTHING:
            return None
        places = self._places[1:] if type(target) is MethodType else self._places
        found = dict(zip(places, args, strict=False)) | {name: kwargs[name] for name in kwargs if name in self._names}
        rest, more = list(args[len(places) :]), {name: kwargs[name] for name in kwargs if name not in self._names}
        # The signature may have changed since the job was accepted, and have no place for these any more.
        rest_name, more_name = self._rest or "*", self._more or "**"
        found |= ({rest_name: rest} if rest else {}) | ({more_name: more} if more else {})
        ordered = {name: found[name] for name in (*self._order, "*", "**") if name in found}
        return NamedArguments(ordered, rest_name, more_name)

    def _find_mismatch(self, args: tuple[object, ...], kwargs: dict[str, object]) -> _Mismatch | None:
        if kwargs or len(args) not in self._counts:
            mismatch = self._find_misplaced(args, kwargs)
            if mismatch is not None:
                return mismatch
        return self._find_mistyped(args, kwargs) if self._types else None

    def _find_misplaced(self, args: tuple[object, ...], kwargs: dict[str, object]) -> _Mismatch | None:
        if not self._rest and len(args) > len(self._places):
            return _Mismatch(None, "there are too many without a name")
        given = set(self._places[: len(args)])
        for name in kwargs:
            if name in self._names:
                if name in given:
                    return _Mismatch(name, "it is given twice")
                given.add(name)
            elif not self._more:
                return _Mismatch(clip(name, _MAX_PATH_CHARACTERS), "the target takes none of this name")
        missing = next((name for name in self._required if name not in given), None)
        return None if missing is None else _Mismatch(missing, "it is missing")

    def _find_mistyped(self, args: tuple[object, ...], kwargs: dict[str, object]) -> _Mismatch | None:
        types = self._types
        for place, value in zip(chain(self._places, repeat(self._rest)), args, strict=False):
            if place in types and (mismatch := types[place].find_mismatch(place, value)) is not None:
                return mismatch
        for name, value in kwargs.items():
            place = name if name in self._names else self._more
            if place in types and (mismatch := types[place].find_mismatch(name, value)) is not None:
                return mismatch
        return None


_ANYTHING: Final = Signature(list(inspect.signature(lambda *_args, **_kwargs: None).parameters.values()), {})
_signatures: dict[int, Signature] = {}
"""By the target's `id`, since a class of the user's may have a hash and an equality of its own. An entry is removed
when its target is collected."""


def _learn_signature(target: Any) -> Signature:
    signature = _read_signature(target)
    if type(target) is FunctionType and signature is not _ANYTHING:
        with suppress(InvalidTarget):  # a generator function, which `check_target` refuses for each of its jobs
            signature.kind = check_target(target, (), {})
            signature.name = name_of(target)
    with suppress(TypeError):  # some objects allow no weak reference, so their signatures are read each time
        finalize(target, _signatures.pop, id(target), None).atexit = False
        _signatures[id(target)] = signature
    return signature


def _read_signature(target: Any) -> Signature:
    """The signature of the target itself, not of the function that it wraps, since a decorator can change arguments."""
    try:
        # A metaclass can take other arguments than the class's `__init__`, as pydantic's does.
        if isinstance(target, type) and type(target) is not type:
            return _ANYTHING
        parameters = list(inspect.signature(target, follow_wrapped=False).parameters.values())
        is_typed = type(target) is FunctionType and not hasattr(target, "__wrapped__") and find_reference(target)
        return Signature(parameters, _read_types(target, parameters) if is_typed else {})
    except Exception:  # many builtins have no signature that Python could read
        return _ANYTHING


def _read_types(function: FunctionType, parameters: Sequence[inspect.Parameter]) -> dict[str, _Type]:
    types = {}
    for each in parameters:
        if each.annotation is not each.empty:
            # One by one, since a name that is imported only for type checkers would else hide all other types.
            with suppress(Exception):
                holder = SimpleNamespace(__annotations__={each.name: each.annotation})
                annotation = get_type_hints(holder, function.__globals__, include_extras=True)[each.name]
                if not inspect.isroutine(annotation):  # pydantic would call such an annotation as a validator
                    types[each.name] = _Type(annotation, each.default)
    return types


def _is_class(annotation: Any) -> bool:
    """Whether `isinstance` can check this type: a class, or a union of classes."""
    try:
        isinstance(object(), annotation)
    except Exception:
        return False
    return True


def _validate(adapter: TypeAdapter[object], name: str, value: object) -> _Mismatch | None:
    try:
        result = adapter.validate_python(value, strict=True)
    except ValidationError as error:
        return _describe(name, value, error.errors(include_url=False))
    return None if result == value else next(_find_made_models(name, value, result), None)


def _describe(name: str, value: object, errors: Sequence[ErrorDetails]) -> _Mismatch | None:
    """Pydantic's messages for the place that is deepest in the value; `None` if pydantic may be stricter than the rule.

    Of a union, pydantic tells the errors of every member. The member that got deepest is most likely the one meant.
    """
    if any(map(_is_too_strict, errors)):
        return None
    paths = [".".join([name, *_follow(value, error)]) for error in errors]
    path = max(paths, key=lambda each: each.count("."))
    told = [error for error, each in zip(errors, paths, strict=True) if each == path]
    reason = clip("; ".join(dict.fromkeys(error["msg"] for error in told)), _MAX_REASON_CHARACTERS)
    if all(error["type"].endswith("_type") or error["type"] == "is_instance_of" for error in told):
        reason += f", not {_name_type(told[0]['input'])}"
    return _Mismatch(clip(path, _MAX_PATH_CHARACTERS), reason)


def _name_type(value: object) -> str:
    return clip(name_in_full(type(value)).removeprefix("builtins."), _MAX_PATH_CHARACTERS)


def _is_too_strict(error: ErrorDetails) -> bool:
    kind = error.get("ctx", {}).get("class", error["type"])
    return isinstance(error["input"], _ALSO_FITS.get(kind, ())) and not isinstance(
        error["input"], _BUT_NOT.get(kind, ())
    )


def _follow(value: Any, error: ErrorDetails) -> Iterator[str]:
    """The parts of the error's location that lead into the value. The other parts name members of a union."""
    for part in error["loc"]:
        try:
            value = value[part]
        except Exception:
            if error["type"] != "missing" or part != error["loc"][-1]:
                continue
        yield str(part)


def _find_made_models(path: str, value: object, result: object) -> Iterator[_Mismatch]:
    """The places where pydantic has made a model from a dictionary, as it does even in its strict mode."""
    if result is value:
        return
    if isinstance(result, BaseModel) and not isinstance(value, BaseModel):
        reason = f"Input should be an instance of {type(result).__name__}, not {_name_type(value)}"
        yield _Mismatch(clip(path, _MAX_PATH_CHARACTERS), reason)
    elif isinstance(result, dict) and isinstance(value, Mapping):
        for key in result.keys() & value.keys():
            yield from _find_made_models(f"{path}.{key}", value[key], result[key])
    elif isinstance(result, list | tuple) and isinstance(value, Sequence):
        for index, (before, after) in enumerate(zip(value, result, strict=False)):
            yield from _find_made_models(f"{path}.{index}", before, after)
