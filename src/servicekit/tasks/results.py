"""The results of functions as artifacts."""

import asyncio
from inspect import signature
from typing import Any

from pydantic_core import from_json

from servicekit.api.state import Application
from servicekit.engine.result_hooks import EndedAttempt, ResultHook
from servicekit.jobs.current import RunningJob, current_job, running_job
from servicekit.jobs.results import show_result
from servicekit.tasks.catalog import CodeTasks
from servicekit.tasks.definitions import FunctionTask, tag_of
from servicekit.tasks.places import find_artifacts


class TaskResults(ResultHook):
    """Saves `{"task": {...}, "result": ...}` for functions with `artifact=True`, and for templates of clients."""

    def __init__(self, tasks: CodeTasks, app: Application) -> None:
        self._tasks = tasks
        self._app = app

    async def keep_result(self, attempt: EndedAttempt, result: Any) -> Any:
        job = running_job()
        found = None if job is None else self._find(attempt, job)
        artifacts = None if found is None else find_artifacts(self._app)
        if job is None or found is None or artifacts is None:
            return result
        name, task = found
        submission = job.submission
        values = signature(task.function).bind(*submission.args, **submission.kwargs).arguments
        document = {
            "task": {
                "name": name,
                "task_type": task.task_type,
                "command": task.command,
                "parameters": task.parameters.show(values),
            },
            "result": await asyncio.to_thread(_as_json, result),
        }
        saved = await artifacts.aio.save(document, kind="task_run", name=name)
        current_job().artifact(saved.id)
        return result

    def _find(self, attempt: EndedAttempt, job: RunningJob) -> tuple[str, FunctionTask] | None:
        """The name and the function of the task whose result is saved; `None` for every other job."""
        prefix = tag_of("")
        name = next((tag.removeprefix(prefix) for tag in attempt.tags if tag.startswith(prefix)), None)
        if name is None:
            return None
        target = job.submission.target
        functions = (task for task in self._tasks.values() if isinstance(task, FunctionTask))
        task = next((task for task in functions if task.function is target), None)
        if task is None or (task.name == name and not task.needs_artifacts):
            return None
        return name, task


def _as_json(result: object) -> object:
    return from_json(show_result(result))
