"""Where API keys come from: a list, the environment, or a file that is read again when it changes."""

import logging
import os
import time
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final, Protocol

from servicekit.api.api_keys import ApiKey, KeyRing, parse_keys
from servicekit.errors import ConfigurationError

_log = logging.getLogger("servicekit.api")

VARIABLE: Final = "SERVICEKIT_API_KEYS"
_LOOK_SECONDS: Final = 1.0  # a key that was taken out is refused after a second; and a file of keys is read in 20 us


class KeySource(Protocol):
    """Tells which keys are valid at the moment."""

    def ring(self) -> KeyRing:
        """The keys that are valid now."""
        ...


class FixedKeys:
    """Keys that stay what they are for as long as the process lives."""

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring

    def ring(self) -> KeyRing:
        return self._ring


class KeyFile:
    """The keys of a file, which is read again at most once a second, when somebody asks.

    If it is gone or damaged, the last good keys stay valid, and `has_problem` and the log say so. `ConfigurationError`
    if that is so at the beginning.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._problem: str | None = None
        self._seen = b""
        self._ring = self._read()
        self._next_look_at = time.monotonic() + _LOOK_SECONDS

    def ring(self) -> KeyRing:
        now = time.monotonic()
        if now >= self._next_look_at:
            self._next_look_at = now + _LOOK_SECONDS
            self._look()
        return self._ring

    def has_problem(self) -> bool:
        """Whether new keys cannot be read."""
        self.ring()
        return self._problem is not None

    def _look(self) -> None:
        try:
            self._ring, problem = self._read(), None
        except ConfigurationError as error:
            problem = str(error)
        if problem is not None and problem != self._problem:
            _log.warning("The last good API keys stay valid, since new ones cannot be read: %s", problem)
        self._problem = problem

    def _read(self) -> KeyRing:
        try:
            content = self._path.read_bytes()
        except OSError as error:
            sentence = f"The file of API keys {self._path} cannot be read: {error.strerror}."
            raise ConfigurationError("key_file", str(self._path), sentence=sentence) from None
        seen = sha256(content).digest()  # not the content itself: secrets do not stay in memory
        if seen != self._seen:
            ring = parse_keys(content.decode("utf-8-sig", "replace"), str(self._path))
            self._ring, self._seen = ring, seen
        return self._ring


def open_keys(api_keys: Sequence[ApiKey] | None, key_file: str | os.PathLike[str] | None) -> KeySource:
    """The source of keys that the options name; without options, the environment.

    `ConfigurationError` in words if there are no keys, or they make no sense.
    """
    if api_keys is not None and key_file is not None:
        sentence = "API keys come from a list or from a file, not from both: give api_keys or key_file."
        raise ConfigurationError("key_file", str(key_file), sentence=sentence)
    if key_file is not None:
        return KeyFile(Path(key_file))
    if api_keys is not None:
        return FixedKeys(KeyRing(_check_all(api_keys)))
    text = os.environ.get(VARIABLE)
    if not text:
        sentence = f"There are no API keys: give api_keys=[ApiKey(...)] or key_file=..., or set {VARIABLE}."
        raise ConfigurationError("api_keys", None, sentence=sentence)
    return FixedKeys(parse_keys(text, VARIABLE))


def _check_all(api_keys: Sequence[ApiKey]) -> Sequence[ApiKey]:
    if not all(isinstance(key, ApiKey) for key in api_keys):  # whose text is not quoted, since it can be a secret
        raise ConfigurationError("api_keys", None, sentence="api_keys must be a list of ApiKey(name=..., secret=...).")
    return api_keys
