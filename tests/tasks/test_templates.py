"""Command templates: whatever a parameter contains, it stays where the template has it."""

from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr

from servicekit.errors import ConfigurationError, InvalidParameters
from servicekit.tasks import Tasks
from servicekit.tasks.templates import Template


class Level(Enum):
    HIGH = "high"


def fill(argv: list[str], *, allow_options: bool = False, **values: object) -> list[str]:
    return Template.parse(argv).fill("any", values, allow_options=allow_options)


@pytest.mark.parametrize(
    "text",
    [
        "plain",
        "",
        "two words",
        "it's",
        '"',
        "a\nb",
        "$(reboot)",
        "; rm -rf /",
        "{other}",
        "{{x}}",
        "a -b",
        "*",
        "äß€",
        "\\",
    ],
)
def test_a_text_is_one_argument_whatever_it_contains(text: str) -> None:
    assert fill(["program", "{name}", "--to={name}", "end"], name=text) == ["program", text, f"--to={text}", "end"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(7, "7"), (0.5, "0.5"), (True, "true"), (False, "false"), (Level.HIGH, "high"), (SecretStr("s"), "s"),
     (Path("/a b"), "/a b")],
)  # fmt: skip
def test_values_of_other_types_become_texts(value: object, text: str) -> None:
    assert fill(["program", "{name}"], name=value) == ["program", text]


def test_an_argument_with_none_is_left_out() -> None:
    assert fill(["program", "--level={level}", "{file}", "end"], level=None, file=None) == ["program", "end"]


def test_a_list_becomes_arguments_only_where_the_template_says_so() -> None:
    assert fill(["program", "{files...}", "end"], files=["a b", "c"]) == ["program", "a b", "c", "end"]
    assert fill(["program", "{files...}"], files=[]) == ["program"]
    assert fill(["program", "{files...}"], files=None) == ["program"]
    for argv, files in ((["program", "{files}"], ["a"]), (["program", "{files...}"], "abc")):
        with pytest.raises(InvalidParameters, match=r"parameters\.files"):
            fill(argv, files=files)


@pytest.mark.parametrize("text", ["-rf", "--help", "-", "-5"])
def test_a_parameter_does_not_begin_an_argument_with_a_dash_unless_the_template_allows_it(text: str) -> None:
    for argv, values in (
        (["program", "{name}"], {"name": text}),
        (["program", "{name}.txt"], {"name": text}),
        (["program", "{empty}{name}"], {"name": text, "empty": ""}),
        (["program", "{names...}"], {"names": ["a", text]}),
    ):
        with pytest.raises(InvalidParameters, match="begin an argument with a dash"):
            fill(argv, **values)
        assert text in "".join(fill(argv, allow_options=True, **values))
    assert fill(["program", "--name={name}", "-{name}"], name=text) == ["program", f"--name={text}", f"-{text}"]


@pytest.mark.parametrize("value", ["a\0b", "\ud800", "x" * 131_072, {"a": 1}, [1], ["a\0"]])
def test_what_no_argument_can_be_is_refused_with_its_place(value: object) -> None:
    argv = ["program", "{name...}"] if value == ["a\0"] else ["program", "{name}"]
    with pytest.raises(InvalidParameters) as caught:
        fill(argv, name=value)
    assert caught.value.problems[0]["loc"] == ("parameters", "name")


def test_braces_are_written_twice() -> None:
    assert fill(["awk", "{{print ${number}}}"], number=1) == ["awk", "{print $1}"]


@pytest.mark.parametrize(
    "argv",
    [[], "program", [""], ["{program}"], ["bin/{program}"], ["a", "{"], ["a", "}"], ["a", "{print $1}"], ["a", "{}"],
     ["a", "{x...}y"], ["a", "\0"], ["a", 1], ["a", "{class}"], ["a", "{__init__}"]],
)  # fmt: skip
def test_a_template_that_makes_no_sense_is_refused_at_once(argv: Any, tasks: Tasks) -> None:
    with pytest.raises(ConfigurationError):
        tasks.add_command("any", argv)


class Backup(BaseModel):
    database: str


@pytest.mark.parametrize(
    "options",
    [
        {"parameters": dict},
        {"parameters": Backup, "argv": ["pg_dump", "{database}", "{host}"]},
        {"parameters": Backup, "argv": ["pg_dump"]},
        {"env": {"A=B": "x"}},
        {"env": {"A": "{names...}"}},
        {"env": {"A": "{"}},
        {"ok_codes": ["0"]},
        {"ok_codes": 0},
        {"runner": "thread"},
        {"tags": "abc"},
        {"run_timeout": -1},
        {"idempotency_key": "a"},
        {"rnu_timeout": 1},
    ],
)
def test_options_that_make_no_sense_are_refused_at_once(options: dict[str, Any], tasks: Tasks) -> None:
    argv = options.pop("argv", ["pg_dump", "{database}"])
    with pytest.raises(ConfigurationError):
        tasks.add_command("backup", argv, **options)
    assert not tasks.by_name


def test_a_template_of_a_client_has_places_only_for_the_parameters_that_it_names() -> None:
    template = Template.parse_literally(
        ["awk", "{print $1}", "{file}", "{other}", "{{file}}", "{more...}"], frozenset({"file", "more"})
    )
    filled = template.fill("any", {"file": "a b", "more": ["x", "y"]}, allow_options=False)
    assert filled == ["awk", "{print $1}", "a b", "{other}", "{a b}", "x", "y"]
