"""What an option may be."""

from typing import Any

import pytest

from servicekit import ConfigurationError
from servicekit.jobs.options import JobOptions

options: Any = JobOptions
OPTIONS = ("name", "queue", "idempotency_key", "concurrency_key")


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize(
    "text",
    [
        "rapport n\u00a05",
        "東京\u3000支店",
        "\U0001f469\u200d\U0001f52c",
        "می\u200cخواهم",
        "10\u202fkm",
        "a b",
        "\ue000",
    ],
)
def test_names_of_any_language_are_texts(option: str, text: str) -> None:
    assert getattr(options(**{option: text}), option) == text
    assert options(tags=(text,)).tags == (text,)


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize(
    "text", ["", "a\nb", "a\0b", "\x1b[0m", "a\x85b", "a\u2028b", "a\u2029b", "\ud800", "\x7f", "x" * 201]
)
def test_what_breaks_lines_or_encodings_is_no_text(option: str, text: str) -> None:
    with pytest.raises(ConfigurationError, match=option):
        options(**{option: text})
    with pytest.raises(ConfigurationError, match="tags"):
        options(tags=(text,))
