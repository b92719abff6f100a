"""Hierarchies: which kind of artifact may stand below which."""

from collections.abc import Sequence
from typing import Final

from servicekit.artifacts.checks import is_kind
from servicekit.errors import ConfigurationError

_EXPECTED: Final = "a list of at least one kind, each once: letters, digits, dots, dashes and underscores"


class Hierarchy:
    """Kinds by level: `Hierarchy("ml", ["data", "model", "prediction"])`.

    An artifact of the first kind has no parent. One of each other kind stands directly below one of the kind before
    it; else it is not saved (`ArtifactConflict`). Kinds that no hierarchy names may stand anywhere.
    """

    __slots__ = ("kinds", "name")

    def __init__(self, name: str, kinds: Sequence[str]) -> None:
        """`ConfigurationError` for a name or kinds that make no sense."""
        if not is_kind(name):
            raise ConfigurationError("name", name, "letters, digits, dots, dashes and underscores")
        is_list = isinstance(kinds, Sequence) and not isinstance(kinds, str)
        if not is_list or not kinds or not all(map(is_kind, kinds)) or len(set(kinds)) < len(kinds):
            raise ConfigurationError("kinds", kinds, _EXPECTED)
        self.name = name
        self.kinds = tuple(kinds)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Hierarchy) and (self.name, self.kinds) == (other.name, other.kinds)

    def __hash__(self) -> int:
        return hash((self.name, self.kinds))

    def __repr__(self) -> str:
        return f"Hierarchy({self.name!r}, {list(self.kinds)!r})"


def check_hierarchies(hierarchies: Sequence[Hierarchy]) -> None:
    """`ConfigurationError` if they are none, have the same name, or share a kind."""
    if not all(isinstance(each, Hierarchy) for each in hierarchies):
        raise ConfigurationError("hierarchy", hierarchies, "a Hierarchy, or a list of them")
    names = [each.name for each in hierarchies]
    if len(set(names)) < len(names):
        raise ConfigurationError("hierarchy", names, "hierarchies with different names")
    kinds = [kind for each in hierarchies for kind in each.kinds]
    if len(set(kinds)) < len(kinds):
        raise ConfigurationError("hierarchy", kinds, "hierarchies that share no kind: it would stand at two places")
