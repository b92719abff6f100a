"""Calls as they are shown: JSON of bounded size, and a line of text, with masks in the place of secrets.

They are made from the written arguments (`servicekit.jobs.arguments`), and not from the values. So no class is
imported and no code of the user's runs, whatever the arguments are. What JSON has no word for is a text:
`"2026-03-28"`, `"Color.RED"`. An object is an object of its fields, and what could not be written is the name of its
class, `"<DataFrame>"`.
"""

import json
import shlex
from base64 import b64decode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import asdict
from inspect import iscoroutine
from itertools import islice
from math import isfinite
from typing import Any, Final, NamedTuple

from pydantic_core import from_json

from servicekit.jobs.arguments import outline_arguments
from servicekit.jobs.command import Command
from servicekit.jobs.masks import MASK, NO_SECRETS, TextMask, normal_name
from servicekit.jobs.options import options_of
from servicekit.jobs.outcome import clip
from servicekit.jobs.references import find_loaded
from servicekit.jobs.restartable import COMMAND, is_fixed
from servicekit.jobs.signatures import NamedArguments, signature_of
from servicekit.jobs.submission import CallDescription, Submission
from servicekit.jobs.values import read_value

MOST_CHARACTERS: Final = 256 * 1024
"""How much of the written arguments is looked at to show them: what takes some milliseconds."""
MOST_CHARACTERS_OF_TEXT: Final = 16 * 1024
"""The same for a line of text, of which a hundred are made at once."""
MAX_CALL_CHARACTERS: Final = 200

_TOO_LARGE: Final = "(too large to be shown)"
_HIDDEN: Final = "(not shown: it is too large to look for what is masked)"
_REST: Final = "..."
_SECRETS: Final = frozenset({"secretstr", "secretbytes", "secret"})
_LISTS: Final = frozenset({"tuple", "set", "frozenset"})
_PAIRS: Final = frozenset({"dict", "OrderedDict", "Counter", "defaultdict"})
_NAMES: Final = frozenset({"enum", "flag", "type"})
_BYTES: Final = frozenset({"bytes", "bytearray", "secretbytes"})
# Read again to be shown. These have no classes and no code of the user's in them.
_READ: Final[Mapping[str, Callable[[Any], str]]] = {
    "datetime": lambda moment: str(moment.isoformat()),
    "time": lambda moment: str(moment.isoformat()),
    **dict.fromkeys(("timedelta", "complex", "fraction", "range", "timezone", "offset"), str),
    **dict.fromkeys(("bytes", "bytearray"), repr),
}


class KeptCall(NamedTuple):
    """What a store tells of a job's call."""

    name: str
    """The job's name."""
    owner: str | None
    target: object
    """The target, or its reference; `None` if neither is kept."""
    arguments: str | None
    """As they are written, or only their beginning (`jobs.arguments`); `None` if they are not kept."""
    mask: tuple[str, ...] = ()
    """The job's own names of what is masked: see `JobOptions.mask`."""


def show_arguments(call: KeptCall, mask: Set[str] = frozenset()) -> dict[str, object] | None:
    """The arguments by the names of parameters, as plain JSON; `None` if they are not kept.

    Each text has at most 1,000 characters, each list and object 100 parts, and the whole 2,000 values. Of longer ones,
    a text says how long they are.
    """
    with suppress(Exception):  # another program can have written arguments of any shape
        return _Shower(_read(call, mask, MOST_CHARACTERS), _FULL).show_all()
    return None


def show_call(call: KeptCall, mask: Set[str] = frozenset()) -> str:
    """The call on one line, as Python or a shell writes it, of at most `MAX_CALL_CHARACTERS`."""
    text = f"{call.name}(...)"
    with suppress(Exception):  # as above
        text = _spell_call(call.name, _read(call, mask, MOST_CHARACTERS_OF_TEXT))
    return _cut(" ".join(text.split()), MAX_CALL_CHARACTERS)


def _spell_call(name: str, given: "_Given") -> str:
    shown = _Shower(given, _SHORT).show_all()
    if given.is_command:
        words: Any = shown["argv"]
        return str(words[0]) if "shell" in shown else shlex.join(words)
    (only, *others) = shown.values() or (None,)
    if not others and isinstance(only, dict) and isinstance(only.get("argv"), list):  # a command of another kind
        return f"{name}: {shlex.join(map(str, only['argv']))}"
    return f"{name}({', '.join(_spell_all(given.named, shown))})"


