"""The parameters of a task: their JSON Schema, and the check of what a client sends."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import make_dataclass
from keyword import iskeyword
from typing import Annotated, Any, Final, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model
from pydantic.fields import FieldInfo
from pydantic_core import from_json, to_json, to_jsonable_python

from servicekit.errors import ConfigurationError, InvalidParameters
from servicekit.tasks.secret_places import (
    Schema,
    hide_defaults,
    is_secret,
    list_secret_names,
    list_secrets,
    long_enough,
    mask_text,
    mask_values,
    reveal_secret,
)

# A list of a million wrong values has a million errors, which nobody reads, and which take seconds to write down.
_MOST_PROBLEMS: Final = 100
_BY_NAME: Final = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_STRICT: Final = ConfigDict(extra="forbid", allow_inf_nan=False)


class Parameters:
    """What a task takes. It is made once for each task, so that a request costs only the check itself."""

    def __init__(self, task: str, kind: type) -> None:
        """`kind`: a model or a dataclass with a field for each parameter. `ConfigurationError` if it has no schema."""
        self._task = task
        try:
            whole = Field(default_factory=dict, validate_default=True)
            self._body = create_model("Execution", __config__=ConfigDict(extra="forbid"), parameters=(kind, whole))
            self._adapter: TypeAdapter[Any] = TypeAdapter(kind)
            self.schema: Schema = {**hide_defaults(self._adapter.json_schema()), "title": task}
            self._by_field = self._adapter.json_schema(by_alias=False)
        except Exception as error:  # pydantic calls the code of the user's types
            sentence = f"The parameters of the task {task!r} have no JSON Schema: {error}"
            raise ConfigurationError("parameters", kind, sentence=sentence) from error

    @classmethod
    def of_function(cls, task: str, function: Callable[..., object]) -> "Parameters":
        """The parameters in the function's signature. `ConfigurationError` if they cannot be given by name."""
        return cls(task, _kind_of(task, function))

    @classmethod
    def of_model(cls, task: str, model: type[BaseModel]) -> "Parameters":
        """The fields of a model. A name that is no field is refused, unless the model says what becomes of it."""
        if "extra" not in model.model_config:
            model = create_model(model.__name__, __base__=(_Strict, model), __module__=model.__module__)
        return cls(task, model)

    @property
    def names(self) -> frozenset[str]:
        """The names under which clients give them."""
        return frozenset(self.schema.get("properties", ()))

    def read(self, body: bytes, kept: Mapping[str, object] | None = None) -> dict[str, object]:
        """The values of a request's body `{"parameters": {...}}`, checked and converted, with the defaults.

        `kept` are values that count where the body has none. `InvalidParameters`, with the places, if the body is
        wrong.
        """
        body = body or b"{}"
        if kept:
            body = _merge(body, kept)
        try:
            return _values_of(self._body.model_validate_json(body))
        except ValidationError as error:
            raise self._explain(error, body) from None

    def check(self, values: Mapping[str, object]) -> dict[str, object]:
        """Like `read`, for values of Python: those of a schedule in the service's code."""
        try:
            return _values_of(self._body.model_validate({"parameters": dict(values)}))
        except ValidationError as error:
            raise self._explain(error, b"{}") from None

    def check_kept(self, values: Mapping[str, object]) -> None:
        """`InvalidParameters` for values that are wrong. Others may be missing, since each request can add them."""
        try:
            self.read(b"{}", values)
        except InvalidParameters as error:
            problems = [problem for problem in error.problems if problem["type"] != "missing"]
            if problems:
                raise InvalidParameters(self._task, problems) from None

    def show(self, values: Mapping[str, object]) -> dict[str, object]:
        """Checked values as JSON, without secrets."""
        shown: dict[str, object] = mask_values(
            to_jsonable_python(values, by_alias=False, fallback=repr), self._by_field
        )
        return shown

    def show_kept(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Values as clients have sent them, without secrets."""
        shown: dict[str, Any] = mask_values(values, self.schema)
        return shown

    def secrets_in(self, values: Mapping[str, object]) -> list[str]:
        """The texts of the secrets in checked values, where a command can have them."""
        plain = to_jsonable_python(values, by_alias=False, fallback=repr)
        by_type = [text for value in values.values() for text in _reveal(value)]
        return long_enough([*by_type, *list_secrets(plain, self._by_field)])

    @property
    def secret_names(self) -> list[str]:
        """The names of all values that are secret."""
        return list_secret_names(self._by_field)

    def describe_for(self, reference: str) -> Schema:
        """The schema for a document in which the definitions are at `reference`, which contains `{model}`."""
        return {**hide_defaults(self._adapter.json_schema(ref_template=reference)), "title": self._task}

    def _explain(self, error: ValidationError, body: bytes) -> InvalidParameters:
        count = error.error_count()
        if count > _MOST_PROBLEMS:
            text = f"{count:,} values do not fit"
            return InvalidParameters(self._task, [{"type": "value_error", "loc": ("parameters",), "msg": text}])
        secrets = list_secrets(_parameters_in(body), self.schema)
        # Without the input, which can be a secret, or large.
        told = error.errors(include_url=False, include_input=False, include_context=False)
        return InvalidParameters(
            self._task,
            [
                {"type": each["type"], "loc": each["loc"] or ("body",), "msg": mask_text(each["msg"], secrets)}
                for each in told
            ],
        )


def _values_of(checked: Any) -> dict[str, object]:
    values: dict[str, object] = checked.parameters.__dict__
    return values


class _Strict(BaseModel):
    model_config = _STRICT


def _kind_of(task: str, function: Callable[..., object]) -> type:
    try:
        hints = get_type_hints(function, include_extras=True)
    except Exception as error:  # a name that is imported only for type checkers, for example
        sentence = f"The annotations of the task {task!r} cannot be read: {error}"
        raise ConfigurationError("task", function, sentence=sentence) from error
    fields: list[Any] = []
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind not in _BY_NAME:
            sentence = f"The task {task!r} cannot be given {parameter} by name. Give its parameters names of their own."
            raise ConfigurationError("task", function, sentence=sentence)
        fields.append((name, _with_default(hints.get(name, Any), parameter.default)))
    return make_dataclass(task, fields, namespace={"__pydantic_config__": _STRICT})


def _with_default(annotation: Any, default: object) -> Any:
    # In the annotation, where a default may be any object; a dataclass refuses a list as a default of its own.
    if default is inspect.Parameter.empty:
        return annotation
    if isinstance(default, FieldInfo):
        return Annotated[annotation, default]
    return Annotated[annotation, Field(default=default)]


def _merge(body: bytes, kept: Mapping[str, object]) -> bytes:
    """The body with the values that are kept, where it has none. A wrong body is left for the check to explain."""
    given = _parameters_in(body)
    return body if given is None else to_json({"parameters": {**kept, **given}})


def _parameters_in(body: bytes) -> dict[str, object] | None:
    """The parameters of a body, whatever they are; `None` if it is no body of a request."""
    try:
        found = from_json(body)
    except ValueError:
        return None
    if not isinstance(found, dict) or not found.keys() <= {"parameters"}:
        return None
    parameters = found.get("parameters", {})
    return parameters if isinstance(parameters, dict) else None


def _reveal(value: object) -> Iterator[str]:
    """The texts of a value, or of the items of a list, that are secret by their type."""
    if is_secret(value):
        secret = reveal_secret(value)
        yield secret if isinstance(secret, str) else str(to_jsonable_python(secret, fallback=repr))
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from _reveal(item)


def parameters_of_texts(task: str, texts: Mapping[str, bool]) -> Parameters:
    """Parameters that are texts, all of them required; where it says true, lists of texts."""
    return _parameters_of(task, [(name, list[str] if is_list else str) for name, is_list in texts.items()])


def parameters_of_values(task: str, values: Mapping[str, object]) -> Parameters:
    """Parameters of the types that these values of JSON have, which are their defaults."""
    return _parameters_of(task, [(name, _with_default(_type_of(value), value)) for name, value in values.items()])


def _parameters_of(task: str, fields: list[Any]) -> Parameters:
    for name, _ in fields:
        # A keyword can be no field of a dataclass, and the others have a meaning of their own there.
        if iskeyword(name) or name.startswith("__"):
            sentence = f"The parameter {name!r} of the task {task!r} has a name that Python needs. Choose another one."
            raise ConfigurationError("parameters", name, sentence=sentence)
    return Parameters(task, make_dataclass(task, fields, namespace={"__pydantic_config__": _STRICT}))


def _type_of(value: object) -> Any:
    if value is None:
        return str | None
    if isinstance(value, list):
        return list[str]
    return type(value)
