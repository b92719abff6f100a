"""The rules that `tools/structure.py` checks, on a small package that breaks each of them."""

from pathlib import Path

from tools.structure import list_problems

ROOT = Path(__file__).parents[1]


def write(root: Path, **texts: str) -> Path:
    for name, text in texts.items():
        path = root / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def write_class(name: str, methods: int) -> str:
    return f"class {name}:\n" + "".join(f"    def do_{number}(self): ...\n" for number in range(methods))


def test_the_package_keeps_its_rules() -> None:
    assert list(list_problems(ROOT / "src/servicekit")) == []


def test_a_class_with_too_many_methods_is_told(tmp_path: Path) -> None:
    root = write(tmp_path / "shop", engine__desk=write_class("Large", 21) + write_class("Fair", 20))
    assert list(list_problems(root)) == ["shop.engine.desk:Large has 21 methods, of at most 20: divide it."]


def test_the_tests_of_a_suite_do_not_count(tmp_path: Path) -> None:
    root = write(tmp_path / "shop", testing__suite=write_class("Suite", 21).replace("do_", "test_"))
    assert list(list_problems(root)) == []


def test_a_port_with_too_many_members_is_told(tmp_path: Path) -> None:
    root = write(tmp_path / "shop", ports__sales=write_class("Large", 9) + write_class("Fair", 8))
    assert list(list_problems(root)) == ["shop.ports.sales:Large has 9 members, of at most 8: divide it."]


def test_a_circle_is_told_whether_its_imports_are_absolute_or_relative(tmp_path: Path) -> None:
    root = write(
        tmp_path / "shop",
        engine__desk="from shop.engine import till",
        engine__till="from .purse import Purse",
        engine__purse="from ..engine.desk import Desk",
        engine__clerk="from .till import Till",
    )
    circle = "shop.engine.desk, shop.engine.purse, shop.engine.till"
    assert list(list_problems(root)) == [f"These modules import each other in a circle: {circle}."]


DESK = """
class Desk:
    def __init__(self):
        self._keys = []

    def look(self, other):
        return other._keys
"""
DOOR = """
from shop.engine.hidden import _hidden

def enter(desk):
    return desk._keys
"""


def test_a_private_name_of_another_package_is_told(tmp_path: Path) -> None:
    root = write(tmp_path / "shop", engine__desk=DESK, engine__hidden="_hidden = 1", api__door=DOOR)
    assert list(list_problems(root)) == [
        "A private name of another package is used: shop.api.door _hidden.",
        "A private name of another package is used: shop.api.door _keys.",
    ]
