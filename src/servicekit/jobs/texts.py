"""The rule for short texts: names, tags and keys."""

from typing import Final
from unicodedata import category

MAX_TEXT_CHARACTERS: Final = 200  # short enough for an index of the file, a header and a column of a table
_UNFIT: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Unicode's categories of control characters, surrogates, and separators of lines and paragraphs."""


def is_short_text(value: object) -> bool:
    """Whether the value is a text of one line, perhaps an empty one, that every store can hold."""
    return isinstance(value, str) and len(value) <= MAX_TEXT_CHARACTERS and _is_line(value)


def _is_line(text: str) -> bool:
    # `isprintable` alone would be too strict: to Python, the spaces of some scripts and the marks that join letters are
    # not printable, but names have them. It is asked first because it is fast.
    return text.isprintable() or not any(category(character) in _UNFIT for character in text)
