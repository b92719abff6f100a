"""A call on its way into a process of its own, and its outcome on the way back: both pickled.

The program's own file is called `__main__` by the service, and by its own name in other processes. What is pickled as
part of the one is looked for in the other.
"""

import io
import os
import pickle
from functools import partial
from types import MethodType
from typing import Any, Final

from servicekit.errors import InvalidTarget
from servicekit.jobs.outcome import Outcome, failure
from servicekit.jobs.references import name_of_main
from servicekit.jobs.submission import Submission

MAX_RESULT_BYTES: Final = 64 * 1024 * 1024
LOADING: Final = "SERVICEKIT_IS_LOADING"
"""The environment's variable that is set in the process of a job while it imports the target."""
_MAIN: Final = "__main__"


def check_isolatable(target: object) -> None:
    """`InvalidTarget`, with the reason, if a process of its own could not find this target.

    Whether its arguments can be sent there shows when it is run.
    """
    if LOADING in os.environ:  # and if that went on, each process would start the next without end
        sentence = "this is the process of such a job, which is still importing its program. Begin the part that "
        raise InvalidTarget(target, sentence + "starts the program with `if __name__ == '__main__':`.")
    obstacle = _find_obstacle(target)
    if obstacle is not None:
        sentence = f"a process of its own cannot import it: {obstacle}. Define it at the top level of a module."
        raise InvalidTarget(target, sentence)


def _find_obstacle(target: object) -> str | None:
    if _module_of(target) == _MAIN and name_of_main() is None:
        return "it is part of a program that is no module"
    try:
        pickle.dumps(target)
    except Exception as error:  # it can ask the user's code
        return _describe(error)
    return None


def _module_of(target: object) -> object:
    while isinstance(target, partial):
        target = target.func
    return getattr(target.__func__ if type(target) is MethodType else target, "__module__", None)


def dump_call(submission: Submission) -> bytes:
    """What is to be called, with its arguments. `pickle.PicklingError` if they cannot be written."""
    try:
        return pickle.dumps((submission.target, submission.args, submission.kwargs))
    except Exception as error:
        sentence = f"the arguments of {submission.name} cannot be sent to its process: {_describe(error)}"
        raise pickle.PicklingError(sentence) from error


def load_call(data: bytes, main: str | None) -> Any:
    """Target and arguments, in the job's process, which knows the program's own file as `main`."""
    return _load(data, {_MAIN: main} if main else {})


def dump_outcome(outcome: Outcome) -> bytes:
    """The outcome, or else that its result cannot be sent."""
    try:
        result = pickle.dumps(outcome.result)
    except Exception as error:
        sentence = f"the result cannot be sent from the job's process: {_describe(error)}"
        return dump_outcome(failure(pickle.PicklingError(sentence)))
    if len(result) > MAX_RESULT_BYTES:
        sentence = (
            f"the result is too big to be sent from the job's process: {len(result):,} bytes, of at most "
            f"{MAX_RESULT_BYTES:,}. Write it to a file, and return its path."
        )
        return dump_outcome(failure(ValueError(sentence)))
    return pickle.dumps((outcome._replace(result=None), result))


def load_outcome(data: bytes) -> Outcome | None:
    """The outcome, in the service; `None` if the process died before it had written all of it."""
    try:
        outcome: Outcome
        outcome, result = pickle.loads(data)
    except (EOFError, pickle.UnpicklingError):
        return None
    main = name_of_main()
    try:
        return outcome._replace(result=_load(result, {main: _MAIN} if main else {}))
    except Exception as error:  # it can ask the user's code
        sentence = f"the result of the job's process cannot be read: {_describe(error)}"
        return failure(pickle.UnpicklingError(sentence))


class _Unpickler(pickle.Unpickler):
    aliases: dict[str, str]

    def find_class(self, module_name: str, global_name: str) -> Any:
        return super().find_class(self.aliases.get(module_name, module_name), global_name)


def _load(data: bytes, aliases: dict[str, str]) -> Any:
    reader = _Unpickler(io.BytesIO(data))
    reader.aliases = aliases
    return reader.load()


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
