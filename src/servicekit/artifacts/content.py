"""What users give to be saved: where its bytes come from, and what they are."""

import mimetypes
import os
import stat
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple, Protocol, runtime_checkable

from servicekit.artifacts.ports import StagedBlob
from servicekit.artifacts.record import is_json
from servicekit.artifacts.strict_json import read_json, write_json
from servicekit.artifacts.table import Table, is_frame
from servicekit.errors import InvalidContent

BYTES: Final = "application/octet-stream"
JSON: Final = "application/json"
PARQUET: Final = "application/vnd.apache.parquet"
TEXT: Final = "text/plain; charset=utf-8"

_CHUNK_BYTES: Final = 1024 * 1024  # large enough that the calls cost little, small enough for any machine


@runtime_checkable
class Readable(Protocol):
    """A file that is open for reading bytes."""

    def read(self, size: int, /) -> bytes: ...


class Content(NamedTuple):
    """What is to be saved."""

    media_type: str
    """What it is, if the caller does not say anything else."""
    json_text: str | None = None
    """The content itself if it is JSON; else it is one of the next."""
    raw: bytes | bytearray | memoryview | None = None
    path: Path | None = None
    file: Readable | None = None
    staged: StagedBlob | None = None
    name: str | None = None
    is_table: bool = False

    def write_to(self, staged: StagedBlob) -> None:
        """Write the content where it is kept."""
        if self.json_text is not None:
            staged.write(self.json_text.encode())
        elif self.raw is not None:
            staged.write(self.raw)
        elif self.path is not None:
            with _open_plain(self.path) as file:
                _pump(file, staged)
        elif self.file is not None:
            _pump(self.file, staged)


def describe_content(content: object, *, as_json: bool) -> Content:
    """What the value is. `InvalidContent` if it cannot be kept."""
    if isinstance(content, StagedBlob):
        return Content(BYTES, staged=content)
    if isinstance(content, bytes | bytearray | memoryview):
        if as_json:
            return Content(JSON, json_text=write_json(read_json(bytes(content))))
        return Content(BYTES, raw=content)
    if isinstance(content, os.PathLike):
        path = Path(content)
        return Content(mimetypes.guess_type(path.name)[0] or BYTES, path=path, name=path.name)
    if isinstance(content, Readable):
        return Content(BYTES, file=content)
    return _describe_value(content, as_json=as_json)


def _describe_value(content: object, *, as_json: bool) -> Content:
    if isinstance(content, str) and not as_json:
        return Content(TEXT, raw=_encode(content))
    if isinstance(content, Table):
        return Content(JSON, json_text=write_json(content.as_dict()), is_table=True)
    if is_frame(content):
        parquet = _write_parquet(content)
        if parquet is not None:
            return Content(PARQUET, raw=parquet)
        table = Table.of(content)
        return Content(JSON, json_text=write_json(table.as_dict()), is_table=True)
    return Content(JSON, json_text=write_json(content))


def read_content(content: bytes, media_type: str, *, is_table: bool) -> object:
    """The value that was saved: a table, what JSON has, a text, a DataFrame; else the bytes.

    `InvalidContent` if the bytes are not what the media type says.
    """
    if is_table:
        return Table.of(read_json(content))  # type: ignore[arg-type] # it was saved as one
    if is_json(media_type):
        return read_json(content)
    if media_type.startswith("text/"):
        return _decode(content, media_type)
    if media_type == PARQUET:
        return _read_parquet(content)
    return content


def _encode(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise InvalidContent(("data",), "the text has a lone surrogate, which is no Unicode") from None


def _decode(content: bytes, media_type: str) -> str:
    charset = "utf-8"
    for parameter in media_type.split(";")[1:]:
        key, _, value = parameter.strip().partition("=")
        if key.lower() == "charset":
            charset = value.strip('"')
    try:
        return content.decode(charset)
    except (UnicodeError, LookupError) as error:
        raise InvalidContent(("data",), f"it is no {media_type}: {error}") from None


def _open_plain(path: Path) -> BinaryIO:
    """Open a plain file. A pipe or a device could hang for ever, or never end."""
    file = open(path, "rb", opener=_open_at_once)  # noqa: SIM115 # the caller does that
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise InvalidContent(("content",), f"{path} is no plain file")
    return file


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)


def _pump(file: Readable, staged: StagedBlob) -> None:
    while chunk := file.read(_CHUNK_BYTES):
        if not isinstance(chunk, bytes | bytearray | memoryview):
            raise InvalidContent(("content",), "the file is open for text; open it for bytes, with the mode rb")
        staged.write(chunk)


def _write_parquet(frame: object) -> bytes | None:
    """The DataFrame as a Parquet file; `None` without pyarrow."""
    try:
        import pyarrow  # noqa: F401 # pandas would take another package too, whose files differ
    except ImportError:
        return None
    file = BytesIO()
    try:
        frame.to_parquet(file, engine="pyarrow", index=False)  # type: ignore[attr-defined] # it is a DataFrame
    except (TypeError, ValueError) as error:  # pyarrow's own errors are kinds of these
        raise InvalidContent(("data",), f"the DataFrame cannot be written as Parquet: {error}") from None
    return file.getvalue()


def _read_parquet(content: bytes) -> object:
    try:
        import pandas
        import pyarrow
    except ImportError:
        return content
    try:
        return pandas.read_parquet(BytesIO(content), engine="pyarrow")
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise InvalidContent(("data",), f"it is no Parquet file: {error}") from None
