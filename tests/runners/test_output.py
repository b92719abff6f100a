import pytest

from servicekit.jobs.current import RunningJob
from servicekit.runners.output import OutputLog, OutputTail, ProgressReader
from servicekit.testing.stores.fakes import submission
from tests.fakes import QuietHost

TEXT = "one\n::progress 1/4 a quarter\r\ntwo ::progress 2/4\n::progressive\nthr\N{EURO SIGN}e\n::progress 3.5/4\n::prog"


@pytest.fixture
def job() -> RunningJob:
    return RunningJob(submission("a job"), 1, QuietHost())


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1_000])
def test_lines_and_progress_are_told_apart_however_they_are_cut(job: RunningJob, size: int) -> None:
    data = TEXT.encode()
    take = ProgressReader(job, OutputLog(job, "stdout", "info"))
    progress = []
    for start in range(0, len(data), size):
        take(data[start : start + size])
        progress.append(job.take_progress())
    take(b"")
    job.finish_log()
    assert [line.text for line in job.take_lines()] == [
        "one",
        "two ::progress 2/4",
        "::progressive",
        "thr\N{EURO SIGN}e",
        "::prog",
    ]
    told = [(each.done, each.total, each.message) for each in progress if each is not None]
    assert told[-1] == (3.5, 4, None)
    assert len(told) == 1 or told == [(1, 4, "a quarter"), (3.5, 4, None)]


def test_progress_that_nothing_ends_is_told_at_the_end(job: RunningJob) -> None:
    take = ProgressReader(job, OutputLog(job, "stdout", "info"))
    take(b"::progress 4")
    assert job.take_progress() is None
    take(b"")
    progress = job.take_progress()
    assert progress is not None
    assert progress.done == 4


def test_what_looks_like_progress_for_too_long_is_passed_on(job: RunningJob) -> None:
    passed: list[bytes] = []
    take = ProgressReader(job, passed.append)
    take(b"::progress " + b"x" * 5_000)
    assert len(passed) == 1


def test_a_tail_keeps_the_end_and_its_last_line() -> None:
    tail = OutputTail(10, lambda data: None)
    for number in range(1_000):
        tail(b"line %d\n" % number)
    tail(b" \n")
    assert tail.text == "ine 999\n \n"
    assert tail.last_line == "ine 999"


NODE = """/srv/train.js:1
throw new Error("no rows")
^

Error: ENOENT: no such file or directory, open 'rows.csv'
    at Object.openSync (node:fs:573:18)
    at Module._compile (node:internal/modules/cjs/loader:1521:14) {
  errno: -2,
  code: 'ENOENT'
}

Node.js v20.20.2
"""
JAVA = """Exception in thread "main" java.lang.RuntimeException: it failed
\tat Train.main(Train.java:3)
Caused by: java.io.IOException: no rows
\tat Train.read(Train.java:9)
\t... 1 more
"""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Error in train() : no rows\nCalls: main -> train\nExecution halted\n", "Error in train() : no rows"),
        (NODE, "Error: ENOENT: no such file or directory, open 'rows.csv'"),
        (JAVA, "Caused by: java.io.IOException: no rows"),
        ("Execution halted\n", "Execution halted"),
        ("Node.js v20.20.2\n", "Node.js v20.20.2"),
        (
            "usage: train\n  at least one row is needed, and there is none.\n  Look into the data.\n",
            "Look into the data.",
        ),
        (" \n\n", ""),
    ],
)
def test_the_last_line_says_what_is_wrong(text: str, said: str) -> None:
    tail = OutputTail(10_000, lambda _: None)
    tail(text.encode())
    assert tail.last_line == said
