"""What a task takes: the schema of a signature, and the check of a body."""

import json
from collections.abc import Callable
from datetime import date
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from servicekit.errors import ConfigurationError, InvalidParameters, InvalidTarget
from servicekit.tasks import Tasks
from servicekit.tasks.parameters import Parameters
from tests.tasks.targets import Address, Color, add, describe, login


def body(**parameters: object) -> bytes:
    return json.dumps({"parameters": parameters}).encode()


def problems_of(parameters: Parameters, sent: bytes) -> dict[tuple[object, ...], str]:
    with pytest.raises(InvalidParameters) as caught:
        parameters.read(sent)
    return {problem["loc"]: problem["msg"] for problem in caught.value.problems}


def test_the_schema_has_types_defaults_constraints_and_descriptions() -> None:
    schema = Parameters.of_function("describe", describe).schema
    assert schema["required"] == ["color", "size", "count", "day", "address"]
    assert schema["additionalProperties"] is False
    parts = schema["properties"]
    assert parts["size"]["enum"] == ["s", "m"]
    assert parts["count"] | {"minimum": 1, "maximum": 9, "description": "How many."} == parts["count"]
    assert (parts["day"]["format"], parts["ratio"]["default"], parts["labels"]["default"]) == ("date", 0.5, None)
    assert schema["$defs"]["Color"]["enum"] == ["red", "blue"]


def test_the_target_gets_the_validated_values() -> None:
    read = Parameters.of_function("describe", describe).read
    sent = {"color": "blue", "size": "m", "count": 3, "day": "2026-11-28", "address": {"street": "Main"}}
    assert read(body(**sent)) == {
        "color": Color.BLUE,
        "size": "m",
        "count": 3,
        "day": date(2026, 11, 28),
        "address": Address(street="Main"),
        "labels": None,
        "ratio": 0.5,
        "untyped": None,
    }


@pytest.mark.parametrize(
    ("sent", "places"),
    [
        (b"", {("parameters", "a")}),
        (b"{}", {("parameters", "a")}),
        (body(), {("parameters", "a")}),
        (body(a="many", b=1.5), {("parameters", "a"), ("parameters", "b")}),
        (body(a=1, c=2), {("parameters", "c")}),
        (b'{"a": 1}', {("parameters", "a"), ("a",)}),
        (b'{"parameters": {"a": 1}, "more": 2}', {("more",)}),
        (b'{"parameters": [1]}', {("parameters",)}),
        (b'{"parameters": null}', {("parameters",)}),
        (b"[]", {("body",)}),
        (b"{", {("body",)}),
        (b"\xff", {("body",)}),
        (b'{"parameters": {"a": NaN}}', {("parameters", "a")}),
        (b'{"parameters": {"a": ' + b"[" * 5_000 + b"]" * 5_000 + b"}}", {("body",)}),
    ],
)
def test_what_is_wrong_in_a_body_is_told_with_its_place(sent: bytes, places: set[tuple[object, ...]]) -> None:
    assert problems_of(Parameters.of_function("add", add), sent).keys() == places


def test_a_list_of_wrong_values_is_not_answered_value_by_value() -> None:
    def total(values: list[str]) -> None: ...

    parameters = Parameters.of_function("total", total)
    assert problems_of(parameters, body(values=[1] * 50_000)) == {("parameters",): "50,000 values do not fit"}


def test_a_name_of_the_signature_may_be_anything_that_python_allows() -> None:
    def odd(json: int, copy: int, _hidden: int, schema: int = 1, model_config: int = 2, default: int = 3) -> None: ...

    parameters = Parameters.of_function("odd", odd)
    assert parameters.read(body(json=1, copy=2, _hidden=3)) == {
        "json": 1, "copy": 2, "_hidden": 3, "schema": 1, "model_config": 2, "default": 3,
    }  # fmt: skip


def test_defaults_are_not_shared_between_requests() -> None:
    def collect(items: list[int] = []) -> None: ...  # noqa: B006

    parameters = Parameters.of_function("collect", collect)
    parameters.read(b"{}")["items"].append(1)  # type: ignore[attr-defined]
    assert parameters.read(b"{}") == {"items": []}


def every_number(*numbers: int) -> None: ...
def every_name(**names: int) -> None: ...
def by_place(number: int, /) -> None: ...
def of_no_schema(call: Callable[[], None]) -> None: ...
def of_no_type(thing: "Nowhere") -> None: ...  # type: ignore[name-defined] # noqa: F821
def numbers_of() -> Any:
    yield 1


@pytest.mark.parametrize("function", [every_number, every_name, by_place, of_no_schema, of_no_type])
def test_a_signature_that_clients_cannot_use_is_refused_at_once(function: Callable[..., object], tasks: Tasks) -> None:
    with pytest.raises(ConfigurationError, match=f"task '{function.__name__}'"):
        tasks.task(function)


def test_a_generator_is_no_task(tasks: Tasks) -> None:
    with pytest.raises(InvalidTarget):
        tasks.task(numbers_of)


