"""API keys: who has one, what it may do, and how the key of a request is found among them."""

import json
from collections.abc import Iterable
from dataclasses import InitVar, dataclass, field, replace
from enum import StrEnum
from hashlib import sha256
from hmac import compare_digest
from typing import Final

from servicekit.api.access import Access
from servicekit.errors import ConfigurationError
from servicekit.jobs.options import MAX_TEXT_CHARACTERS, check_text

_SHORTEST: Final = 16  # a random text of 16 letters cannot be guessed; whoever chooses words should choose many
_LONGEST: Final = 500  # a longer text in a header is not looked at, so that nobody lets the service hash megabytes
_FIELDS: Final = ("name", "secret", "owner", "role")
_MUST_BE: Final = {
    "name": f"a text of one line, of 1 to {MAX_TEXT_CHARACTERS} characters.",
    "owner": f"a text of one line, of 1 to {MAX_TEXT_CHARACTERS} characters.",
    "role": "read, act or admin.",
    "secret": f"{_SHORTEST} to {_LONGEST} visible ASCII characters, best random ones: "
    "python -c 'import secrets; print(secrets.token_urlsafe(32))'.",
}


class Role(StrEnum):
    """What the holder of a key may do: read; read and act; or all of that with everything there is."""

    READ = "read"
    ACT = "act"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key for programs, which `with_auth` lets in.

    - `name`: for people. It stands in errors, where the secret never does.
    - `secret`: what the holder sends; 16 to 500 visible ASCII characters, best random ones. Only its hash is kept.
    - `owner`: whose jobs the holder sees, and to whom its jobs belong. Without an owner it sees everything.
    - `role`: `read`, `act`, or `admin`, which sees everything, whatever its owner.

    `ConfigurationError` for values that make no sense.
    """

    name: str
    secret: InitVar[str]
    owner: str | None = None
    role: Role = Role.READ
    digest: bytes = field(init=False, repr=False)

    def __post_init__(self, secret: str) -> None:
        check_text("name", self.name)
        if self.owner is not None:
            check_text("owner", self.owner)
        object.__setattr__(self, "role", _check_role(self.name, self.role))
        _check_secret(self.name, secret)
        object.__setattr__(self, "digest", _digest(secret.encode()))

    @property
    def access(self) -> Access:
        """What its holder sees, and whether it may act."""
        sees_everything = self.owner is None or self.role is Role.ADMIN
        return Access(owner=self.owner, everything=sees_everything, may_act=self.role is not Role.READ)

    def narrow(self, access: Access) -> Access:
        """What its holder may do where the application itself has said who that is: with a key to read, only look."""
        return replace(access, may_act=access.may_act and self.role is not Role.READ)


class KeyRing:
    """The keys that are valid at one time. `ConfigurationError` if there are none, or two are alike."""

    def __init__(self, keys: Iterable[ApiKey]) -> None:
        self.keys: Final = tuple(keys)
        if not self.keys:
            raise ConfigurationError("api_keys", [], sentence="There are no API keys, so that nobody could come in.")
        self._check_different()

    def find(self, secret: bytes) -> ApiKey | None:
        """The key with this secret. How long that takes says nothing of the keys: all are compared, in constant time.

        What is compared are hashes, of which a caller cannot choose the beginning.
        """
        if len(secret) > _LONGEST:
            return None
        digest, found = _digest(secret), None
        for key in self.keys:
            if compare_digest(key.digest, digest):
                found = key
        return found

    def _check_different(self) -> None:
        known: dict[str | bytes, ApiKey] = {}
        for key in self.keys:
            for what, value in (("name", key.name), ("secret", key.digest)):
                first = known.setdefault(value, key)
                if first is not key:
                    sentence = f"The API keys {first.name!r} and {key.name!r} have the same {what}."
                    raise ConfigurationError("api_keys", key.name, sentence=sentence)


def parse_keys(text: str, place: str) -> KeyRing:
    """The keys of a JSON array, as they stand in a file or in the environment.

    `ConfigurationError` names the place and the number of the key that is wrong, and quotes nothing that can be secret.
    """
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError):
        raise _wrong(place, "this is no JSON.") from None
    if not isinstance(entries, list):
        raise _wrong(place, "this is no JSON array.")
    keys = []
    for number, entry in enumerate(entries, 1):
        try:
            keys.append(_parse_key(entry))
        except ConfigurationError as error:
            # Its own sentence quotes the name, where somebody may have written the secret.
            problem = f"its {error.option} must be {_MUST_BE[error.option]}" if error.option in _MUST_BE else str(error)
            raise _wrong(place, f"key {number}: {problem}") from None
    try:
        return KeyRing(keys)
    except ConfigurationError as error:
        raise _wrong(place, str(error)) from None


def _parse_key(entry: object) -> ApiKey:
    if not isinstance(entry, dict) or not {"name", "secret"} <= entry.keys() <= set(_FIELDS):
        sentence = (
            f"It must be an object with name and secret, and perhaps owner and role, and nothing besides {_FIELDS}."
        )
        raise ConfigurationError("api_keys", None, sentence=sentence)
    return ApiKey(**entry)


def _wrong(place: str, problem: str) -> ConfigurationError:
    example = '[{"name": "ops", "role": "admin", "secret": "..."}]'
    return ConfigurationError("api_keys", None, sentence=f"The API keys in {place}: {problem} An example: {example}")


def _check_role(name: str, role: object) -> Role:
    try:
        return Role(role)  # type: ignore[arg-type] # whatever stands in a file
    except ValueError:
        sentence = f"The role of the API key {name!r} must be {_MUST_BE['role']}"
        raise ConfigurationError("role", None, sentence=sentence) from None


def _check_secret(name: str, secret: object) -> None:
    if not isinstance(secret, str) or not _SHORTEST <= len(secret) <= _LONGEST or not _is_visible(secret):
        sentence = f"The secret of the API key {name!r} must be {_MUST_BE['secret']}"
        raise ConfigurationError("secret", None, sentence=sentence)  # without the value, which errors would show


def _is_visible(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text


def _digest(secret: bytes) -> bytes:
    return sha256(secret).digest()
