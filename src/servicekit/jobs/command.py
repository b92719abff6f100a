"""Commands: other programs, run as jobs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Final

from servicekit.errors import ConfigurationError

MAX_OUTPUT_BYTES: Final = 64 * 1024  # the result is held in memory; a program that writes more writes to a file

_HIDDEN: Final = "***"  # no error repeats the values of an environment


@dataclass(frozen=True, slots=True)
class Command:
    """A program with its arguments, as the target of a job: `add_job(Command(["ffmpeg", "-i", path]))`.

    The job completes when the program exits with 0. It fails if the program exits with another code, or by a signal.
    The result is `{"exit_code": 0, "output": "..."}` with the last 64 KiB of the program's standard output. Each line
    of its standard output and standard error is in the job's log. One kind of line is not: `::progress 12/30 halfway
    there` on standard output is the job's progress. It has how much is done, of how much if that is known, and a
    message if there is one. Many programs buffer their output if it goes to a pipe: they must flush it.

    A command that is canceled gets SIGTERM, and so does every program that it has started. It is killed after
    `kill_grace`. If it exits with 0 nevertheless, the job completes. When it ends, the programs that it has left behind
    are killed too, daemons included.

    Its environment also has `SERVICEKIT_JOB_ID` and `SERVICEKIT_ATTEMPT`.

    - `argv`: the program and its arguments, one text each. No shell reads them. A text from a user that begins with a
      dash can still be taken as an option: put `--` before it, or pass it by `stdin`.
    - `shell`: run the one text of `argv` by `/bin/sh -c`. Only for texts of your own.
    - `cwd`: the working directory; the service's own if `None`.
    - `env`: variables that are set in addition to those of the service.
    - `stdin`: the program's standard input; it is empty if `None`.
    """

    argv: Sequence[str] | str
    cwd: str | None = None
    env: Mapping[str, str] | None = field(default=None, repr=False)  # these two are where secrets are
    stdin: str | None = field(default=None, repr=False)
    shell: bool = False

    def __post_init__(self) -> None:
        argv = (self.argv,) if self.shell and isinstance(self.argv, str) else self.argv
        if isinstance(argv, str) or not isinstance(argv, Sequence) or not argv:
            raise ConfigurationError("argv", self.argv, "a list of texts, or one text with shell=True")
        argv = tuple(str(part) if isinstance(part, PurePath) else part for part in argv)
        for part in argv:
            _check(part, "argv", self.argv, "texts without NUL")
        if not argv[0] or (self.shell and len(argv) > 1):
            raise ConfigurationError(
                "argv", self.argv, "one text with shell=True, or a list that begins with a program"
            )
        object.__setattr__(self, "argv", argv)
        if self.cwd is not None:
            object.__setattr__(self, "cwd", str(self.cwd))
            _check(self.cwd, "cwd", self.cwd, "a path without NUL")
        for name, value in (self.env or {}).items():
            _check(name, "env", name, "a dictionary whose names are texts without NUL")
            _check(value, "env", {name: _HIDDEN}, "a dictionary of texts without NUL")
            if not name or "=" in name:
                raise ConfigurationError("env", name, "a dictionary whose names are no = or empty texts")
        if self.stdin is not None and not isinstance(self.stdin, str):
            raise ConfigurationError("stdin", type(self.stdin), "a text")

    def list_arguments(self) -> list[str]:
        """The arguments of the process to start, with the shell if one was asked for."""
        argv = [*self.argv]
        return ["/bin/sh", "-c", *argv] if self.shell else argv


def _check(text: object, option: str, value: object, expected: str) -> None:
    if not isinstance(text, str) or "\0" in text:
        raise ConfigurationError(option, value, expected)
