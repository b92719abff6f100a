"""How trained models are written to files, and read again."""

import json
import pickle
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Protocol

from servicekit.errors import ConfigurationError, MissingExtra, ModelNotTrusted

_CUSTOM_MEDIA_TYPE: Final = "application/octet-stream"


class Serializer(Protocol):
    """Writes a trained model to a file, and reads it. `servicekit.ml.trust` decides which files may be read."""

    @property
    def name(self) -> str:
        """What the metadata of models says: `skops`."""
        ...

    @property
    def suffix(self) -> str:
        """Of the files: `.skops`."""
        ...

    @property
    def media_type(self) -> str: ...

    @property
    def is_safe(self) -> bool:
        """Whether a file can be read even if somebody else has made it: nothing in it is run as code."""
        ...

    def prepare(self) -> Sequence[str]:
        """The modules that it needs, to be loaded before it is used. `MissingExtra` if one is not installed."""
        ...

    def dump(self, model: object, path: Path) -> None: ...

    def load(self, path: Path) -> object: ...


def check_serializer(serializer: Serializer) -> Serializer:
    """`ConfigurationError` if it is none, such as the class of one."""
    members = ("name", "suffix", "media_type", "is_safe", "prepare", "dump", "load")
    if isinstance(serializer, type) or not all(hasattr(serializer, each) for each in members):
        raise ConfigurationError("serializer", serializer, "an object such as Skops(), Json(), Pickle() or Custom(...)")
    return serializer


class Skops:
    """Models of scikit-learn and what is like them, in the format of skops. The default; it needs the extra `ml`.

    Only types that skops knows, and those that you name in `trusted`, are read. A training whose model has others
    fails with their names: look whether they are what you expect, and add them.
    """

    name = "skops"
    suffix = ".skops"
    media_type = "application/vnd.skops"
    is_safe = True

    def __init__(self, *, trusted: Sequence[str] = ()) -> None:
        if isinstance(trusted, str) or not all(isinstance(each, str) for each in trusted):
            raise ConfigurationError(
                "trusted", trusted, 'a list of names of types, such as ["sklearn.tree._tree.Tree"]'
            )
        self.trusted = tuple(trusted)

    def prepare(self) -> Sequence[str]:
        if find_spec("skops") is None:
            raise MissingExtra("The serializer Skops", "ml")
        return ["skops.io"]

    def dump(self, model: object, path: Path) -> None:
        _skops().dump(model, path)
        self._check_types(path)  # now, since the training has failed if no prediction can read its model

    def load(self, path: Path) -> object:
        self._check_types(path)
        return _skops().load(path, trusted=list(self.trusted))

    def _check_types(self, path: Path) -> None:
        unknown = sorted(set(_skops().get_untrusted_types(file=path)) - set(self.trusted))
        if unknown:
            raise ModelNotTrusted(
                f"The model has types that skops does not read unless you trust them: {', '.join(unknown)}. If they "
                f"are what you expect, write Model(serializer=Skops(trusted={sorted({*self.trusted, *unknown})}))."
            )


class Pickle:
    """Any model, by pickle. To read a pickle runs code that is in it.

    So it is used only if you ask for it, and reads only what a training of this service has made, never an upload.
    """

    name = "pickle"
    suffix = ".pickle"
    media_type = "application/vnd.python.pickle"
    is_safe = False

    def prepare(self) -> Sequence[str]:
        return []

    def dump(self, model: object, path: Path) -> None:
        with path.open("wb") as file:
            pickle.dump(model, file, protocol=5)

    def load(self, path: Path) -> object:
        with path.open("rb") as file:
            return pickle.load(file)


class Json:
    """Models that are JSON values, such as a dictionary of coefficients. It needs nothing but Python."""

    name = "json"
    suffix = ".json"
    media_type = "application/json"
    is_safe = True

    def prepare(self) -> Sequence[str]:
        return []

    def dump(self, model: object, path: Path) -> None:
        path.write_text(json.dumps(model, allow_nan=False), encoding="utf-8")

    def load(self, path: Path) -> object:
        return json.loads(path.read_bytes())


class Custom:
    """A pair of functions of your own: `dump(model, path)` writes the file, `load(path)` reads it.

    Only what a training of this service has made is read. Say `is_safe=True` if `load` runs nothing that is in the
    file, and uploaded models are welcome too.
    """

    name = "custom"

    def __init__(
        self,
        dump: Callable[[Any, Path], object],
        load: Callable[[Path], object],
        *,
        suffix: str = ".model",
        media_type: str = _CUSTOM_MEDIA_TYPE,
        is_safe: bool = False,
    ) -> None:
        for option, function in (("dump", dump), ("load", load)):
            if not callable(function):
                raise ConfigurationError(option, function, "a function")
        self._dump, self._load = dump, load
        self.suffix, self.media_type, self.is_safe = suffix, media_type, is_safe

    def prepare(self) -> Sequence[str]:
        return []  # what its functions need, their module has imported

    def dump(self, model: object, path: Path) -> None:
        self._dump(model, path)

    def load(self, path: Path) -> object:
        return self._load(path)


def _skops() -> Any:
    try:
        import skops.io
    except ImportError as error:
        raise MissingExtra("The serializer Skops", "ml") from error
    return skops.io
