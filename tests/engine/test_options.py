"""The options of a scheduler: one class has their names, types and defaults; what type checkers read says the same."""

import inspect
from collections.abc import Callable
from dataclasses import fields
from types import NoneType
from typing import get_args, get_type_hints

import pytest

from servicekit import InMemoryScheduler, JobOptions, Retention, create_scheduler
from servicekit.api import Jobs, ServiceBuilder
from servicekit.engine.options import SchedulerOptionChanges, SchedulerOptions
from servicekit.errors import ConfigurationError
from servicekit.jobs.options import OptionChanges
from servicekit.testing import TestScheduler, running, use_test_scheduler

TAKES_OPTIONS = (
    create_scheduler, InMemoryScheduler, TestScheduler, Jobs, ServiceBuilder.with_jobs, use_test_scheduler, running,
)  # fmt: skip
INSTEAD_OF_A_TYPE = {"mask", "tags", "runner"}
"""Options of a job that are taken in more forms than one, and kept in one."""


def test_a_type_checker_is_told_every_option_of_a_scheduler_with_its_type() -> None:
    keywords, options = get_type_hints(SchedulerOptionChanges), get_type_hints(SchedulerOptions)
    assert [*keywords] == [each.name for each in fields(SchedulerOptions) if each.name != "max_concurrency"]
    for name, kept in keywords.items():
        assert kept == (options[name] | None if name == "retention" else options[name]), name


def test_a_type_checker_is_told_every_option_of_a_job_with_its_type() -> None:
    keywords, options = get_type_hints(OptionChanges), get_type_hints(JobOptions)
    assert [*keywords] == [each.name for each in fields(JobOptions) if each.repr]  # the others are internal
    for name, kept in keywords.items():
        assert name in INSTEAD_OF_A_TYPE or kept == options[name], name


@pytest.mark.parametrize("takes", TAKES_OPTIONS)
def test_whatever_makes_a_scheduler_takes_them(takes: Callable[..., object]) -> None:
    parameters = inspect.signature(takes).parameters.values()
    (keywords,) = (each.annotation for each in parameters if each.kind is inspect.Parameter.VAR_KEYWORD)
    assert get_args(keywords) == (SchedulerOptionChanges,)


def test_no_retention_is_the_one_that_is_the_default() -> None:
    assert NoneType in get_args(get_type_hints(SchedulerOptionChanges)["retention"])
    assert SchedulerOptions().changed({"retention": None}).retention == Retention()
    kept = SchedulerOptions(retention=Retention(max_count=3))
    assert kept.changed({"retention": None, "max_threads": 2}).retention == Retention(max_count=3)


def test_what_belongs_to_another_way_of_making_a_scheduler_is_not_offered_again() -> None:
    with pytest.raises(ConfigurationError, match=r"^There is no option 'url' here\. The options are capture_output"):
        InMemoryScheduler(url="memory://")  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("retention", 3, "retention must be a Retention, such as Retention(max_count=1_000)"),
        ("max_pending", -1, "max_pending must be"),
        ("max_threads", 0, "max_threads must be a whole number of at least 1"),
        ("queues", ["gpu"], "queues must be numbers by the names of queues"),
        ("preload", "pandas", "preload must be names of modules"),
        ("preload", None, "preload must be names of modules"),
        ("preload", ["pandas", 3], "preload must be names of modules"),
        ("hub", 5, "hub must be an EventHub, or None"),
        ("clock", 5, "clock must be an object with the methods of Clock, or None"),
        ("shutdown_grace", -1, "shutdown_grace must be"),
        (
            "max_thread",
            3,
            "There is no option 'max_thread'. Did you mean 'max_threads'? The options are capture_output",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_at_once(name: str, value: object, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        create_scheduler("memory://", **{name: value})  # type: ignore[arg-type]
    assert said in str(caught.value)
