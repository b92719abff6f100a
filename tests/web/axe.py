"""axe-core on a page: the rules of accessibility that it breaks. A test of it needs `FRONTEND`."""

from functools import cache
from typing import Any

from playwright.sync_api import Page

from tests.service import ROOT


@cache
def _read_script() -> str:
    return (ROOT / "tests/frontend/node_modules/axe-core/axe.min.js").read_text()


def find_violations(page: Page) -> list[str]:
    """Each broken rule, with the elements that break it."""
    page.evaluate(_read_script())
    found: dict[str, Any] = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{rule['id']}: {rule['help']}: {node['html'][:200]} {node['any'][:1]}"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]
