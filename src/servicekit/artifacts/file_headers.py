"""What the headers of a download say of a file, whoever has chosen its name and its type.

They can come from a client, and another client's browser believes them. So a name has no path, and no characters that
control anything. A browser is told to keep the file and not to show it, and not to guess a type of its own: a page of
HTML that somebody has uploaded must not run as a page of this service.
"""

import mimetypes
import re
import unicodedata
from typing import Final
from urllib.parse import quote

from servicekit.jobs.texts import MAX_TEXT_CHARACTERS

_NOT_PLAIN: Final = re.compile(r"[^A-Za-z0-9 ._()-]")

SAFETY: Final = {
    "x-content-type-options": "nosniff",
    # A browser that shows it all the same runs no script of it, and sends no cookies for it.
    "content-security-policy": "default-src 'none'; sandbox",
}


def clean_name(name: str) -> str:
    """The name of a file without its path, and without characters that control anything; it can be empty.

    These are line breaks, and marks that turn the direction of writing, by which `exe.txt` can look like `txt.exe`.
    Dots in front hide a file, and dots at the end are lost on Windows: they go too.
    """
    last = re.split(r"[/\\]", name)[-1]
    text = "".join(character for character in last if not _is_control(character))
    return text.strip(". ")[:MAX_TEXT_CHARACTERS].strip(". ")


def _is_control(character: str) -> bool:
    category = unicodedata.category(character)
    return category[0] == "C" or category in ("Zl", "Zp")  # separators of lines and paragraphs


def attachment(name: str | None, media_type: str, otherwise: str) -> str:
    """`Content-Disposition` by RFC 6266: a file to be kept under this name, or under `otherwise` if it has none."""
    known = clean_name(name or "") or f"{otherwise}{mimetypes.guess_extension(media_type.partition(';')[0]) or ''}"
    plain = _NOT_PLAIN.sub("_", known)
    exact = "" if plain == known else f"; filename*=UTF-8''{quote(known, safe='')}"
    return f'attachment; filename="{plain}"{exact}'