def keep_call(submission: Submission) -> KeptCall:
    """The call of a submission that this process has."""
    target: object = submission.target
    if isinstance(submission.description, CallDescription):
        target = submission.description.reference
    options = submission.options
    return KeptCall(submission.name, options.owner, target, _write(submission), options.mask)


def _write(submission: Submission) -> str | None:
    if isinstance(submission.description, CallDescription):
        return submission.description.arguments
    if type(submission.target) is Command:
        return json.dumps({"args": [], "kwargs": asdict(submission.target)})
    if iscoroutine(submission.target):
        return None
    return outline_arguments(submission.args, submission.kwargs)


def find_secrets(submission: Submission, mask: Set[str]) -> TextMask:
    """What must not be seen in texts that come of the call: in errors, and in what the job says."""
    has_mask = bool(mask or submission.options.mask or options_of(submission.target).mask)
    if not has_mask and submission.description is None and is_fixed(submission):
        return NO_SECRETS
    call = keep_call(submission)
    if call.arguments is None or not (has_mask or _has_secret(call.arguments)):
        return NO_SECRETS
    with suppress(Exception):  # as above
        return _read(call, mask, len(call.arguments)).secrets
    return NO_SECRETS


class _Given:
    """The arguments of a call, as they are written, and what of them is secret."""

    def __init__(self, named: NamedArguments, mask: Set[str], *, is_command: bool, is_plain: bool) -> None:
        self.named = named
        self.is_command = is_command
        self._mask = mask
        self._is_plain = is_plain
        self.secrets = NO_SECRETS

    def is_masked(self, name: object) -> bool:
        return bool(self._mask) and isinstance(name, str) and normal_name(name) in self._mask

    def tag_of(self, value: dict[str, Any]) -> tuple[str | None, Any]:
        """The kind of a value and its content: see `servicekit.jobs.values`. `None` if it is a plain object."""
        if len(value) == 1 and not self._is_plain:
            ((key, content),) = value.items()
            if key.startswith("$"):
                return key[1:], content
        return None, None


def _read(call: KeptCall, mask: Set[str], limit: int) -> _Given:
    """The arguments of a call. It raises anything if they are not kept or make no sense."""
    text, is_command = call.arguments or "", type(call.target) is Command or call.target == COMMAND
    target = find_loaded(call.target) if type(call.target) is str else call.target
    # Also what is masked by now, and was not when the job was submitted.
    mask = mask | {*call.mask, *options_of(target).mask}
    args, kwargs, is_plain = _parse(text, limit, has_mask=bool(mask))
    named = NamedArguments(kwargs) if is_command else _name(target, args, kwargs, mask)
    given = _Given(named, mask, is_command=is_command, is_plain=is_plain)
    if mask or _has_secret(text):
        given.secrets = TextMask(_list_secrets(given))
    return given


def _has_secret(text: str) -> bool:
    return '"$secret' in text


def _parse(text: str, limit: int, *, has_mask: bool) -> tuple[list[Any], dict[str, Any], bool]:
    """The written arguments, and whether they are plain JSON.

    Of a text that is too long, those that stand in its beginning as a whole.
    """
    if len(text) <= limit:
        data = json.loads(text)
        return data["args"], data["kwargs"], "form" not in data
    if has_mask:  # a secret that is not found could stand in another argument too
        return [], {_REST: _HIDDEN}, True
    data = from_json(text[:limit], allow_partial=True)
    args, kwargs = data.get("args", []), data.get("kwargs", {})
    if kwargs:
        return args, {**kwargs, next(reversed(kwargs)): _TOO_LARGE, _REST: _TOO_LARGE}, False
    return [*args[:-1], _TOO_LARGE], {_REST: _TOO_LARGE}, False


def _name(target: object, args: Sequence[Any], kwargs: Mapping[str, Any], mask: Set[str]) -> NamedArguments:
    named = signature_of(target).name_all(target, args, kwargs) if callable(target) else None
    if named is not None:
        return named
    # It is not known which of these is masked.
    by_place = {"*": [MASK for _ in args] if mask else list(args)} if args else {}
    return NamedArguments({**by_place, **kwargs}, rest="*")