@pytest.mark.parametrize("options", [{"runner": "coroutine"}, {"max_memory_bytes": 1_000}, {"resources": {}}])
def test_options_with_which_a_function_cannot_run_are_refused_at_once(options: Any, tasks: Tasks) -> None:
    def plain() -> None: ...

    with pytest.raises(InvalidTarget):
        tasks.task(**options)(plain)
    assert not tasks.by_name


@pytest.mark.parametrize("name", ["", "a b", "a/b", ".", "-a", "$stats", "ä", "a" * 101])
def test_a_name_that_cannot_be_part_of_a_path_is_refused(name: str, tasks: Tasks) -> None:
    with pytest.raises(ConfigurationError):
        tasks.task(name or "")(add) if name else tasks.add_command("", ["true"])


def test_a_name_that_is_taken_is_refused(tasks: Tasks) -> None:
    def twice() -> None: ...

    tasks.task(twice)
    with pytest.raises(ConfigurationError, match="There is a task 'twice' already"):
        tasks.add_command("twice", ["true"])


# --- Secrets


def test_a_secret_has_no_default_in_the_schema() -> None:
    class Settings(BaseModel):
        token: Annotated[str, Field(json_schema_extra={"writeOnly": True})] = "sesame"

    def connect(
        settings: Settings = Settings(),  # noqa: B008
        password: SecretStr = SecretStr("sesame"),  # noqa: B008
        default: Annotated[str, Field(json_schema_extra={"writeOnly": True})] = "sesame",
    ) -> None: ...

    assert "sesame" not in json.dumps(Parameters.of_function("connect", connect).schema)
    assert "sesame" not in json.dumps(Parameters.of_function("connect", connect).describe_for("#/{model}"))


def test_a_secret_is_not_in_what_is_wrong() -> None:
    def check(pin: str) -> str:
        raise ValueError(f"{pin} is wrong")

    def unlock(
        pin: Annotated[str, AfterValidator(check), Field(json_schema_extra={"writeOnly": True})], password: SecretStr
    ) -> None: ...

    told = problems_of(Parameters.of_function("unlock", unlock), body(pin="sesame", password=["open", "sesame"]))
    assert told.keys() == {("parameters", "pin"), ("parameters", "password")}
    assert "sesame" not in str(told)
    assert "is wrong" in told["parameters", "pin"]


def test_what_is_shown_of_parameters_has_no_secrets() -> None:
    parameters = Parameters.of_function("login", login)
    values = parameters.read(body(user="ada", password="sesame-open"))
    assert parameters.show(values) == {"user": "ada", "password": "**********", "pin": "**********"}
    assert set(parameters.secrets_in(values)) == {"sesame-open", "1234-5678"}


def test_a_secret_field_with_an_alias_is_secret_too() -> None:
    class Login(BaseModel):
        token: Annotated[str, Field(alias="the-token", json_schema_extra={"writeOnly": True})]

    parameters = Parameters.of_model("login", Login)
    values = parameters.read(body(**{"the-token": "sesame"}))
    assert parameters.show(values) == {"token": "**********"}
    assert parameters.secrets_in(values) == ["sesame"]


# --- Models of commands


def test_a_model_refuses_what_it_does_not_know_unless_it_says_otherwise() -> None:
    class Strict(BaseModel):
        name: str

    class Open(Strict):
        model_config = ConfigDict(extra="ignore")

    sent = body(name="a", nmae="b")
    assert problems_of(Parameters.of_model("any", Strict), sent).keys() == {("parameters", "nmae")}
    assert Parameters.of_model("any", Open).read(sent) == {"name": "a"}


def test_values_that_are_kept_count_where_a_body_has_none() -> None:
    parameters = Parameters.of_function("add", add)
    assert parameters.read(body(b=5), {"a": 1, "b": 2}) == {"a": 1, "b": 5}
    assert parameters.read(b"", {"a": 1}) == {"a": 1, "b": 1}
    parameters.check_kept({"b": 2})
    with pytest.raises(InvalidParameters, match=r"parameters\.b"):
        parameters.check_kept({"b": "two"})
    with pytest.raises(InvalidParameters, match="Invalid JSON"):
        parameters.read(b"[", {"a": 1})


def test_a_mistyped_option_is_told_its_right_name() -> None:
    tasks, mistyped = Tasks(), {"run_timout": 1}
    with pytest.raises(ConfigurationError, match="Did you mean 'run_timeout'"):
        tasks.task(**mistyped)  # type: ignore[call-overload] # the mistake
    mistyped = {"paramters": 1}
    with pytest.raises(ConfigurationError, match="Did you mean 'parameters'"):
        tasks.add_command("greet", ["echo"], **mistyped)  # type: ignore[arg-type] # the mistake
    with pytest.raises(ConfigurationError, match="Did you mean 'artifact'"):
        tasks.task(artifacts=True)  # type: ignore[call-overload] # the mistake
