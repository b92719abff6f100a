"""The faults that `tools/plant_faults.py` plants."""

import ast

import pytest

from tools.plant_faults import PACKAGE, ROOT, TESTS, find_faults

_CODE = '''
class Shop:
    """Sells."""

    limit: int = 3

    async def sell(self, count: int) -> str | None:
        if count < 1 and not self.is_open:
            raise ValueError("nothing")
        await self.wait()
        self.sold = count
        return None if count is None else str(count)
'''


def test_a_fault_is_other_code_in_one_place() -> None:
    faults = [(fault.line, fault.kind, fault.before, fault.after) for fault in find_faults("shop.py", _CODE)]
    assert faults == [
        (5, "constant", "3", "4"),
        (8, "and, or", "count < 1 and not self.is_open", "(count < 1 or not self.is_open)"),
        (8, "comparison", "count < 1", "(count <= 1)"),
        (8, "constant", "1", "2"),
        (8, "not", "not self.is_open", "(self.is_open)"),
        (9, "statement", 'raise ValueError("nothing")', "pass"),
        (10, "statement", "await self.wait()", "pass"),
        (10, "await", "await self.wait()", "(self.wait())"),
        (11, "statement", "self.sold = count", "pass"),
        (12, "return", "return None if count is None else str(count)", "return None"),
        (12, "comparison", "count is None", "(count is not None)"),
    ]


@pytest.mark.parametrize("room", TESTS)
def test_with_any_fault_the_code_is_still_code_and_there_are_tests_for_it(room: str) -> None:
    for path in sorted((ROOT / PACKAGE / room).rglob("*.py")):
        text = path.read_text()
        for fault in list(find_faults(str(path), text))[::25]:
            ast.parse(fault.plant(text))
            assert fault.plant(text) != text
    assert all((ROOT / test).exists() for tests in TESTS[room] for test in tests)
