"""The code blocks of the user's guide, word for word. They are what the service must fulfil: never edit one."""

from pathlib import Path

FOLDER = Path(__file__).parent / "snippets"
_IDS = ("01JQRS7X...", "01JQRS...")


def read_snippet(name: str) -> str:
    """A code block as it is printed."""
    return (FOLDER / name).read_text()


def fill_in(name: str, *, url: str = "http://localhost:8000", job_id: str = "") -> str:
    """A code block as a user would type it: with the address of the own service, and the id of an own job."""
    text = read_snippet(name).replace("http://localhost:8000", url)
    for placeholder in _IDS:
        text = text.replace(placeholder, job_id)
    return text
