"""Print how the package is built: sizes of classes, ports, stores and functions, comments, private names, circles.

    python tools/structure.py [--check] [FOLDER]

FOLDER is where the package is, `src/servicekit` of this checkout if it is left out; so two commits can be compared.

`--check` prints only what breaks a rule of the package, and fails if there is anything:

- No class has more than 20 methods, except for `Scheduler`, which is all that users hold. A larger one has several
  duties, and nobody sees which methods belong together. The tests of a suite do not count.
- No part of a port has more than 8 members, so that a store or a runner can be written part by part. `JobStore` has all
  parts of a store.
- Modules do not import each other in a circle, not even for types: each can be understood without the others.
- No package asks for the private names of another one.
"""

import argparse
import ast
import re
import sys
import tokenize
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from statistics import median, quantiles
from typing import NamedTuple

_MOST_METHODS = 20
_MOST_MEMBERS_OF_PORTS = 8
_LARGEST = 5
_LARGE = ("servicekit.engine.scheduler:Scheduler", "servicekit.ports.store:JobStore")
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
# What a sentence that gives a reason has in it, as a rule.
_REASON = re.compile(r"\b(since|because|so|else|would|could|can|cannot|must|may|might)\b", re.IGNORECASE)
_DIRECTIVE = re.compile(r"#\s*(noqa|type:|fmt:|mypy:|!)")
_PUBLIC = ("_asdict", "_fields", "_make", "_replace")  # of named tuples


class Function(NamedTuple):
    name: str
    lines: int


class Class(NamedTuple):
    name: str
    methods: int


class Module:
    """One file, parsed."""

    def __init__(self, path: Path, root: Path) -> None:
        self.path = path
        self.root = root
        parts = path.relative_to(root.parent).with_suffix("").parts
        self.name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        self.room = parts[1] if len(parts) > 2 else parts[-1]
        self.text = path.read_text(encoding="utf-8")
        self.tree = ast.parse(self.text)

    @property
    def lines(self) -> int:
        return self.text.count("\n")

    @cached_property
    def nodes(self) -> list[ast.AST]:
        return list(ast.walk(self.tree))

    def list_functions(self) -> Iterator[Function]:
        for node in self.nodes:
            if isinstance(node, _FUNCTIONS):
                yield Function(f"{self.name}:{node.name}", (node.end_lineno or node.lineno) - node.lineno + 1)

    def list_classes(self) -> Iterator[Class]:
        for node in self.nodes:
            if isinstance(node, ast.ClassDef):
                yield Class(f"{self.name}:{node.name}", sum(map(_is_method, node.body)))

    def list_comments(self) -> Iterator[str]:
        with self.path.open("rb") as file:
            for token in tokenize.tokenize(file.readline):
                if token.type == tokenize.COMMENT and not _DIRECTIVE.match(token.string):
                    yield token.string

    def list_imports(self) -> Iterator[str]:
        """Modules of the package that are imported anywhere in it, also for types alone."""
        for node in self.nodes:
            if isinstance(node, ast.ImportFrom):
                module = self._find_module(node)
                yield module
                yield from (f"{module}.{alias.name}" for alias in node.names)
            elif isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)

    def _find_module(self, node: ast.ImportFrom) -> str:
        """The full name of the module that is imported from; a relative one begins at the folder of this file."""
        if not node.level:
            return node.module or ""
        folders = self.path.relative_to(self.root.parent).parts[: -node.level]
        return ".".join([*folders, *filter(None, [node.module])])

    def list_own_names(self) -> Iterator[str]:
        """Names that are made here: functions, classes, variables, attributes of `self`."""
        for node in self.nodes:
            if isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
                yield node.name
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and _is_own(node.value):
                yield node.attr

    def list_private_uses(self) -> Iterator[str]:
        """Private names of other objects that are asked for here."""
        for node in self.nodes:
            if isinstance(node, ast.Attribute) and _is_private(node.attr) and not _is_own(node.value):
                yield node.attr
            elif isinstance(node, ast.ImportFrom) and self._find_module(node).startswith(self.root.name):
                yield from (alias.name for alias in node.names if _is_private(alias.name))


def _is_method(node: ast.stmt) -> bool:
    """Whether this makes the class larger. Each test of a suite stands by itself, however many there are."""
    return isinstance(node, _FUNCTIONS) and not node.name.startswith("test_")


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__") and name not in _PUBLIC


def _is_own(value: ast.expr) -> bool:
    return isinstance(value, ast.Name) and value.id in ("self", "cls")


