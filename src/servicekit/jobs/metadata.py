"""A job's metadata: a bounded JSON object that users keep with the job."""

import json
from collections.abc import Iterator, Mapping
from typing import Final

from servicekit.errors import ConfigurationError
from servicekit.jobs.texts import is_short_text

# Lists and events have it for every job, and a file has an entry in an index for each key.
MAX_METADATA_BYTES: Final = 16 * 1024
MAX_METADATA_KEYS: Final = 50


class Metadata(Mapping[str, object]):
    """A JSON object that nobody can change, since its values are read as copies.

    Two are equal if their texts are equal, so `1`, `1.0` and `True` differ.
    """

    __slots__ = ("text", "words")

    text: str
    words: dict[str, str]
    """What a job can be found by: those values that are short texts, whole numbers or booleans, as texts."""

    def __init__(self, values: object) -> None:
        """`ConfigurationError` if the values are no JSON object, would change if written as JSON, or are too large."""
        if isinstance(values, Metadata):
            self.text, self.words = values.text, values.words
            return
        if not isinstance(values, Mapping) or len(values) > MAX_METADATA_KEYS:
            raise ConfigurationError("metadata", values, f"a dictionary with at most {MAX_METADATA_KEYS} keys")
        for key in values:
            if not key or not is_short_text(key) or ":" in key:
                raise ConfigurationError("metadata", key, "a dictionary whose keys are short texts without a colon")
        self.text = _dump(dict(values))
        self.words = {key: word for key, value in values.items() if (word := word_of(value)) is not None}

    def as_dict(self) -> dict[str, object]:
        """A copy as a dictionary."""
        values: dict[str, object] = json.loads(self.text)
        return values

    def __getitem__(self, key: str) -> object:
        return self.as_dict()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.as_dict())

    def __len__(self) -> int:
        return len(self.as_dict())

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Metadata):
            return self.text == other.text
        return isinstance(other, Mapping) and self.as_dict() == dict(other)

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return repr(self.as_dict())


def metadata_of(values: Mapping[str, object]) -> Metadata:
    """Metadata whose options were checked before, which are stored as `Metadata` already."""
    return values if isinstance(values, Metadata) else Metadata(values)


def word_of(value: object) -> str | None:
    """The text by which jobs with this value are found; `None` if they cannot be found by it."""
    if type(value) is bool:
        return "true" if value else "false"
    text = str(value) if type(value) is int else value
    return text if isinstance(text, str) and is_short_text(text) else None


def check_words(words: object) -> None:
    """`ConfigurationError` unless jobs can be found by these keys and texts of their metadata."""
    if not isinstance(words, Mapping) or not all(is_short_text(text) for item in words.items() for text in item):
        raise ConfigurationError("metadata", words, "short texts by their keys")


def _dump(values: dict[str, object]) -> str:
    try:
        text = json.dumps(values, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        size, is_same = len(text.encode()), json.loads(text) == values
    except Exception as error:  # no JSON, NaN, a surrogate, nested too deeply, or an error of the user's code
        raise ConfigurationError("metadata", values, "JSON") from error
    if not is_same:
        raise ConfigurationError("metadata", values, "JSON, which has lists for tuples and only texts as keys")
    if size > MAX_METADATA_BYTES:
        raise ConfigurationError("metadata", values, f"at most {MAX_METADATA_BYTES:,} bytes of JSON")
    return text


NO_METADATA: Final = Metadata({})
