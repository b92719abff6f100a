"""What counts as a short text: a name, a tag, a key."""

from typing import Final
from unicodedata import category

MAX_TEXT_CHARACTERS: Final = 200
_UNFIT: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Unicode's categories of control characters, surrogates, and separators of lines and paragraphs."""


def is_short_text(value: object) -> bool:
    """Whether it is a text of one line, perhaps an empty one, that every store can hold."""
    return isinstance(value, str) and len(value) <= MAX_TEXT_CHARACTERS and _is_line(value)


def _is_line(text: str) -> bool:
    # Spaces of other scripts and marks that join letters are no printable characters to Python, but belong to names.
    return text.isprintable() or not any(category(character) in _UNFIT for character in text)
