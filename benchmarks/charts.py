"""Charts of what was measured: horizontal bars, one question each, as SVG that needs nothing else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from statistics import median
from typing import Any, Final

from benchmarks.figures import LIMIT, OURS, PEER, number_text

_LABELS: Final = {
    OURS: "servicekit",
    LIMIT: "the limit",
    PEER: "servicekit of PyPI",
    "huey": "Huey",
    "dbos": "DBOS",
    "persist_queue": "persist-queue",
    "procrastinate": "Procrastinate",
    "pgqueuer": "PgQueuer",
}
SERVED: Final = ("pgqueuer", "procrastinate")
_WIDTH, _LEFT, _RIGHT, _ROW, _TOP = 720, 170, 110, 34, 66
_STYLE: Final = """
    text { font: 14px system-ui, sans-serif; fill: #1f2328 }
    .title { font-weight: 600; font-size: 16px }
    .about { fill: #59636e; font-size: 13px }
    .bar { fill: #9aa4af }
    .ours { fill: #1f6feb }
    .limit { fill: none; stroke: #9aa4af; stroke-dasharray: 4 3 }
    @media (prefers-color-scheme: dark) {
        text { fill: #e6edf3 } .about { fill: #9198a1 } .bar { fill: #545d68 } .ours { fill: #4493f8 }
        .limit { fill: none; stroke: #7d8590 }
    }
"""


@dataclass(frozen=True)
class Question:
    file: str
    title: str
    figure: str
    about: str
    contestants: Sequence[str] = (OURS, LIMIT, PEER)


QUESTIONS: Final = (
    Question("http", "How many jobs does one process take over HTTP?", "no-ops accepted and completed over HTTP",
             "no-ops submitted and completed per second, in memory; longer is better"),
    Question("in-process", "What does a job cost?", "submit and run a no-op: CPU",
             "CPU for one no-op, in memory; shorter is better"),
    Question("durable", "And kept on a disk?", "whole durable no-ops, callers waiting: 50",
             "no-ops submitted, run and finished per second, each synced to the disk; longer is better",
             (OURS, LIMIT, "huey", "persist_queue", "dbos")),
    Question("event", "How soon does the browser know?", "finish to event at the client: median",
             "from the end of a job to the event at the client, median; shorter is better"),
    Question("busy", "Does the service stay quick?", "1,000 streams, 200 jobs/s: a trivial endpoint, p99",
             "a trivial endpoint beside 1,000 streams and 200 jobs a second, p99; shorter is better"),
    Question("idle", "What do ten thousand open pages cost?", "10,000 idle streams: CPU",
             "CPU of 10,000 streams on which nothing happens; shorter is better"),
    Question("process", "How soon does a process of its own start?", "from add_job to a process's first line: median",
             "from add_job to the first line of the target; the limit is multiprocessing; shorter is better",
             (OURS, LIMIT)),
    Question("postgres-submissions", "How many jobs does PostgreSQL accept?",
             "submissions to PostgreSQL, callers waiting: 50",
             "jobs submitted per second, each synced to the server's disk; the limit is pgbench; longer is better",
             (OURS, LIMIT, *SERVED)),
    Question("postgres-jobs", "How many does one process run there?", "whole no-ops in PostgreSQL",
             "no-ops submitted, run and finished per second; longer is better", (OURS, *SERVED)),
    Question("postgres-limit", "And with a limit over all processes?",
             "whole no-ops in PostgreSQL, of which 100 may run at once",
             "no-ops submitted, run and finished per second; Procrastinate has no such limit; longer is better",
             (OURS, *SERVED)),
)  # fmt: skip


def draw(question: Question, figure: Mapping[str, Any]) -> str:
    """The chart of a figure as the benchmarks' JSON has it. A contestant without a value is left out."""
    values = {name: value for name in question.contestants if (value := _value_of(figure, name)) is not None}
    longest = max(values.values())
    height = _TOP + _ROW * len(values) + 10
    rows = [
        _bar(name, value, str(figure["unit"]), value / longest, _TOP + _ROW * index)
        for index, (name, value) in enumerate(values.items())
    ]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" '
            f'height="{height}" role="img" aria-label="{escape(question.title)}">',
            f"<style>{_STYLE}</style>",
            f'<text class="title" x="10" y="26">{escape(question.title)}</text>',
            f'<text class="about" x="10" y="48">{escape(question.about)}</text>',
            *rows,
            "</svg>",
            "",
        ]
    )


def _value_of(figure: Mapping[str, Any], contestant: str) -> float | None:
    if contestant in (OURS, LIMIT, PEER):
        value: float | None = figure[contestant]
        return value
    rounds = figure["rounds"].get(contestant)
    return median(rounds) if rounds else None


def _bar(name: str, value: float, unit: str, share: float, y: int) -> str:
    width = max(2.0, share * (_WIDTH - _LEFT - _RIGHT))
    kind = {OURS: "bar ours", LIMIT: "bar limit"}.get(name, "bar")
    return (
        f'<text x="{_LEFT - 10}" y="{y + 17}" text-anchor="end">{escape(_LABELS[name])}</text>'
        f'<rect class="{kind}" x="{_LEFT}" y="{y}" width="{width:.1f}" height="24" rx="2"/>'
        f'<text x="{_LEFT + width + 8:.1f}" y="{y + 17}">{number_text(value)} {escape(unit)}</text>'
    )
