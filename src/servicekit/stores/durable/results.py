"""Results as a database keeps them."""

from servicekit.jobs.outcome import describe_error
from servicekit.jobs.results import WrittenResult, write_result


def encode_result(result: object, max_bytes: int | None) -> tuple[WrittenResult, str]:
    """The result as JSON; without its text if it cannot be kept, and then why."""
    text, reason = _write(result)
    if text is not None and max_bytes is not None and _exceeds(text, max_bytes):
        text, reason = None, f"it has more than {max_bytes:,} bytes (Retention.max_result_bytes)"
    return WrittenResult(text), reason


def _exceeds(text: str, limit: int) -> bool:
    """Whether it has more bytes in UTF-8 than `limit`. It never has fewer bytes than characters."""
    return len(text) > limit or (not text.isascii() and len(text.encode()) > limit)


def _write(result: object) -> tuple[str | None, str]:
    """The result as JSON; or `None`, and why."""
    if type(result) is WrittenResult:
        return result.text, "the job's log says why"
    try:
        return write_result(result).decode(), ""
    except Exception as error:  # it may call the user's code
        return None, f"it cannot be written as JSON: {describe_error(error)}"
