"""Several machines on one: network namespaces, each with a cable that can be pulled out of the switch.

with make_machines("a", "b") as network, run_postgres(hosts=[network.host]) as server:
    Member(server.url(database, host=network.host), machine=network.machines["a"])
    network.machines["a"].unplug()
"""

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from tests.needs import program
from tools.system_packages import find_program

_CLONE_NEWNET: Final = 0x40000000
# Ends what the tests leave behind when they are killed: their end of the pipe is closed then.
_GUARD: Final = 'read -r _; for name in "$@"; do ip netns del "$name" || ip link del "$name"; done 2>/dev/null'


class Machine(NamedTuple):
    """A network namespace of its own; whatever else there is, it shares with the others."""

    name: str
    host: str
    """Its address."""
    switch: str

    def command(self, *command: str) -> list[str]:
        """The command as one that runs on this machine."""
        return [program("ip"), "netns", "exec", self.name, *command]

    def unplug(self) -> None:
        """From now on no packet arrives, in either direction, and nobody is told."""
        _run("link", "set", self.port, "nomaster")

    def refuse(self, port: int) -> None:
        """From now on, all connections to this port are refused here, as if nobody listened there; also open ones."""
        program = shutil.which("nft", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
        if program is None:
            pytest.skip("there is no program `nft`")
        rule = f"tcp dport {port} reject with tcp reset"
        rules = f"table ip wall {{\nchain out {{\ntype filter hook output priority 0\n{rule}\n}}\n}}\n"
        subprocess.run(self.command(program, "-f", "-"), input=rules, text=True, check=True)

    def plug_in(self) -> None:
        _run("link", "set", self.port, "master", self.switch)

    @property
    def port(self) -> str:
        """Its cable's end at the switch."""
        return f"{self.name}p"

    def enter(self) -> None:
        """From now on, this process (which must have no other thread yet) runs on this machine."""
        libc = ctypes.CDLL(None, use_errno=True)
        with Path("/run/netns", self.name).open() as namespace:
            if libc.setns(namespace.fileno(), _CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")


class Network(NamedTuple):
    """Some machines, and this one, where the server is, at one switch."""

    host: str
    """The address of this machine."""
    machines: list[Machine]


@contextmanager
def make_machines(count: int = 2) -> Iterator[Network]:
    """Machines until the end of the block. The test is skipped by name where there is no right to make them."""
    program("ip")
    reason = find_obstacle()
    if reason is not None:
        pytest.skip(f"network namespaces cannot be made on this machine: {reason}")
    number = os.getpid() % 65_536
    prefix, switch = f"10.{number >> 8}.{number & 255}", f"sk{number}"
    machines = [Machine(f"{switch}m{each}", f"{prefix}.{each + 2}", switch) for each in range(count)]
    names: Sequence[str] = [*(machine.name for machine in machines), switch]
    guard = subprocess.Popen(["sh", "-c", _GUARD, "sh", *names], stdin=subprocess.PIPE, start_new_session=True)
    try:
        _run("link", "add", switch, "type", "bridge")
        _run("addr", "add", f"{prefix}.1/24", "dev", switch)
        _run("link", "set", switch, "up")
        for machine in machines:
            _add(machine)
        yield Network(f"{prefix}.1", machines)
    finally:
        guard.communicate()


def _add(machine: Machine) -> None:
    _run("netns", "add", machine.name)
    _run("link", "add", machine.port, "type", "veth", "peer", "name", "eth0", "netns", machine.name)
    _run("link", "set", machine.port, "master", machine.switch, "up")
    for arguments in (("addr", "add", f"{machine.host}/24", "dev", "eth0"), ("link", "set", "eth0", "up"),
                      ("link", "set", "lo", "up")):  # fmt: skip
        _run("-n", machine.name, *arguments)


def _run(*arguments: str) -> None:
    subprocess.run([program("ip"), *arguments], check=True, capture_output=True, text=True)


@cache
def find_obstacle() -> str | None:
    """Why no machines can be made, if so: containers often have no right to it."""
    if find_program("ip") is None:
        return "there is no program `ip`"
    name = f"sktry{os.getpid()}"
    try:
        _run("netns", "add", name)
        _run("-n", name, "link", "add", "switch", "type", "bridge")
        _run("-n", name, "link", "add", "cable", "type", "veth", "peer", "name", "end")
    except subprocess.CalledProcessError as error:
        return str(error.stderr).strip()
    finally:
        subprocess.run([program("ip"), "netns", "del", name], check=False, capture_output=True)
    return None