def list_circles(modules: list[Module]) -> list[list[str]]:
    """The groups of modules of which each leads to each other by its imports."""
    names = {module.name for module in modules}
    imports = {module.name: {name for name in module.list_imports() if name in names} for module in modules}
    reached = {name: _reach(name, imports) for name in names}
    circles = {frozenset(each for each in reached[name] if name in reached[each]) for name in names}
    return sorted(sorted(circle) for circle in circles if len(circle) > 1)


def _reach(start: str, imports: dict[str, set[str]]) -> set[str]:
    reached: set[str] = set()
    waiting = [start]
    while waiting:
        new = imports[waiting.pop()] - reached
        reached |= new
        waiting += new
    return reached


def list_problems(root: Path) -> Iterator[str]:
    """What breaks a rule of the package, each in a sentence."""
    modules = _read_modules(root)
    for module in modules:
        is_port = module.room == "ports"
        most = _MOST_MEMBERS_OF_PORTS if is_port else _MOST_METHODS
        for name, methods in module.list_classes():
            if methods > most and name not in _LARGE:
                yield f"{name} has {methods} {'members' if is_port else 'methods'}, of at most {most}: divide it."
    for circle in list_circles(modules):
        yield f"These modules import each other in a circle: {_join(circle)}."
    for use in _list_foreign_private_uses(modules):
        yield f"A private name of another package is used: {use}."


def describe(root: Path) -> Iterator[str]:
    modules = _read_modules(root)
    yield f"modules {len(modules)}, lines {sum(module.lines for module in modules):,}"
    yield from _describe_classes(modules)
    yield f"lines of stores: {_join(_count_lines_of_stores(modules, root))}"
    yield from _describe_functions([each for module in modules for each in module.list_functions()])
    comments = [each for module in modules for each in module.list_comments()]
    reasons = sum(bool(_REASON.search(each)) for each in comments)
    yield f"lines of comments {len(comments)}, with a word of a reason {reasons}"
    uses = _list_foreign_private_uses(modules)
    yield f"private names of other rooms {len(uses)}: {_join(uses)}"
    circles = [" ".join(circle) for circle in list_circles(modules)]
    yield f"circles of imports {len(circles)}: {_join(circles)}"


def _read_modules(root: Path) -> list[Module]:
    return [Module(path, root) for path in sorted(root.rglob("*.py"))]


def _describe_classes(modules: list[Module]) -> Iterator[str]:
    classes = sorted((each for module in modules for each in module.list_classes()), key=lambda each: -each.methods)
    large = [f"{each.name} {each.methods}" for each in classes if each.methods > _MOST_METHODS]
    yield f"classes {len(classes)}; with more than {_MOST_METHODS} methods: {_join(large)}"
    ports = [each for module in modules if module.room == "ports" for each in module.list_classes()]
    yield f"methods of ports: {_join(f'{each.name} {each.methods}' for each in ports)}"


def _describe_functions(functions: list[Function]) -> Iterator[str]:
    lengths = [each.lines for each in functions]
    most = quantiles(lengths, n=10)[-1]
    yield f"functions {len(functions):,}: median {median(lengths):.0f} lines, 90th percentile {most:.0f}"
    longest = sorted(functions, key=lambda each: -each.lines)[:_LARGEST]
    yield f"longest functions: {_join(f'{each.name} {each.lines}' for each in longest)}"


def _count_lines_of_stores(modules: list[Module], root: Path) -> Iterator[str]:
    lines: Counter[str] = Counter()
    for module in modules:
        if module.room == "stores":
            lines[module.path.relative_to(root / "stores").parts[0]] += module.lines
    yield from (f"{name} {count:,}" for name, count in lines.items())


def _list_foreign_private_uses(modules: list[Module]) -> list[str]:
    made: dict[str, set[str]] = {}
    for module in modules:
        made.setdefault(module.room, set()).update(module.list_own_names())
    everything = set[str]().union(*made.values())
    return [
        f"{module.name} {name}"
        for module in modules
        for name in module.list_private_uses()
        if name in everything and name not in made[module.room]
    ]


def _join(texts: Iterable[str]) -> str:
    return ", ".join(texts) or "none"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).parents[1] / "src/servicekit")
    parser.add_argument(
        "--check", action="store_true", help="print only what breaks a rule, and fail if there is anything"
    )
    options = parser.parse_args()
    lines = list(list_problems(options.folder) if options.check else describe(options.folder))
    sys.stdout.writelines(f"{line}\n" for line in lines)
    return int(options.check and bool(lines))


if __name__ == "__main__":
    sys.exit(main())
