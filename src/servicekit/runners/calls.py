"""A call on its way into a process of its own, pickled.

The module of the program's own file is called `__main__` in the service, and has its own name in other processes. What
is pickled as part of `__main__` is looked for under that name. The way back is in `outcomes`, since the service must
not unpickle what a job's process says.
"""

import io
import os
import pickle
from functools import partial
from types import MethodType
from typing import Any, Final

from servicekit.errors import InvalidArguments, InvalidTarget, TargetUnavailable
from servicekit.jobs import restartable
from servicekit.jobs.outcome import describe_error
from servicekit.jobs.references import name_of_main
from servicekit.jobs.submission import CallDescription, Submission, name_argument

LOADING: Final = "SERVICEKIT_IS_LOADING"
"""The variable of the environment that is set in a job's process while it imports the target."""
_MAIN: Final = "__main__"


def check_isolatable(target: object) -> None:
    """`InvalidTarget`, with the reason, if a process of its own could not find this target.

    `check_sendable` looks at the arguments.
    """
    obstacle = _find_obstacle(target)
    if obstacle is not None:
        sentence = f"a process of its own cannot import it: {obstacle}. Define it at the top level of a module."
        raise InvalidTarget(target, sentence)


def refuse_while_loading(target: object) -> None:
    """`InvalidTarget` while this job's process imports its target: each process would start the next one, for ever."""
    if LOADING in os.environ:
        sentence = "this is the process of such a job, which is still importing its program. Begin the part that "
        raise InvalidTarget(target, sentence + "starts the program with `if __name__ == '__main__':`.")


def _find_obstacle(target: object) -> str | None:
    if _module_of(target) == _MAIN and name_of_main() in (None, _MAIN):
        return "it is part of a program that is no module, such as `python folder/`, an archive or a session"
    try:
        pickle.dumps(target)
    except BaseException as error:  # pickling may run the user's code
        return describe_error(error)
    return None


def _module_of(target: object) -> object:
    while isinstance(target, partial):
        target = target.func
    return getattr(target.__func__ if type(target) is MethodType else target, "__module__", None)


def check_sendable(submission: Submission) -> None:
    """`InvalidArguments`, which names the argument, if it cannot be sent to a process of its own."""
    if isinstance(restartable.describe_call(submission), CallDescription):
        return
    arguments: list[tuple[int | str, object]] = [*enumerate(submission.args), *submission.kwargs.items()]
    for key, value in arguments:
        try:
            # With a callback for buffers, large data such as an array is not copied.
            pickle.dumps(value, protocol=5, buffer_callback=lambda _: None)
        except BaseException as error:  # pickling may run the user's code, and must not end the event loop
            reason = f"it cannot be sent to a process of its own: {describe_error(error)}"
            raise InvalidArguments(submission.name, name_argument(submission.target, key), reason) from error


def dump_call(submission: Submission) -> bytes:
    """Pickle the target and its arguments. `pickle.PicklingError` if they cannot be pickled."""
    try:
        if isinstance(submission.description, CallDescription):
            return pickle.dumps((*submission.description,))
        return pickle.dumps((submission.target, submission.args, submission.kwargs))
    except BaseException as error:  # pickling may run the user's code, and must not end the event loop
        sentence = f"the arguments of {submission.name} cannot be sent to its process: {describe_error(error)}"
        raise pickle.PicklingError(sentence) from error


def load_call(data: bytes, main: str | None) -> Any:
    """Unpickle target and arguments in the job's process. `main` is the name of the program's own file there."""
    reader = _Unpickler(io.BytesIO(data))
    reader.aliases = {_MAIN: main} if main else {}
    call = reader.load()
    if len(call) == 3:
        return call
    try:
        return restartable.load_call(*call)
    except TargetUnavailable as error:  # the error of the import itself says more
        raise error.__cause__ or error from None


class _Unpickler(pickle.Unpickler):
    aliases: dict[str, str]

    def find_class(self, module_name: str, global_name: str) -> Any:
        return super().find_class(self.aliases.get(module_name, module_name), global_name)
