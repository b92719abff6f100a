#!/usr/bin/env python3
"""Plant faults one at a time, run the tests that should see them, and report those that live.

    nice -n 15 tools/plant_faults.py --count 50 --seed 1 --results plants.jsonl

A fault is a comparison the other way round, `and` for `or`, a `not` or an `await` left out, another number, a statement
that is not there. They are a sample of all that there could be, the same for the same seed. What was tried stands in
the file of results, and is not tried again by the next call. Everything happens in a copy of the tree.
"""

import argparse
import ast
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
PACKAGE: Final = "src/servicekit"

# What sees the faults of a room: the quickest first, since the first failure is enough.
TESTS: Final = {
    "jobs": [["tests/jobs"], ["tests/engine", "tests/stores/test_memory.py"], ["tests/runners", "tests/api"]],
    "engine": [["tests/engine"], ["tests/testing", "tests/stores/test_faults.py"], ["tests/api"]],
    "stores/memory": [["tests/stores/test_memory.py"], ["tests/stores/test_lives.py", "tests/engine"]],
    "stores/sqlite": [["tests/stores/test_sqlite.py"], ["tests/stores", "tests/engine"]],
    "runners": [["tests/runners"], ["tests/engine"]],
}
_MOST_SECONDS: Final = 600  # a test that hangs is ended by its own time limit long before

