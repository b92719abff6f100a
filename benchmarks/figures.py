"""Figures: what was measured for each contestant, what is asked of it, and the table that shows both."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

OURS, BEFORE, LIMIT, PEER = "ours", "before", "limit", "peer"


@dataclass(frozen=True)
class Target:
    """A bound on our value, or on its ratio to another contestant's."""

    bound: float
    at_least: bool = False
    relative_to: str | None = None

    def __str__(self) -> str:
        sign = "≥" if self.at_least else "≤"
        return f"{sign} {self.bound:g}" + (f" × {self.relative_to}" if self.relative_to else "")

    def is_met_by(self, figure: "Figure") -> bool | None:
        """Whether it is; `None` if it cannot be told."""
        value = figure.ratio_to(self.relative_to) if self.relative_to else figure.value_of(OURS)
        if value is None:
            return None
        return value >= self.bound if self.at_least else value <= self.bound


@dataclass(frozen=True)
class Figure:
    """One row of the table: the rounds' values by contestant. A contestant that was not measured has none."""

    name: str
    unit: str
    rounds: Mapping[str, Sequence[float]]
    targets: tuple[Target, ...] = ()
    note: str = ""
    case: str = ""

    def value_of(self, contestant: str) -> float | None:
        """The median of the rounds."""
        values = self.rounds.get(contestant)
        return median(values) if values else None

    def ratio_to(self, contestant: str) -> float | None:
        """The median of the ratios within each round, since what disturbs a round disturbs both."""
        pairs = zip(self.rounds.get(OURS, ()), self.rounds.get(contestant, ()), strict=False)
        ratios = [ours / other for ours, other in pairs if other]
        return median(ratios) if ratios else None

    def is_met(self) -> bool | None:
        """Whether every target is met; `None` if there is none, or one of them cannot be told."""
        answers = [target.is_met_by(self) for target in self.targets]
        if False in answers:
            return False
        return None if None in answers or not answers else True

    def as_json(self) -> dict[str, object]:
        return {
            "case": self.case or None,
            "name": self.name,
            "unit": self.unit,
            "ours": self.value_of(OURS),
            "before": self.value_of(BEFORE),
            "limit": self.value_of(LIMIT),
            "peer": self.value_of(PEER),
            "ours_to_before": self.ratio_to(BEFORE),
            "ours_to_limit": self.ratio_to(LIMIT),
            "ours_to_peer": self.ratio_to(PEER),
            "target": " and ".join(map(str, self.targets)) or None,
            "met": self.is_met(),
            "note": self.note or None,
            "rounds": self.rounds,
        }


@dataclass
class Table:
    """The rows in the order of their arrival, as text or as JSON."""

    judged: bool
    figures: list[Figure] = field(default_factory=list)

    def __str__(self) -> str:
        header = ("", "unit", *self._others, *(f"ours/{other}" for other in self._others[1:]), "target", "met")
        rows = [header, *map(self._row, self.figures)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
        rule = tuple("-" * width for width in widths)
        lines = (self._line(row, widths) for row in (rows[0], rule, *rows[1:]))
        notes = (f"{figure.name}: {figure.note}" for figure in self.figures if figure.note)
        return "\n".join([*lines, "", *notes]).rstrip()

    def as_json(self) -> list[dict[str, object]]:
        return [figure.as_json() | ({} if self.judged else {"met": None}) for figure in self.figures]

    @property
    def _others(self) -> tuple[str, ...]:
        """The contestants that have a column."""
        has_before = any(BEFORE in figure.rounds for figure in self.figures)
        return (OURS, BEFORE, LIMIT, PEER) if has_before else (OURS, LIMIT, PEER)

    def _row(self, figure: Figure) -> tuple[str, ...]:
        met = {True: "yes", False: "NO", None: "–"}[figure.is_met() if self.judged else None]
        values = (number_text(figure.value_of(contestant)) for contestant in self._others)
        ratios = (number_text(figure.ratio_to(contestant)) for contestant in self._others[1:])
        return (figure.name, figure.unit, *values, *ratios, ", ".join(map(str, figure.targets)), met)

    @staticmethod
    def _line(row: Sequence[str], widths: Sequence[int]) -> str:
        cells = (
            cell.rjust(width) if 2 <= column < len(row) - 2 else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        return "| " + " | ".join(cells) + " |"


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least `percent` of all do not exceed."""
    ordered = sorted(values)
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(int(rank) - 1, 0)]


def number_text(value: float | None) -> str:
    """Three digits of it, or all before the point."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:#.3g}".rstrip(".")
