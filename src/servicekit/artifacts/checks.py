"""The rules for what describes an artifact: its kind, name, media type, tags and metadata.

They are bounded and of one line, since they stand in lists, headers and indexes.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from servicekit.artifacts.strict_json import write_json
from servicekit.errors import InvalidContent
from servicekit.jobs.texts import MAX_TEXT_CHARACTERS, is_short_text

MAX_METADATA_BYTES: Final = 16 * 1024  # lists have it for every artifact
MAX_TAGS: Final = 50  # as many as a job may have words to be found by

_KIND: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# RFC 9110, section 8.3.1, with the names of RFC 6838. No control characters: it becomes a header.
_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}"
_TOKEN: Final = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
_PARAMETER: Final = rf'[ \t]*;[ \t]*{_TOKEN}=(?:{_TOKEN}|"[ !#-\[\]-~]*")'
_MEDIA_TYPE: Final = re.compile(rf"{_NAME}/{_NAME}(?:{_PARAMETER})*")


def is_kind(value: object) -> bool:
    """Whether the value is a kind, or the name of a hierarchy."""
    return isinstance(value, str) and _KIND.fullmatch(value) is not None


def check_kind(kind: object) -> str:
    """Return the kind; `InvalidContent` unless it is one."""
    if isinstance(kind, str) and is_kind(kind):
        return kind
    raise InvalidContent(("kind",), "it must be 1 to 64 letters, digits, dots, dashes and underscores")


def check_name(name: object) -> str | None:
    """Return the name; `InvalidContent` unless it is a text of one line."""
    if name is None or (isinstance(name, str) and name and is_short_text(name)):
        return name
    raise InvalidContent(("name",), f"it must be one line of 1 to {MAX_TEXT_CHARACTERS} characters")


def check_media_type(media_type: object) -> str:
    """Return the media type; `InvalidContent` unless it is one, such as `text/csv; charset=utf-8`."""
    if isinstance(media_type, str) and len(media_type) <= MAX_TEXT_CHARACTERS and _MEDIA_TYPE.fullmatch(media_type):
        return media_type
    raise InvalidContent(("media_type",), "it must be a media type, such as text/csv; charset=utf-8")


def check_tags(tags: object) -> tuple[str, ...]:
    """Return the tags, each once; `InvalidContent` unless they are short texts."""
    if isinstance(tags, str) or not isinstance(tags, Iterable):
        raise InvalidContent(("tags",), "it must be a list of texts")
    given = list(tags)
    for place, tag in enumerate(given):
        if not tag or not is_short_text(tag):
            raise InvalidContent(("tags", place), f"it must be one line of 1 to {MAX_TEXT_CHARACTERS} characters")
    found = tuple(dict.fromkeys(given))
    if len(found) > MAX_TAGS:
        raise InvalidContent(("tags",), f"there are more than {MAX_TAGS}")
    return found


def write_metadata(metadata: object) -> str:
    """The metadata as JSON. `InvalidContent` unless it is a JSON object of at most 16 KiB."""
    if metadata is None:
        return "{}"
    if not isinstance(metadata, Mapping) or not all(isinstance(key, str) for key in metadata):
        raise InvalidContent(("metadata",), "it must be a JSON object")
    text = write_json(dict(metadata), "metadata")
    if len(text.encode()) > MAX_METADATA_BYTES:
        raise InvalidContent(("metadata",), f"it is larger than {MAX_METADATA_BYTES:,} bytes of JSON")
    return text
