"""Secrets among parameters: where a JSON Schema says `writeOnly`, the value is not shown again."""

from collections.abc import Callable, Iterable
from typing import Any, Final

from pydantic import Secret, SecretBytes, SecretStr

MASK: Final = "**********"  # what pydantic shows for a `SecretStr`
# A secret of fewer characters would mask half of what a program writes.
_SHORTEST: Final = 4

Schema = dict[str, Any]

_SECRETS: Final = (Secret, SecretStr, SecretBytes)


def is_secret(value: object) -> bool:
    """Whether the type of the value says that it is a secret."""
    return isinstance(value, _SECRETS)


def reveal_secret(value: Any) -> object:
    """What is behind a value that is a secret by its type."""
    return value.get_secret_value()


def mask_values(values: object, schema: Schema) -> Any:
    """A copy of the values, as JSON, with a mask in the place of each secret."""
    return _Walk(schema, lambda _: None).visit(values, schema)


def list_secrets(values: object, schema: Schema) -> list[str]:
    """The texts of the secrets among the values."""
    found: list[str] = []
    _Walk(schema, lambda value: found.extend(_texts_of(value))).visit(values, schema)
    return long_enough(found)


def list_secret_names(schema: Schema) -> list[str]:
    """The names of all properties, at any depth, whose values are secret."""
    names: list[str] = []
    waiting: list[Any] = [schema]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            waiting += part.values()
            properties = part.get("properties")
            if isinstance(properties, dict):
                names += [name for name, each in properties.items() if _is_secret_place(each)]
        elif isinstance(part, list):
            waiting += part
    return names


def _is_secret_place(schema: Any) -> bool:
    """Whether the schema says so itself, or for one of several types, such as `SecretStr | None`."""
    if not isinstance(schema, dict):
        return False
    return schema.get("writeOnly") is True or any(map(_is_secret_place, schema.get("anyOf", ())))


def mask_text(text: str, secrets: Iterable[str]) -> str:
    """The text with a mask in the place of each secret."""
    for secret in secrets:
        text = text.replace(secret, MASK)
    return text


def long_enough(secrets: Iterable[str]) -> list[str]:
    """Those that can be masked in texts, the longest first, since one can be a part of another."""
    return sorted({secret for secret in secrets if len(secret) >= _SHORTEST and secret != MASK}, key=len, reverse=True)


def hide_defaults(schema: Schema) -> Schema:
    """A copy of the schema without the defaults and examples that are secret."""
    hidden: Schema = _hide(schema, schema)
    return hidden


def _hide(part: Any, root: Schema) -> Any:
    if isinstance(part, list):
        return [_hide(each, root) for each in part]
    if not isinstance(part, dict):
        return part
    if part.get("writeOnly") is True:
        return {key: value for key, value in part.items() if key not in ("default", "examples", "const", "enum")}
    shown = {}
    for key, value in part.items():
        if key in ("properties", "$defs"):  # their keys are names of the user's, such as `default`
            shown[key] = {name: _hide(each, root) for name, each in value.items()}
        elif key == "default":
            shown[key] = _Walk(root, lambda _: None).visit(value, part)
        else:
            shown[key] = _hide(value, root)
    return shown


def _texts_of(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for part in value.values() for text in _texts_of(part)]
    if isinstance(value, list):
        return [text for part in value for text in _texts_of(part)]
    return [str(value)]


class _Walk:
    """Goes through values and their schema together, and copies the values without the secrets."""

    def __init__(self, root: Schema, take: Callable[[object], None]) -> None:
        self._definitions: Schema = root.get("$defs", {})
        self._take = take

    def visit(self, value: Any, schema: Any) -> Any:
        if not isinstance(schema, dict) or value is None:
            return value
        if schema.get("writeOnly") is True:
            self._take(value)
            return MASK
        if "$ref" in schema:
            value = self.visit(value, self._definitions.get(schema["$ref"].rpartition("/")[2]))
        for alternative in (*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())):
            value = self.visit(value, alternative)
        if isinstance(value, dict):
            properties, rest = schema.get("properties", {}), schema.get("additionalProperties")
            return {name: self.visit(part, properties.get(name, rest)) for name, part in value.items()}
        if isinstance(value, list):
            first, rest = schema.get("prefixItems", ()), schema.get("items")
            return [self.visit(part, first[at] if at < len(first) else rest) for at, part in enumerate(value)]
        return value
