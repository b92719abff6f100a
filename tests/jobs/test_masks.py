"""Masks in texts, and the names of what is masked."""

import pytest
from pydantic import TypeAdapter, ValidationError

from servicekit.errors import ConfigurationError
from servicekit.jobs.masks import MOST_SECRETS, NO_SECRETS, TextMask, check_mask
from servicekit.jobs.option_texts import dump_options, parse_options
from servicekit.jobs.options import DEFAULT_OPTIONS, JobOptions, changed
from servicekit.jobs.outcome import MAX_ERROR_CHARACTERS, clip


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("it is p\u00e4ss w'rd!", "it is ***!"),
        (f"{chr(34)}p\\u00e4ss w'rd{chr(34)}", f"{chr(34)}***{chr(34)}"),
        ("user:p%C3%A4ss%20w%27rd@host", "user:***@host"),
        ("p=p%C3%A4ss+w%27rd&", "p=***&"),
        ("p\u00e4ss", "p\u00e4ss"),
    ],
)
def test_a_secret_is_found_as_it_is_and_as_others_write_it(text: str, hidden: str) -> None:
    assert TextMask(["p\u00e4ss w'rd"]).hide(text) == hidden


def test_a_secret_of_several_lines_is_found_line_by_line() -> None:
    mask = TextMask(["-----BEGIN-----\nMIIE\nab\n"])
    assert mask.hide("MIIE") == mask.hide("-----BEGIN-----\nMIIE\nab") == "***"


def test_a_short_text_stands_for_itself() -> None:
    assert TextMask(["no"]).hide("no, not now") == "no, not now"
    assert NO_SECRETS.hide_in_clipped(clip("x" * 5_000, 1_000)) == clip("x" * 5_000, 1_000)


def test_the_longest_of_two_secrets_counts() -> None:
    assert TextMask(["pass", "password"]).hide("password pass") == "*** ***"


@pytest.mark.parametrize("before", range(470, 490))
def test_nothing_of_a_secret_is_left_where_a_text_was_cut(before: int) -> None:
    secret = "abcdefgh" * 200
    text = clip("x" * before + secret + "y" * before, MAX_ERROR_CHARACTERS)
    shown = TextMask([secret]).hide_in_clipped(text)
    assert "abcd" not in shown
    assert "characters in all" in shown


def test_nothing_of_a_secret_is_left_where_others_have_shortened_it() -> None:
    secret = "".join(chr(ord("a") + number % 26) + str(number) for number in range(40))
    with pytest.raises(ValidationError) as refused:
        TypeAdapter(list[int]).validate_python([secret, 1, secret])
    text = str(refused.value)
    assert text.count("...") == 2
    shown = TextMask([secret]).hide_in_clipped(text)
    assert shown.count("input_value='***...***'") == 2, shown


def test_a_secret_of_megabytes_is_found_where_it_begins_and_ends() -> None:
    secret = "".join(f"{number:07};" for number in range(500_000))
    shown = TextMask([secret]).hide_in_clipped(clip(f"bad: {secret}!", MAX_ERROR_CHARACTERS))
    assert shown.startswith("bad: ***\n...")
    assert shown.endswith("...\n***!")


def test_a_text_of_dots_costs_little() -> None:
    mask = TextMask([f"{number:05}" * 20 for number in range(MOST_SECRETS)])
    assert mask.hide_in_clipped("...x" * 4_000) == "...x" * 4_000


def test_many_secrets_have_a_bound() -> None:
    secrets = [f"secret {number:06}" for number in range(2 * MOST_SECRETS)]
    assert TextMask(secrets).hide(secrets[0]) == "***"
    assert TextMask(secrets).hide(secrets[-1]) == secrets[-1]


@pytest.mark.parametrize(
    "wrong", ["password", 1, None, [""], [1], ["a\nb"], ["x" * 201], [f"a{n}" for n in range(101)]]
)
def test_what_is_no_list_of_names_is_refused(wrong: object) -> None:
    with pytest.raises(ConfigurationError) as refused:
        check_mask("mask", wrong)
    assert refused.value.option == "mask"
    with pytest.raises(ConfigurationError):
        JobOptions(mask=wrong)  # type: ignore[arg-type]


def test_names_of_the_submission_are_added_to_those_of_the_target() -> None:
    options = changed(changed(DEFAULT_OPTIONS, {"mask": ["Pass-Word"]}), {"mask": {"token"}, "priority": 1})
    assert options.mask == ("pass_word", "token")
    assert changed(options, {"priority": 2}).mask == ("pass_word", "token")
    assert parse_options(dump_options(options)) == options
