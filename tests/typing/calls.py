"""Calls as a type checker sees them: nothing here is run, `mypy` reads it.

What is ignored must be an error: mypy complains of an ignore that nothing needs.
"""

import functools
from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar, assert_type

from fastapi import FastAPI
from pydantic import BaseModel

from servicekit import Command, InMemoryScheduler, JobRecord, Retry, create_scheduler, current_job, job_options
from servicekit.api import JobSubmitted, SchedulerDependency, ServiceBuilder, ServiceInfo, SubmitJob, SubmitJobSync
from servicekit.testing import TestScheduler

P = ParamSpec("P")
R = TypeVar("R")


class Model(BaseModel):
    name: str


async def train(model: Model, epochs: int = 3, *, rate: float = 0.1) -> str:
    return f"{model.name} {epochs} {rate}"


def count(words: list[str], least: int) -> int:
    return len(words) - least


def nothing() -> None: ...


@job_options(retry=Retry(attempts=3), queue="gpu")
async def with_options(number: int) -> None: ...


def logged(target: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
    @functools.wraps(target)
    async def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        return await target(*args, **kwargs)

    return wrapper


@logged
@job_options(name="decorated twice")
async def decorated(number: int, *, text: str) -> None: ...


class Trainer:
    def __init__(self, name: str) -> None: ...

    def __call__(self, number: int) -> None: ...

    async def train(self, number: int) -> None: ...

    @classmethod
    def of_class(cls, number: int) -> None: ...

    @staticmethod
    async def static(number: int) -> None: ...


async def variable(first: int, /, *rest: str, **more: float) -> None: ...


async def add_what_fits(scheduler: SchedulerDependency, model: Model, trainer: Trainer) -> None:
    assert_type(await scheduler.add_job(train, model), str)
    await scheduler.add_job(train, model, 5, rate=1)
    await scheduler.add_job(train, model=model, epochs=5)
    await scheduler.add_job(count, ["a"], least=1)
    await scheduler.add_job(nothing)
    await scheduler.add_job(with_options, 1)
    await scheduler.add_job(decorated, 1, text="x")
    await scheduler.add_job(trainer, 1)
    await scheduler.add_job(trainer.train, number=1)
    await scheduler.add_job(Trainer.of_class, 1)
    await scheduler.add_job(Trainer.static, 1)
    await scheduler.add_job(Trainer, "x")
    await scheduler.add_job(functools.partial(train, model), epochs=5)
    await scheduler.add_job(lambda: 3)
    await scheduler.add_job(variable, 1, "a", "b", weight=0.5)
    await scheduler.add_job(train(model))
    await scheduler.add_job(Command(["ls", "-l"]))
    await scheduler.with_options(tags=["nightly"], run_timeout=60).add_job(train, model)
    await scheduler.with_options(runner="process").add_job(count, ["a"], 1)


async def add_what_does_not_fit(scheduler: SchedulerDependency, model: Model, trainer: Trainer) -> None:
    await scheduler.add_job(train)  # type: ignore[call-overload]
    await scheduler.add_job(train, "model")  # type: ignore[call-overload]
    await scheduler.add_job(train, {"name": "x"})  # type: ignore[call-overload]
    await scheduler.add_job(train, model, "5")  # type: ignore[call-overload]
    await scheduler.add_job(train, model, 5, 0.1)  # type: ignore[call-overload]
    await scheduler.add_job(train, model, speed=1)  # type: ignore[call-arg]
    await scheduler.add_job(train, model, model=model)  # type: ignore[misc]
    await scheduler.add_job(count, ["a"])  # type: ignore[call-overload]
    await scheduler.add_job(count, "a", 1)  # type: ignore[call-overload]
    await scheduler.add_job(nothing, 1)  # type: ignore[call-overload]
    await scheduler.add_job(with_options, "1")  # type: ignore[call-overload]
    await scheduler.add_job(decorated, 1)  # type: ignore[call-overload]
    await scheduler.add_job(decorated, "1", text="x")  # type: ignore[arg-type]
    await scheduler.add_job(trainer, "1")  # type: ignore[call-overload]
    await scheduler.add_job(trainer.train)  # type: ignore[call-overload]
    await scheduler.add_job(Trainer.of_class, "1")  # type: ignore[call-overload]
    await scheduler.add_job(Trainer.static)  # type: ignore[call-overload]
    await scheduler.add_job(Trainer, 1)  # type: ignore[call-overload]
    await scheduler.add_job(lambda: 3, 1)  # type: ignore[call-overload]
    await scheduler.add_job(variable, 1, 2)  # type: ignore[call-overload]
    await scheduler.add_job(variable, 1, weight="heavy")  # type: ignore[arg-type]
    await scheduler.add_job(train(model), 5)  # type: ignore[call-overload]
    await scheduler.add_job(Command(["ls"]), "-l")  # type: ignore[call-overload]
    await scheduler.add_job("ls")  # type: ignore[call-overload]
    await scheduler.with_options(tags=["nightly"]).add_job(train, "model")  # type: ignore[call-overload]
    await scheduler.with_options(tags=3).add_job(train, model)  # type: ignore[arg-type]
    await scheduler.with_options(colour="red").add_job(train, model)  # type: ignore[call-arg]


async def submit_what_fits(submit: SubmitJob, model: Model, trainer: Trainer) -> None:
    assert_type(await submit(train, model), JobSubmitted)
    await submit(train, model, 5, rate=1)
    await submit(count, ["a"], least=1)
    await submit(with_options, 1)
    await submit(decorated, 1, text="x")
    await submit(trainer.train, number=1)
    await submit(train(model))
    await submit(Command("ls | wc -l", shell=True))
    await submit.with_options(priority=1)(train, model)
    await submit.with_options(priority=1).with_options(delay=60)(train, model=model)


def submit_from_a_plain_endpoint(submit: SubmitJobSync, model: Model, trainer: Trainer) -> None:
    assert_type(submit(train, model), JobSubmitted)
    assert_type(submit.earlier(), JobSubmitted | None)
    submit.with_options(priority=1)(count, ["a"], least=1)
    submit(train(model))
    submit(trainer.train, number=1)
    submit(train)  # type: ignore[call-overload]
    submit(train, "model")  # type: ignore[call-overload]
    submit.with_options(priority=1)(nothing, 1)  # type: ignore[call-overload]


async def ask_for_an_earlier_job(submit: SubmitJob) -> None:
    assert_type(await submit.earlier(), JobSubmitted | None)


async def submit_what_does_not_fit(submit: SubmitJob, model: Model, trainer: Trainer) -> None:
    await submit(train)  # type: ignore[call-overload]
    await submit(train, "model")  # type: ignore[call-overload]
    await submit(train, model, speed=1)  # type: ignore[call-arg]
    await submit(nothing, 1)  # type: ignore[call-overload]
    await submit(with_options, "1")  # type: ignore[call-overload]
    await submit(decorated, 1)  # type: ignore[call-overload]
    await submit(trainer.train, "1")  # type: ignore[call-overload]
    await submit(train(model), 5)  # type: ignore[call-overload]
    await submit(Command(["ls"]), "-l")  # type: ignore[call-overload]
    await submit.with_options(priority=1)(train)  # type: ignore[call-overload]
    await submit.with_options(priority="high")(train, model)  # type: ignore[arg-type]


app = FastAPI()


@app.post("/train", status_code=202)
async def endpoint(model: Model, submit: SubmitJob) -> JobSubmitted:
    submitted = await submit(train, model, epochs=5)
    return submitted.with_message(f"Job submitted with {model.name}. Stream real-time status...")


def submit_from_a_thread(model: Model, trainer: Trainer) -> None:
    job = current_job()
    assert_type(job.submit(train, model), str)
    job.submit(train, model=model, epochs=5)
    job.submit(count, ["a"], least=1)
    job.submit(trainer.train, number=1)
    job.submit(train(model))
    job.submit(Command(["ls", "-l"]))
    assert_type(job.with_options(queue="gpu", metadata={"order": 17}).submit(train, model), str)
    job.submit(train)  # type: ignore[call-overload]
    job.submit(train, "model")  # type: ignore[call-overload]
    job.submit(train, model, speed=1)  # type: ignore[call-arg]
    job.with_options(colour="red")  # type: ignore[call-arg]
    job.with_options(metadata=[1])  # type: ignore[arg-type]
    job.with_options(queue="gpu").submit(count, "a", 1)  # type: ignore[call-overload]


async def submit_from_a_coroutine(model: Model) -> None:
    job = current_job()
    assert_type(await job.submit_async(train, model), str)
    await job.with_options(queue="gpu").submit_async(count, ["a"], least=1)
    await job.submit_async(train, "model")  # type: ignore[call-overload]
    await job.submit(train, model)  # type: ignore[misc]
    job.take_lines()  # type: ignore[attr-defined]


async def read_back(scheduler: SchedulerDependency, job_id: str) -> None:
    assert_type(await scheduler.get_record(job_id), JobRecord)
    assert_type(await scheduler.retry(job_id), str)


def make_schedulers() -> None:
    create_scheduler("memory://", max_concurrency=3, queues={"gpu": 1, "io": None}, retention=None)
    create_scheduler(colour="red")  # type: ignore[call-arg]
    create_scheduler(max_threads="many")  # type: ignore[arg-type]
    InMemoryScheduler(3, shutdown_grace=0)
    InMemoryScheduler(url="memory://")  # type: ignore[call-arg]
    TestScheduler(3, url="memory://", capture_output=False)
    TestScheduler(max_pending="many")  # type: ignore[arg-type]
    builder = ServiceBuilder(info=ServiceInfo(display_name="Any"))
    builder.with_jobs(3, "memory://", preload=["json"], prefix="/jobs")
    builder.with_jobs(max_thread=3)  # type: ignore[call-arg]
