"""What every place for artifacts promises, as tests for those who write one: an object store, a database server.

    BlobStoreContract      what every store of blobs promises
    ArtifactIndexContract  what every index promises

A class for each says how it is made: `create_store`, `create_index`. Both are called more than once with the same
folder: what was made with it shares its place, as processes do. `skips` names tests that are left out, each with the
reason. The tests need pytest: the extra `testing`.

What they hold a place to stands in `servicekit.artifacts.ports`.
"""

from servicekit.errors import MissingExtra

try:
    import pytest
except ModuleNotFoundError as error:
    raise MissingExtra("The suite for artifacts", "testing") from error

# pytest shows what an `assert` has compared only in modules that it knows before they are imported.
pytest.register_assert_rewrite("servicekit.testing.artifacts.blobs", "servicekit.testing.artifacts.index")

from servicekit.testing.artifacts.blobs import BlobStoreContract
from servicekit.testing.artifacts.index import ArtifactIndexContract

__all__ = ["ArtifactIndexContract", "BlobStoreContract"]
