"""Texts of programs that write for a terminal."""

import re
from typing import Final

# The forms of ECMA-48, one a line: control sequences (colours, moves); strings that a string terminator or a BEL ends
# (titles, links), which may lack their end in a text that was cut; and the short ones of ESC and a character or two.
_ESCAPES: Final = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]?"
)
_CONTROLS: Final = re.compile(r"[\x01-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f]")


def strip_escapes(text: str) -> str:
    """The text without colours and all other commands to a terminal. Line breaks and tabs stay."""
    if text.isprintable():
        return text
    return _CONTROLS.sub("", _ESCAPES.sub("", text))
