"""Command templates: a parameter stands within one argument of the program, whatever it contains."""

import re
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import Final, NamedTuple

from pydantic_core import to_jsonable_python

from servicekit.errors import ConfigurationError, InvalidParameters
from servicekit.tasks.secret_places import is_secret, reveal_secret

# Linux takes no longer ones: MAX_ARG_STRLEN is 128 KiB, with the NUL at the end.
_MAX_ARGUMENT_BYTES: Final = 128 * 1024 - 1
_TOKEN: Final = re.compile(r"\{\{|\}\}|\{([A-Za-z_]\w*)(\.\.\.)?\}|[{}]")
_NAMED: Final = re.compile(r"\{([A-Za-z_]\w*)(\.\.\.)?\}")


class Placeholder(NamedTuple):
    """The place of a parameter in an argument."""

    name: str
    is_list: bool = False
    """Whether each item of a list becomes an argument: `{files...}`."""


Parts = tuple[str | Placeholder, ...]


class Template:
    """The arguments of a program, with places for parameters.

    `{name}` is the place of a parameter, `{{` and `}}` are braces. `{name...}` is a whole argument, and becomes as many
    as the list has items. An argument is left out if a parameter in it is `None`.
    """

    def __init__(self, arguments: Sequence[Parts]) -> None:
        """`ConfigurationError` if the program, which is the first argument, is not fixed."""
        if (
            not arguments
            or any(isinstance(part, Placeholder) for part in arguments[0])
            or not "".join(map(str, arguments[0]))
        ):
            raise ConfigurationError(
                "argv", _spell(arguments), "a list that begins with a program, which no parameter decides"
            )
        self._arguments = tuple(arguments)

    @classmethod
    def parse(cls, texts: Sequence[str]) -> "Template":
        """`ConfigurationError` for a brace that is no place of a parameter, and for what are no texts."""
        if isinstance(texts, str) or not isinstance(texts, Sequence):
            raise ConfigurationError("argv", texts, "a list of texts, such as ['pg_dump', '{database}']")
        return cls([parse_text("argv", text) for text in texts])

    @classmethod
    def parse_literally(cls, texts: Sequence[str], names: frozenset[str]) -> "Template":
        """A template of texts in which only these names are places, and every other brace is a brace."""
        return cls([tuple(_split_literally(text, names)) for text in texts])

    @property
    def placeholders(self) -> list[Placeholder]:
        """The places, in their order."""
        return [part for argument in self._arguments for part in argument if isinstance(part, Placeholder)]

    def fill(self, task: str, values: Mapping[str, object], *, allow_options: bool) -> list[str]:
        """The arguments with these values. `InvalidParameters`, with the place, for a value that cannot stand there."""
        filled: list[str] = []
        for argument in self._arguments:
            for text in _fill(task, argument, values):
                first = argument[0] if argument else ""
                if isinstance(first, Placeholder) and text.startswith("-") and not allow_options:
                    reason = "It would begin an argument with a dash, which the program could take for an option"
                    raise _refuse(task, first.name, reason)
                filled.append(text)
        return filled


def parse_text(option: str, text: object) -> Parts:
    """The parts of one text of a template."""
    if not isinstance(text, str) or "\0" in text:
        raise ConfigurationError(option, text, "texts without NUL")
    parts = tuple(_split(option, text))
    if len(parts) > 1 and any(isinstance(part, Placeholder) and part.is_list for part in parts):
        raise ConfigurationError(option, text, "a text in which {name...} stands alone")
    return parts


def fill_text(task: str, parts: Parts, values: Mapping[str, object]) -> str | None:
    """The text with these values; `None` if one of them is. `InvalidParameters` for one that cannot stand there."""
    texts: list[str] = []
    for part in parts:
        if isinstance(part, str):
            texts.append(part)
            continue
        value = values[part.name]
        if value is None:
            return None
        texts.append(_text_of(task, part.name, value))
    return "".join(texts)


def _fill(task: str, argument: Parts, values: Mapping[str, object]) -> Iterator[str]:
    first = argument[0] if argument else ""
    if isinstance(first, Placeholder) and first.is_list:
        items = values[first.name]
        if not isinstance(items, list | tuple | set | frozenset | None):
            raise _refuse(task, first.name, "It must be a list here")
        for item in items or ():
            yield _text_of(task, first.name, item)
    else:
        text = fill_text(task, argument, values)
        if text is not None:
            yield text


def _text_of(task: str, name: str, value: object) -> str:
    while isinstance(value, Enum) or is_secret(value):
        value = value.value if isinstance(value, Enum) else reveal_secret(value)
    plain = value if isinstance(value, str) else to_jsonable_python(value, fallback=repr)
    if isinstance(plain, bool):
        return "true" if plain else "false"
    if not isinstance(plain, str | int | float):
        raise _refuse(task, name, "Only a text, a number or a boolean can stand in an argument")
    text = str(plain)
    if "\0" in text:
        raise _refuse(task, name, "An argument cannot contain NUL")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise _refuse(task, name, "It contains a surrogate, which is no character") from None
    if size > _MAX_ARGUMENT_BYTES:
        raise _refuse(task, name, f"It has {size:,} bytes, and an argument has at most {_MAX_ARGUMENT_BYTES:,}")
    return text


def _split(option: str, text: str) -> Iterator[str | Placeholder]:
    end, literal = 0, ""
    for token in _TOKEN.finditer(text):
        literal += text[end : token.start()]
        end = token.end()
        if token[1] is not None:
            if literal:
                yield literal
            literal = ""
            yield Placeholder(token[1], token[2] is not None)
        elif len(token[0]) == 2:
            literal += token[0][0]
        else:
            raise ConfigurationError(option, text, "a text whose braces are {name}, {name...}, or {{ and }} for braces")
    literal += text[end:]
    if literal:
        yield literal


def _split_literally(text: str, names: frozenset[str]) -> Iterator[str | Placeholder]:
    end = 0
    for token in _NAMED.finditer(text):
        is_whole = token[0] == text
        if token[1] in names and (token[2] is None or is_whole):
            if token.start() > end:
                yield text[end : token.start()]
            end = token.end()
            yield Placeholder(token[1], token[2] is not None)
    if end < len(text):
        yield text[end:]


def _spell(arguments: Sequence[Parts]) -> list[str]:
    return [
        "".join(f"{{{part.name}}}" if isinstance(part, Placeholder) else part for part in each) for each in arguments
    ]


def _refuse(task: str, name: str, reason: str) -> InvalidParameters:
    return InvalidParameters(task, [{"type": "value_error", "loc": ("parameters", name), "msg": reason}])
