"""The snippets are the guide's, all of them, and each is tested."""

import re
from pathlib import Path

from tests.guide.quoted import FOLDER, read_snippet
from tests.service import ROOT

GUIDE = ROOT.parent / "shared" / "job-scheduler-guide.md"
NAMES = {path.name for path in FOLDER.iterdir()}


def test_each_snippet_is_used_by_a_test() -> None:
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("*.py"))
    frontend = "".join(path.read_text() for path in (ROOT / "tests/frontend").glob("*.js*"))
    assert {name for name in NAMES if name not in tests + frontend} == set()


if GUIDE.exists():  # it lies beside the checkout only where the project itself is developed

    def test_the_snippets_are_verbatim_the_guides() -> None:
        blocks = set(re.findall(r"^```\w*\n(.*?)^```$", GUIDE.read_text(), flags=re.MULTILINE | re.DOTALL))
        assert {read_snippet(name) for name in NAMES} == blocks
