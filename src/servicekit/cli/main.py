"""The `servicekit` command: it reads the command line, and tells errors in one sentence.

The modules of a command are imported when it runs, so that the help appears at once.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from servicekit.errors import ServicekitError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, and return the exit code: 0 after an orderly stop, 2 if the command could not be run."""
    options = _create_parser().parse_args(arguments)
    try:
        options.run(options)
    except ServicekitError as error:
        print(f"servicekit: {error}", file=sys.stderr)
        return 2
    return 0


def _create_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="servicekit", description="Tools for services made with servicekit.")
    parser.add_argument("--version", action=_ShowVersion, help="show the version of servicekit, and exit")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    worker = commands.add_parser(
        "worker",
        help="run the jobs of a service in a process of its own",
        description="Run the jobs that a service accepts, without its HTTP server. Start as many as you like: on the "
        "machine of the service, or on any machine if the jobs are kept in PostgreSQL. Each runs the application's "
        "start-up and shutdown. Ctrl-C or SIGTERM stops it in order, a second one at once.",
    )
    worker.add_argument("app", metavar="MODULE:APP", help="the application, as for uvicorn: service:app")
    worker.add_argument("--factory", action="store_true", help="APP is a function that makes the application")
    worker.add_argument("--app-dir", default=".", metavar="DIR", help="where to look for MODULE (default: here)")
    worker.add_argument("--max-concurrency", type=int, metavar="N", help="the most jobs that this process runs at once")
    worker.set_defaults(run=_run_worker)
    migrate = commands.add_parser(
        "migrate",
        help="make the tables of jobs in a PostgreSQL database, and bring them up to date",
        description="Make the tables of jobs in a PostgreSQL database, and bring them up to date. A service does that "
        "by itself when it starts, if its role may: this is for a role that owns the tables, before services start "
        "whose role may only read and write rows.",
    )
    migrate.add_argument("url", nargs="?", metavar="URL", help="postgresql://... (default: SERVICEKIT_JOBS_URL)")
    migrate.add_argument("--check", action="store_true", help="change nothing; exit with 2 unless a service can start")
    migrate.set_defaults(run=_run_migrate)
    move = commands.add_parser(
        "move",
        help="copy all jobs of a stopped service to another file or database",
        description="Copy all jobs, with their results, logs and schedules and the order of their events, to another "
        "file or database. Stop the service first, and its workers. Nothing is changed at SOURCE. A move that was "
        "interrupted goes on when the same command is run again; in the end all rows are compared, and only then a "
        "service can start with TARGET.",
    )
    move.add_argument("source", metavar="SOURCE", help="where the jobs are: sqlite:///jobs.db, say")
    move.add_argument("target", metavar="TARGET", help="a new file, or a database without jobs: postgresql://...")
    move.set_defaults(run=_run_move)
    return parser


def _run_worker(options: argparse.Namespace) -> None:
    from servicekit.cli.worker import run_worker

    run_worker(
        options.app, app_dir=options.app_dir, is_factory=options.factory, max_concurrency=options.max_concurrency
    )


def _run_migrate(options: argparse.Namespace) -> None:
    from servicekit.cli.migrate import run_migrate

    run_migrate(options.url, only_check=options.check)


def _run_move(options: argparse.Namespace) -> None:
    from servicekit.cli.move import run_move

    run_move(options.source, options.target)


class _ShowVersion(argparse.Action):
    def __init__(self, option_strings: Sequence[str], dest: str, **options: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, **options)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version  # late, since its import takes as long as all the rest

        print(f"servicekit {version('servicekit')}")
        parser.exit()
