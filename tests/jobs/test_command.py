"""What a command may be."""

from typing import Any

import pytest

from servicekit import Command, ConfigurationError


@pytest.mark.parametrize(
    ("argv", "options", "wrong"),
    [
        ([], {}, "argv"),
        ([""], {}, "argv"),
        ("ls", {}, "argv"),
        (["ls", 1], {}, "argv"),
        (["ls", "\0"], {}, "argv"),
        (["ls", "-l"], {"shell": True}, "argv"),
        ("", {"shell": True}, "argv"),
        (["ls"], {"cwd": "a\0b"}, "cwd"),
        (["ls"], {"env": {"": "x"}}, "env"),
        (["ls"], {"env": {"A=B": "x"}}, "env"),
        (["ls"], {"env": {"A": "\0"}}, "env"),
        (["ls"], {"env": {"A": 1}}, "env"),
        (["ls"], {"env": {1: "x"}}, "env"),
        (["ls"], {"stdin": b"bytes"}, "stdin"),
    ],
)
def test_what_no_system_could_start_is_refused_at_once(argv: Any, options: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Command(argv, **options)
    assert refused.value.option == wrong


def test_what_a_system_can_start_is_taken() -> None:
    command = Command(["ls", ""], cwd="/tmp", env={"A": "x=y", "ü": ""}, stdin="")
    assert command.list_arguments() == ["ls", ""]
    assert command.cwd == "/tmp"
    assert Command("ls | wc", shell=True).list_arguments() == ["/bin/sh", "-c", "ls | wc"]
