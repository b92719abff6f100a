"""The pictures of the documentation are those of the dashboard as it is."""

import re

import pytest

from tests.service import ROOT
from tests.web.pictures import DIGEST, FOLDER, MAX_BYTES, PICTURES, Picture, digest_of_scripts

_IMAGE = re.compile(r"!\[[^\]]+\]\((?:docs/)?pictures/([^)]+)\)")


def test_the_pictures_were_made_of_the_files_that_are_here() -> None:
    assert DIGEST.read_text().strip() == digest_of_scripts(), "The dashboard has changed since: run `make pictures`"


def test_the_documentation_shows_the_pictures_that_are_made_and_no_others() -> None:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    shown = {name for page in pages for name in _IMAGE.findall(page.read_text())}
    made = {f"{picture.name}.png" for picture in PICTURES}
    assert shown == made == {path.name for path in FOLDER.glob("*.png")}


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.name)
def test_a_picture_is_small(picture: Picture) -> None:
    assert (FOLDER / f"{picture.name}.png").stat().st_size < MAX_BYTES