def _list_secrets(given: _Given) -> Iterator[str]:
    if given.is_command:
        yield from (secret for _, secret in _read_words(given) if secret is not None)
    waiting = [(part, given.is_masked(name)) for name, part in given.named.values.items()]
    while waiting:
        value, is_secret = waiting.pop()
        if type(value) is list:
            # A list of a million numbers has nothing in it that could be secret by itself.
            waiting += [(part, is_secret) for part in value if is_secret or type(part) in (list, dict)]
        elif type(value) is dict:
            waiting += _list_parts(value, given, is_secret=is_secret)
        elif is_secret and value is not None and type(value) is not bool:
            yield str(value)


def _list_parts(value: dict[str, Any], given: _Given, *, is_secret: bool) -> Iterable[tuple[Any, bool]]:
    """What a written value has in it, and whether that is secret."""
    tag, content = given.tag_of(value)
    if tag is None:
        return [(part, is_secret or given.is_masked(name)) for name, part in value.items()]
    if tag in _PAIRS:
        pairs = _pairs_of(tag, content)
        return [each for key, part in pairs for each in ((key, False), (part, is_secret or given.is_masked(key)))]
    if tag == "object":
        return [(content[1].get(name), is_secret) for name in ("fields", "more", "extra", "private")]
    if tag == "extended" or tag == "?":
        return [(part, is_secret) for part in content[1:]] if type(content) is list else []
    if tag in _NAMES:
        return []
    return [(_text_of_bytes(content) if tag in _BYTES else content, is_secret or tag in _SECRETS)]


def _pairs_of(tag: str, content: Any) -> list[Any]:
    pairs: list[Any] = content[1] if tag == "defaultdict" else content
    return pairs


def _text_of_bytes(content: str) -> str | None:
    with suppress(ValueError):
        return b64decode(content).decode()
    return None


def _read_words(given: _Given) -> Iterator[tuple[str, str | None]]:
    """The words of a command as they are shown, each with what is secret of it: `--password=...`, `--password ...`."""
    is_value = False
    for word in given.named.values["argv"]:
        option, equals, value = word.partition("=")
        is_option = given.is_masked(option.lstrip("-"))
        if is_value:
            yield MASK, word
        elif is_option and equals:
            yield f"{option}={MASK}", value
        else:
            yield word, None
        is_value = is_option and not equals and not is_value


class _Bounds(NamedTuple):
    values: int
    parts: int
    depth: int
    shorten: Callable[[str], str]


def _cut(text: str, limit: int) -> str:
    text = clip(text[:limit], limit) + text[limit:]  # what cannot be encoded takes more characters
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


_FULL: Final = _Bounds(values=2_000, parts=100, depth=20, shorten=lambda text: clip(text, 1_000))
_SHORT: Final = _Bounds(values=50, parts=10, depth=3, shorten=lambda text: _cut(text, 60))


