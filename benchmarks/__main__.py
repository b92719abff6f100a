"""`python -m benchmarks`: measure, print the table."""

import argparse
import json
import os
import platform
import sqlite3
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from benchmarks.against import checked_out
from benchmarks.cases import CASES
from benchmarks.contestants import CLIENTS_CORE, ContestantFailedError, Contestants, pin_to
from benchmarks.figures import Table
from benchmarks.peer import EMBEDDED, MODULES, SERVED, SERVICEKIT, find_available
from tools.postgres_server import ServerUnavailableError, find_programs


def main() -> None:
    options = parse_options()
    if not sys.platform.startswith("linux"):
        sys.exit("The benchmarks read /proc: they need Linux.")
    # Before the cores are divided, so that what is reported is what the machine has.
    environment = describe_environment()
    pin_to(CLIENTS_CORE)
    table = Table(judged=not options.quick)
    with checked_out(options.against) as older_source:
        contestants = find_contestants(options, older_source)
        try:
            for name in options.only or CASES:
                print(f"Measuring {name} ...", file=sys.stderr)
                table.figures.extend(
                    replace(figure, case=name) for figure in CASES[name](contestants, quick=options.quick)
                )
        except ContestantFailedError as error:
            sys.exit(str(error))
        finally:
            # A case that fails does not cost what was measured before it.
            report(environment, table, options)


def report(environment: dict[str, str], table: Table, options: argparse.Namespace) -> None:
    print("\n".join(f"{name}: {value}" for name, value in environment.items()), f"\n{table}", sep="\n")
    if options.json:
        answer = {"environment": environment, "quick": options.quick, "figures": table.as_json()}
        options.json.write_text(json.dumps(answer, indent=2, ensure_ascii=False) + "\n")


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure servicekit beside its peer.")
    parser.add_argument("--only", action="append", choices=CASES, metavar="NAME", help=f"one of {', '.join(CASES)}")
    parser.add_argument("--quick", action="store_true", help="small numbers, some minutes: shows that all of it runs")
    parser.add_argument("--without-peer", action="store_true", help="ours and the limit only")
    parser.add_argument("--against", metavar="COMMIT", help="measure ours as it was at this commit, too")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    return parser.parse_args()


def find_contestants(options: argparse.Namespace, older_source: Path | None) -> Contestants:
    """Ours, the limit, and the peers. A quick run does not install them."""
    if options.without_peer:
        return Contestants(None, older_source=older_source)
    peer = dict(find_available((SERVICEKIT,), create=not options.quick))
    embedded = dict(find_available(EMBEDDED, create=not options.quick))
    modules = dict(find_available((MODULES,), create=not options.quick))
    served = dict(find_available(SERVED, create=not options.quick))
    return Contestants(peer.get(SERVICEKIT.name), embedded, older_source, modules.get(MODULES.name), served)


def describe_environment() -> dict[str, str]:
    models = (line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name"))
    packages = ("fastapi", "starlette", "uvicorn", "uvloop", "httptools", "pydantic")
    return {
        "cpu": f"{next(models, 'unknown').partition(':')[2].strip()}, {os.cpu_count()} cores",
        "load before": " ".join(f"{load:.2f}" for load in os.getloadavg()),
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": ", ".join(f"{name} {version(name)}" for name in packages),
        "sqlite": sqlite3.sqlite_version,
        "postgres": describe_server(),
        "commit": describe_commit(),
        "peers": ", ".join(peer.requirement for peer in (SERVICEKIT, MODULES, *EMBEDDED, *SERVED)),
    }


def describe_server() -> str:
    """The server that cases start; psycopg is what ours talks to it with."""
    try:
        programs = find_programs()
    except ServerUnavailableError:
        return "none"
    answer = subprocess.run([programs / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    return f"{answer.split()[2]}, psycopg {version('psycopg')}"


def describe_commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--abbrev=10"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


if __name__ == "__main__":
    main()
