"""Puts runs into the documentation: `python -m benchmarks.publish bench.json`, or several files, one for each run.

The tables and the charts are made from the figures that the runs have written, and from nothing else. What is published
of other figures stays, with its own run; `--anew` removes it.
"""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.charts import QUESTIONS, draw
from benchmarks.figures import number_text

DOCS: Final = Path(__file__).parent.parent / "docs"
_COLUMNS: Final = ("ours", "before", "limit", "peer", "ours_to_before", "ours_to_limit", "ours_to_peer")
_TITLES: Final = ("ours", "before", "limit", "peer", "ours/before", "ours/limit", "ours/peer")

Run = Mapping[str, Any]


def publish(runs: Sequence[Run], docs: Path) -> None:
    """Write the runs, their charts, and a table of each into the page on benchmarks. No figure may be in two runs."""
    folder = docs / "benchmarks"
    folder.mkdir(exist_ok=True)
    (folder / "runs.json").write_text(json.dumps(runs, indent=1, ensure_ascii=False) + "\n")
    if len(_figures_of(runs)) < sum(len(run["figures"]) for run in runs):
        sys.exit("A figure is in more than one of the runs. Publish each case from one run.")
    page = docs / "benchmarks.md"
    text = page.read_text()
    for heading, is_on_postgres in (("## The last published run", False), ("### The last published run there", True)):
        parts = _describe_all([_part_of(run, is_on_postgres) for run in runs], folder)
        text = _put_below(heading, parts, text)
    page.write_text(text)


def _put_below(heading: str, parts: str, text: str) -> str:
    """The page with these parts between the heading and the next one."""
    return re.sub(rf"(?<={heading}\n\n).*?(?=\n## )", lambda _: parts, text, flags=re.DOTALL)


def keep_others(published: Sequence[Run], runs: Sequence[Run]) -> list[Run]:
    """The runs, and behind them of those that are published what the runs have not measured again."""
    measured = _figures_of(runs)
    kept = [{**run, "figures": [each for each in run["figures"] if each["name"] not in measured]} for run in published]
    return [*(run for run in kept if run["figures"]), *runs]


def _figures_of(runs: Sequence[Run]) -> dict[str, Any]:
    return {figure["name"]: figure for run in runs for figure in run["figures"]}


def _part_of(run: Run, is_on_postgres: bool) -> Run:
    """The run with the figures that are about PostgreSQL, or with the others."""
    return {
        **run,
        "figures": [
            each for each in run["figures"] if (each.get("case") or "").startswith("postgres-") == is_on_postgres
        ],
    }


def _describe_all(runs: Sequence[Run], folder: Path) -> str:
    """The charts, which are drawn into the folder, and then run by run."""
    figures = _figures_of(runs)
    drawn = [question for question in QUESTIONS if question.figure in figures]
    for question in drawn:
        (folder / f"{question.file}.svg").write_text(draw(question, figures[question.figure]))
    parts = [f"![{question.title}](benchmarks/{question.file}.svg)\n" for question in drawn]
    for run in runs:
        parts += [*describe(run), ""] if run["figures"] else []
    return "\n".join(parts or ["None is published yet.", ""])


def describe(run: Run) -> list[str]:
    """The machine and the versions, and the table."""
    about = [f"- {name}: {value}" for name, value in run["environment"].items()]
    columns = [index for index, key in enumerate(_COLUMNS) if any(figure.get(key) for figure in run["figures"])]
    titles = ["", "unit", *(_TITLES[index] for index in columns), "target", "met"]
    table = [_line(titles), _line(["---"] * len(titles)), *(_row(figure, columns) for figure in run["figures"])]
    notes = [f"- {figure['name']}: {figure['note']}" for figure in run["figures"] if figure["note"]]
    return [*about, "", *table, "", *notes]


def _row(figure: Mapping[str, Any], columns: list[int]) -> str:
    numbers = [number_text(figure.get(_COLUMNS[index])) for index in columns]
    met = {True: "yes", False: "no", None: ""}[figure["met"]]
    return _line([figure["name"], figure["unit"], *numbers, figure["target"] or "", met])


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def main() -> None:
    names = [name for name in sys.argv[1:] if name != "--anew"]
    runs = [json.loads(Path(name).read_text()) for name in names]
    published = json.loads((DOCS / "benchmarks" / "runs.json").read_text()) if "--anew" not in sys.argv else []
    publish(keep_others(published, runs), DOCS)


if __name__ == "__main__":
    main()
