"""What an option may be."""

from typing import Any

import pytest

from servicekit import ConfigurationError
from servicekit.jobs.option_texts import dump_options, load_options
from servicekit.jobs.options import DEFAULT_OPTIONS, JobOptions, changed
from servicekit.jobs.resources import Resources

options: Any = JobOptions
OPTIONS = ("name", "queue", "idempotency_key", "concurrency_key")


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize(
    "text",
    [
        "rapport n\u00a05",
        "東京\u3000支店",
        "\U0001f469\u200d\U0001f52c",
        "می\u200cخواهم",
        "10\u202fkm",
        "a b",
        "\ue000",
    ],
)
def test_names_of_any_language_are_texts(option: str, text: str) -> None:
    assert getattr(options(**{option: text}), option) == text
    assert options(tags=(text,)).tags == (text,)


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize(
    "text", ["", "a\nb", "a\0b", "\x1b[0m", "a\x85b", "a\u2028b", "a\u2029b", "\ud800", "\x7f", "x" * 201]
)
def test_what_breaks_lines_or_encodings_is_no_text(option: str, text: str) -> None:
    with pytest.raises(ConfigurationError, match=option):
        options(**{option: text})
    with pytest.raises(ConfigurationError, match="tags"):
        options(tags=(text,))


@pytest.mark.parametrize("name", [".", "..", "a/../b", "../a", "a/.", "a/./b"])
def test_a_name_of_a_queue_that_an_address_would_shorten_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="queue must be a text that can be part of an address"):
        options(queue=name)


@pytest.mark.parametrize("name", ["a/b", "...", "v1.2", "a/.b/c..", "/a//b/"])
def test_a_name_of_a_queue_may_have_slashes_and_dots(name: str) -> None:
    assert options(queue=name).queue == name


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ({}, Resources()),
        ({"cpus": 4.0, "gpus": 1}, Resources(cpus=4, gpus=1, memory_bytes=None)),
        ({"cpus": 0.25, "gpus": 0.5, "memory_bytes": 2**30}, Resources(cpus=0.25, gpus=0.5, memory_bytes=2**30)),
        (Resources(cpus=0), Resources(cpus=0, gpus=0)),
    ],
)
def test_resources_are_kept_as_they_were_given(given: Any, made: Resources) -> None:
    chosen = changed(DEFAULT_OPTIONS, {"runner": "ray", "resources": given})
    assert chosen.resources == made
    assert load_options(dump_options(chosen)) == chosen


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"disks": 1}, "not 'disks'"),
        ({"cpus": -1}, "resources.cpus"),
        ({"cpus": 0.00009}, "resources.cpus"),
        ({"cpus": True}, "resources.cpus"),
        ({"cpus": float("nan")}, "resources.cpus"),
        ({"gpus": "1"}, "resources.gpus"),
        ({"gpus": 1.5}, "resources.gpus"),
        ({"memory_bytes": 0}, "resources.memory_bytes"),
        ({"memory_bytes": 1e9}, "resources.memory_bytes"),
        (4, "resources must be"),
        ([("cpus", 4)], "resources must be"),
    ],
)
def test_resources_that_make_no_sense_are_refused(given: Any, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        options(resources=given)