_FLIPPED: Final[dict[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip


@dataclass(frozen=True)
class Fault:
    """Other text for a part of a file."""

    path: str
    line: int
    column: int
    kind: str
    before: str
    after: str

    def plant(self, text: str) -> str:
        lines = text.splitlines(keepends=True)
        start = sum(map(len, lines[: self.line - 1])) + self.column
        assert text[start:].startswith(self.before)
        return text[:start] + self.after + text[start + len(self.before) :]


def find_faults(path: str, text: str) -> Iterator[Fault]:
    """All faults that could be planted in a file."""
    for node in _list_code(ast.parse(text)):
        for kind, changed in _change(node):
            before = ast.get_source_segment(text, node)
            if before is not None and text.isascii():  # columns are counted in bytes
                yield Fault(path, node.lineno, node.col_offset, kind, before, changed)


def _list_code(node: ast.AST) -> Iterator[ast.expr | ast.stmt]:
    """The expressions and statements that do something: no annotations, no imports, no text."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "bases", "type_params"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.expr | ast.stmt):
                yield child
            if isinstance(child, ast.AST) and not isinstance(child, ast.JoinedStr):
                yield from _list_code(child)


def _change(node: ast.expr | ast.stmt) -> Iterator[tuple[str, str]]:
    """The kinds of faults that a piece of code can have, and the code with them."""
    return _change_expression(node) if isinstance(node, ast.expr) else _change_statement(node)


def _change_expression(node: ast.expr) -> Iterator[tuple[str, str]]:
    match node:
        case ast.Compare(left, [operator], right):
            yield "comparison", f"({ast.unparse(ast.Compare(left, [_FLIPPED[type(operator)]()], right))})"
        case ast.BoolOp(operator, values):
            other = ast.Or() if isinstance(operator, ast.And) else ast.And()
            yield "and, or", f"({ast.unparse(ast.BoolOp(other, values))})"
        case ast.UnaryOp(ast.Not(), operand):
            yield "not", f"({ast.unparse(operand)})"
        case ast.Await(value):
            yield "await", f"({ast.unparse(value)})"
        case ast.Constant(bool(value)):
            yield "constant", repr(not value)
        case ast.Constant(int(value) | float(value)):
            yield "constant", repr(value + 1)
        case _:
            pass


def _change_statement(node: ast.stmt) -> Iterator[tuple[str, str]]:
    match node:
        case ast.Return(ast.expr() as value) if not _is_none(value):
            yield "return", "return None"
        case ast.Raise() | ast.Delete() | ast.AugAssign() | ast.Assign([ast.Attribute() | ast.Subscript()]):
            yield "statement", "pass"
        case ast.Expr(ast.Call() | ast.Await()) if "_log." not in ast.unparse(node):
            yield "statement", "pass"
        case _:
            pass


def _is_none(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is None


class Garden:
    """A copy of the tree, with one fault at a time."""

    def __init__(self, folder: Path, rooms: list[str], groups: int) -> None:
        self._folder = folder
        self._rooms = rooms
        self._groups = groups
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, folder / name)

    def list_faults(self) -> list[Fault]:
        files = [path for room in self._rooms for path in sorted((self._folder / PACKAGE / room).rglob("*.py"))]
        return [fault for path in files for fault in find_faults(str(path.relative_to(self._folder)), path.read_text())]

    def try_out(self, fault: Fault) -> str | None:
        """What has seen the fault, or `None` if nothing has."""
        file = self._folder / fault.path
        text = file.read_text()
        file.write_text(fault.plant(text))
        try:
            return next(filter(None, map(self.find_failure, _tests_of(fault.path)[: self._groups])), None)
        finally:
            file.write_text(text)

    def find_failure(self, tests: list[str]) -> str | None:
        """Run tests up to the first one that fails; its name, if there is one."""
        pytest = [sys.executable, "-m", "pytest", "-qx", "-p", "no:cacheprovider", "--timeout", "60", "--tb", "no"]
        # Another version of a file can have the same size and the same second, by which Python knows its bytecode.
        environment = {**os.environ, "PYTHONPATH": str(self._folder / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
        process = subprocess.Popen(
            [*pytest, *tests],
            cwd=self._folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True,
        )  # fmt: skip
        try:
            output = process.communicate(timeout=_MOST_SECONDS)[0]
        except subprocess.TimeoutExpired:
            output = ""
        finally:
            with suppress(ProcessLookupError):  # and what the tests have left behind
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if process.returncode == 0:
            return None
        failed = [line.split()[1] for line in output.splitlines() if line.startswith(("FAILED ", "ERROR "))]
        return failed[0] if failed else f"{' '.join(tests)} ended with {process.returncode}"


def _tests_of(path: str) -> list[list[str]]:
    room = next(room for room in TESTS if path.startswith(f"{PACKAGE}/{room}/"))
    return TESTS[room]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=50, help="how many faults there shall be in the results")
    parser.add_argument("--rooms", nargs="+", choices=TESTS, default=[*TESTS])
    parser.add_argument("--groups", type=int, default=9, help="of a room's tests run only the first groups")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--results", type=Path, default=Path("plants.jsonl"))
    parser.add_argument("--minutes", type=float, default=60.0, help="begin no other one after that")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what runs is ended, and the copy removed
    known = [json.loads(line) for line in options.results.read_text().splitlines()] if options.results.exists() else []
    tried = {Fault(**result["fault"]): result["seen_by"] for result in known}
    until = time.monotonic() + options.minutes * 60
    with TemporaryDirectory(prefix="faults-") as folder, options.results.open("a") as results:
        garden = Garden(Path(folder), options.rooms, options.groups)
        faults = garden.list_faults()
        sample = random.Random(options.seed).sample(faults, min(options.count, len(faults)))
        for fault in sample:
            if fault in tried or time.monotonic() > until:
                continue
            tried[fault] = garden.try_out(fault)
            results.write(json.dumps({"fault": asdict(fault), "seen_by": tried[fault]}) + "\n")
            results.flush()
            print(f"{fault.path}:{fault.line} {fault.kind}: {tried[fault] or 'LIVES'}", flush=True)
    report({fault: tried[fault] for fault in sample if fault in tried}, len(faults))
    return 0


def report(tried: dict[Fault, str | None], possible: int) -> None:
    alive = [fault for fault, seen_by in tried.items() if seen_by is None]
    print(f"\n{len(tried)} of {possible:,} faults planted: {len(tried) - len(alive)} were seen, {len(alive)} live.")
    for kind, count in Counter(fault.kind for fault in tried).items():
        print(f"  {kind}: {count}, of which {sum(fault.kind == kind for fault in alive)} live")
    for fault in alive:
        print(f"\n{fault.path}:{fault.line} {fault.kind}\n- {fault.before}\n+ {fault.after}")


if __name__ == "__main__":
    sys.exit(main())
