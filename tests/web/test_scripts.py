"""The scripts of the page as texts: their types, and what must not be in them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from servicekit.web.assets import STATIC
from tests.needs import FRONTEND, needs

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(STATIC.glob("*.js"))


@needs("node", FRONTEND)
def test_the_types_of_the_scripts_are_right() -> None:
    command = [sys.executable, "-m", "tools.check_scripts"]
    checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert (checked.returncode, checked.stdout) == (0, ""), checked.stdout


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_checked_and_makes_no_markup_of_texts(script: Path) -> None:
    text = script.read_text()
    assert text.startswith("// @ts-check\n")
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\b|new Function", text
    )
    assert not re.search(r"https?://(?!www\.w3\.org/)", text)
