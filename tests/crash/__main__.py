"""`python -m tests.crash --seconds 600`: the crash test, for as long as one likes."""

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.crash.checks import check
from tests.crash.many_machines import prepare_storm
from tests.crash.storm import Storm, StormOfUploads


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--kills", type=int, help="end before that, after so many kills")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--uploads", action="store_true", help="many uploads and trainings at four services instead")
    parser.add_argument("--url", choices=["sqlite", "postgresql"], default="sqlite", help="where jobs are kept")
    parser.add_argument("--folder", type=Path, help="where to leave the files; else they are removed if all is well")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="crash-test-"))
    folder.mkdir(parents=True, exist_ok=True)
    print(f"seed {options.seed}, files in {folder}", flush=True)
    with ExitStack() as stack:
        if options.url == "postgresql":
            storm: Storm = stack.enter_context(prepare_storm(folder, options.seed))
        else:
            storm = (StormOfUploads if options.uploads else Storm)(folder, options.seed)
        asyncio.run(storm.rage(options.seconds, lambda: bool(options.kills) and storm.story.kills >= options.kills))
        findings = check(storm)
    for name, value in findings.figures.items():
        print(f"{name}: {value}")
    print(f"violations: {len(findings.problems)}")
    for problem in findings.problems[:100]:
        print(f"  {problem}")
    if findings.problems:
        sys.exit(1)
    if options.folder is None:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
