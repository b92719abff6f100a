"""The options of a scheduler: one class has their names, types and defaults; what type checkers read says the same."""

import inspect
from collections.abc import Callable
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_type_hints

import pytest

from servicekit import InMemoryScheduler, JobOptions, MissingExtra, RayCluster, Retention, create_scheduler
from servicekit.api import Jobs, ServiceBuilder
from servicekit.engine import factory, lifecycle
from servicekit.engine.factory import make_parts
from servicekit.engine.options import SchedulerOptionChanges, SchedulerOptions
from servicekit.engine.parts import SchedulerParts
from servicekit.errors import ConfigurationError
from servicekit.jobs.options import OptionChanges
from servicekit.testing import TestScheduler, running, use_test_scheduler

TAKES_OPTIONS = (
    create_scheduler, InMemoryScheduler, TestScheduler, Jobs, ServiceBuilder.with_jobs, use_test_scheduler, running,
)  # fmt: skip
INSTEAD_OF_A_TYPE = {"mask", "tags", "runner", "resources", "cluster"}
"""Options that are taken in more forms than one, and kept in one."""


def test_a_type_checker_is_told_every_option_of_a_scheduler_with_its_type() -> None:
    keywords, options = get_type_hints(SchedulerOptionChanges), get_type_hints(SchedulerOptions)
    assert [*keywords] == [each.name for each in fields(SchedulerOptions) if each.name != "max_concurrency"]
    for name, kept in keywords.items():
        expected = options[name] | None if name == "retention" else options[name]
        assert name in INSTEAD_OF_A_TYPE & {"cluster"} or kept == expected, name


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


def test_a_cluster_is_named_by_its_address_or_described() -> None:
    described = RayCluster("head:6379", runtime_env={"pip": ["xgboost"]})
    assert SchedulerOptions().changed({"cluster": described}).cluster is described
    for address in ("ray://head.example:10001", "ray://local", "10.0.0.1:6379", "ray://[::1]:10001"):
        assert SchedulerOptions().changed({"cluster": address}).cluster == RayCluster(address)


@pytest.mark.parametrize(
    ("values", "option"),
    [
        (("http://head:8265",), "cluster"),
        (("head",), "cluster"),
        (("ray://remote",), "cluster"),
        ((None,), "cluster"),
        (("head:6379", {"pip": {1, 2}}), "cluster.runtime_env"),
        (("head:6379", "pip"), "cluster.runtime_env"),
    ],
)
def test_a_cluster_that_cannot_be_is_refused(values: Any, option: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"^{option} must be"):
        RayCluster(*values)


def test_the_secrets_of_a_cluster_are_shown_nowhere() -> None:
    environment = {"env_vars": {"TOKEN": "hush"}}
    assert "hush" not in repr(SchedulerOptions().changed({"cluster": RayCluster("head:6379", environment)}))
    with pytest.raises(ConfigurationError) as refused:
        RayCluster("head:6379", {**environment, "odd": object()})
    assert "hush" not in str(refused.value)


def test_the_environment_says_which_cluster_there_is_if_nothing_else_does(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[RayCluster | None] = []

    def note(url: str, options: SchedulerOptions) -> SchedulerParts:
        found.append(options.cluster)
        return make_parts(url, SchedulerOptions())

    monkeypatch.setattr(factory, "make_parts", note)
    monkeypatch.setenv("SERVICEKIT_CLUSTER", "head:6379")
    create_scheduler("memory://")
    create_scheduler("memory://", cluster="other:6379")
    assert found == [RayCluster("head:6379"), RayCluster("other:6379")]
    monkeypatch.setenv("SERVICEKIT_CLUSTER", "no address")
    with pytest.raises(ConfigurationError, match=r"^SERVICEKIT_CLUSTER must be"):
        create_scheduler("memory://")


async def test_who_runs_jobs_on_a_cluster_needs_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "find_spec", lambda name: None if name == "ray" else find_spec(name))
    url = f"sqlite:///{tmp_path}/jobs.db"
    async with create_scheduler(url, cluster="head:6379", run_jobs=False):
        """Another process runs them."""
    with pytest.raises(MissingExtra, match=r"runner='ray' needs more.*\[ray\]"):
        await create_scheduler(url, cluster="head:6379").start()
    worker = create_scheduler(url, cluster="head:6379", run_jobs=False)
    worker.run_jobs()
    with pytest.raises(MissingExtra):
        await worker.start()
