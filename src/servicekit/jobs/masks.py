"""Masks: in the place of what no response, log line or error of servicekit shows.

A value is secret by its type (`SecretStr`, `SecretBytes`, `Secret`), or by its name: that of a parameter, or of a field
or a key at any depth of a value. Names are compared without regard to case, and `-` counts as `_`.
"""

import json
import re
from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from typing import Final
from urllib.parse import quote, quote_plus

from servicekit.errors import ConfigurationError
from servicekit.jobs.outcome import Outcome, clip
from servicekit.jobs.texts import is_short_text

MASK: Final = "***"
SHORTEST_SECRET: Final = 4
"""A text of fewer characters stands in too many others: to mask it there would make half of a log unreadable."""
MOST_SECRETS: Final = 1_000
"""So many texts of a call are looked for in what its job says: each of them makes every line dearer."""
_MOST_NAMES: Final = 100
_LONGEST_PART: Final = 128 * 1024  # all arguments that are shown have no more than twice as much, see `shown_calls`
# Where a text has been cut: by `outcome.clip`, by the log, or by others, such as Pydantic, which shows 48 characters of
# a value that it refuses. A secret can be cut there as well.
_CUT: Final = re.compile(r"([\n ]?(?:\.\.\.(?: \([0-9,]+ characters in all\) \.\.\.| \(too long\))?|…)\n?)")
_MOST_CUTS: Final = 200  # each is compared with all secrets, and a text can be all dots


def normal_name(name: str) -> str:
    """The form in which names are compared."""
    return name.replace("-", "_").casefold()


def check_mask(option: str, names: object) -> tuple[str, ...]:
    """The names of what is masked, as they are compared. `ConfigurationError` if they are no names."""
    if isinstance(names, str) or not isinstance(names, Collection) or len(names) > _MOST_NAMES:
        raise ConfigurationError(option, names, f'at most {_MOST_NAMES} names of parameters, such as ["password"]')
    for name in names:
        if not is_short_text(name) or not name:
            raise ConfigurationError(option, name, "names of parameters")
    return tuple(sorted({normal_name(name) for name in names}))


class TextMask:
    """Replaces secrets in texts.

    A secret is found as it is, as Python's `repr` and JSON escape it, and as a URL does; of several lines, also each
    line.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        self._forms = _list_forms(secrets)

    def hide(self, text: str) -> str:
        """The text with a mask in the place of each secret."""
        for form in self._forms:  # a regular expression of them would take seconds to make, if they are long or many
            text = text.replace(form, MASK)
        return text

    def hide_in_clipped(self, text: str) -> str:
        """The same for a text that may have been cut: what is left of a secret at a cut is masked too."""
        if not self._forms:
            return text
        first, *parts = _CUT.split(self.hide(text), _MOST_CUTS)
        hidden = [first]
        for cut, piece in zip(parts[::2], parts[1::2], strict=True):
            hidden[-1] = self._hide_end(hidden[-1])
            hidden += [cut, self._hide_start(piece)]
        return "".join(hidden)

    def hide_in_outcome(self, outcome: Outcome) -> Outcome:
        """The outcome with masks in its error. Its result is what the target wants to tell, and is left alone."""
        if not self._forms or outcome.error is None:
            return outcome
        error, trace = self.hide_in_clipped(outcome.error), outcome.error_traceback
        return outcome._replace(error=error, error_traceback=None if trace is None else self.hide_in_clipped(trace))

    def _hide_end(self, text: str) -> str:
        length = max(_overlap(text, form) for form in self._forms)
        return f"{text[:-length]}{MASK}" if length else text

    def _hide_start(self, text: str) -> str:
        length = max(_overlap(form, text) for form in self._forms)
        return f"{MASK}{text[length:]}" if length else text


def _list_forms(secrets: Iterable[str]) -> list[str]:
    """What is looked for, the longest first, since one can be a part of another."""
    some = islice(dict.fromkeys(secrets), MOST_SECRETS)
    forms = {form for secret in some for part in _ends_of(secret) for form in _forms_of(part)}
    return sorted((form for form in forms if len(form) >= SHORTEST_SECRET), key=len, reverse=True)


def _ends_of(secret: str) -> tuple[str, ...]:
    """Of a long secret its beginning and its end, since no text that a job says has more of it than these."""
    if len(secret) <= 2 * _LONGEST_PART:
        return (secret,)
    return (secret[:_LONGEST_PART], secret[-_LONGEST_PART:])


def _forms_of(secret: str) -> Iterator[str]:
    yield from (secret, secret.strip(), *(line.strip() for line in secret.splitlines()))
    yield from (repr(secret)[1:-1], json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1])
    plain = clip(secret, len(secret))  # as stores can keep it
    yield from (plain, quote(plain, safe=""), quote(plain), quote_plus(plain))


def _overlap(left: str, right: str) -> int:
    """How many of the last characters of one text are the first of the other; 0 if they are too few to be a secret."""
    begin = right[:SHORTEST_SECRET]
    if len(begin) < SHORTEST_SECRET:
        return 0
    place = left.find(begin, max(0, len(left) - len(right)))
    while place >= 0 and not right.startswith(left[place:]):
        place = left.find(begin, place + 1)
    return len(left) - place if place >= 0 else 0


NO_SECRETS: Final = TextMask(())
