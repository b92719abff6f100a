"""What every runner promises, as tests for those who write a runner."""

from servicekit.errors import MissingExtra

try:
    import pytest
except ModuleNotFoundError as error:
    raise MissingExtra("The suite for runners", "testing") from error

# pytest shows what an `assert` has compared only in modules that it knows before they are imported.
pytest.register_assert_rewrite("servicekit.testing.runners.contract", "servicekit.testing.runners.trial")
