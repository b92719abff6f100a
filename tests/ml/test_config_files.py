"""The file `config.yml`: each reader of JSON and of YAML finds the same in it."""

import importlib
import json

from hypothesis import example, given
from hypothesis import strategies as st

from servicekit.ml.command_files import write_config

_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
_values = st.recursive(
    st.none() | st.booleans() | _numbers | _texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_texts, inner, max_size=4),
    max_leaves=10,
)


@example({"a\u2028b": "\x7f\x85\ufeff", "small": 1e-9, "large": 1e22})
@given(st.dictionaries(_texts, _values, max_size=5))
def test_every_config_is_read_as_it_was(config: dict[str, object]) -> None:
    text = write_config(config)
    assert json.loads(text) == config
    assert importlib.import_module("yaml").safe_load(text) == config