class _Shower:
    """Makes plain JSON of the arguments of one call, and counts how much of it there is."""

    def __init__(self, given: _Given, bounds: _Bounds) -> None:
        self._given = given
        self._bounds = bounds
        self._left = bounds.values

    def show_all(self) -> dict[str, object]:
        named = self._given.named
        if self._given.is_command:
            return self._show_command(named.values)
        return {name: self._show_named(name, part, 1) for name, part in named.values.items()}

    def _show_command(self, facts: Mapping[str, Any]) -> dict[str, object]:
        words: list[object] = [self._text(word) for word, _ in islice(_read_words(self._given), self._bounds.parts)]
        left_out = len(facts["argv"]) - len(words)
        shown: dict[str, object] = {"argv": [*words, f"({left_out:,} more)"] if left_out else words}
        if facts.get("cwd") is not None:
            shown["cwd"] = self._text(str(facts["cwd"]))
        if facts.get("env"):
            shown["env"] = self._show_named("env", facts["env"], 1)
        if facts.get("stdin") is not None:
            shown["stdin"] = MASK
        if facts.get("shell"):
            shown["shell"] = True
        return shown

    def _show_named(self, name: object, part: Any, depth: int) -> object:
        if self._given.is_masked(name):
            return MASK
        if isinstance(name, str) and normal_name(name) == "env":
            return self._show_environment(part)
        return self.show(part, depth)

    def _show_environment(self, value: Any) -> object:
        """Variables of an environment: their values are not shown, since people put their secrets there."""
        if type(value) is not dict or self._given.tag_of(value)[0] is not None:
            return value and MASK
        return dict.fromkeys(map(self._show_key, islice(value, self._bounds.parts)), MASK)

    def show(self, value: Any, depth: int = 0) -> object:
        self._left -= 1
        if self._left < 0:
            return _REST
        if type(value) is str:
            return self._text(value)
        if type(value) not in (list, dict):
            return repr(value) if type(value) is float and not isfinite(value) else value
        if depth > self._bounds.depth:
            return _REST
        if type(value) is list:
            return self._show_list(value, depth)
        tag, content = self._given.tag_of(value)
        return self._show_pairs(value.items(), depth) if tag is None else self._show_tagged(tag, content, depth)

    def _show_list(self, parts: Sequence[Any], depth: int) -> list[object]:
        most = min(self._bounds.parts, max(0, self._left))
        shown = [self.show(part, depth + 1) for part in parts[:most]]
        return [*shown, f"({len(parts) - most:,} more)"] if len(parts) > most else shown

    def _show_pairs(self, pairs: Iterable[tuple[Any, Any]], depth: int) -> object:
        pairs = list(pairs)
        most = min(self._bounds.parts, max(0, self._left))
        shown = [(self._show_key(key), self._show_named(key, part, depth + 1)) for key, part in pairs[:most]]
        more = [(_REST, f"({len(pairs) - most:,} more)")] if len(pairs) > most else []
        names = dict([*shown, *more])
        return names if len(names) == len(shown) + len(more) else [list(pair) for pair in [*shown, *more]]

    def _show_key(self, key: Any) -> str:
        return self._text(key if type(key) is str else str(self.show(key, self._bounds.depth)))

    def _show_tagged(self, tag: str, content: Any, depth: int) -> object:
        try:
            return self._show_kind(tag, content, depth)
        except Exception:  # another program can have written anything, and a value can be one that this machine lacks
            return f"<{tag}>"

    def _show_kind(self, tag: str, content: Any, depth: int) -> object:
        if tag in _SECRETS:
            return MASK
        if tag in _LISTS:
            return self._show_list(content, depth)
        if tag in _PAIRS:
            return self._show_pairs(_pairs_of(tag, content), depth)
        if tag == "deque":
            return self._show_list(content[0], depth)
        if tag == "object":
            parts = {**content[1]["fields"], **content[1].get("more", {}), **content[1].get("extra", {})}
            return self._show_pairs(parts.items(), depth)
        if tag == "extended":
            return self.show(content[1], depth)
        return self._text(_spell_kind(tag, content))

    def _text(self, text: str) -> str:
        return self._bounds.shorten(self._given.secrets.hide(text))


def _spell_kind(tag: str, content: Any) -> str:
    if tag in _READ:
        return _READ[tag](read_value({f"${tag}": content}))
    if tag in ("enum", "flag"):
        return f"{_short_name(content[0])}.{content[1]}"
    if tag == "type":
        return f"<class {_short_name(content)}>"
    if tag == "?":
        name = content if type(content) is str else content[0]
        return f"<{name.rpartition('.')[2]}>"
    if tag == "pattern":
        return str(content[0])
    return content if type(content) is str else f"<{tag}>"


def _short_name(reference: Any) -> str:
    while type(reference) is list:
        reference = reference[0]
    return str(reference).rpartition(":")[2]


def _spell_all(named: NamedArguments, shown: Mapping[str, object]) -> Iterator[str]:
    is_by_place = named.rest in shown
    for name, value in shown.items():
        if name == named.rest:
            is_by_place = False
        if name == named.rest and isinstance(value, list):
            yield from map(repr, value)
        elif name == named.more and isinstance(value, dict):
            yield from (f"{key}={part!r}" for key, part in value.items())
        else:
            yield repr(value) if is_by_place else f"{name}={value!r}"
