"""Machines of a network, each of them a network namespace of this one."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

MAIN_ADDRESS = "10.77.0.1"


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def can_be_made() -> bool:
    name = f"agentgym-{os.getpid()}-try"
    try:
        ip("netns", "add", name)
        ip("netns", "del", name)
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


needs_namespaces = pytest.mark.skipif(
    not can_be_made(), reason="network namespaces can be made by root only, with ip"
)


@dataclass
class Machine:
    """One of them.

    Attributes:
        name: Of its namespace.
        link: The end of its cable that is plugged into the main machine.
    """

    name: str
    link: str

    @property
    def prefix(self) -> list[str]:
        """What a command begins with that runs there."""
        return ["ip", "netns", "exec", self.name]

    def kill(self) -> None:
        """It loses its power: what runs there is gone at once."""
        listed = subprocess.run(
            ["ip", "netns", "pids", self.name],
            check=True,
            capture_output=True,
            text=True,
        )
        for pid in listed.stdout.split():
            os.kill(int(pid), 9)

    def plug(self, main: Machine, *, out: bool) -> None:
        """Pulls its cable, or plugs it in again."""
        state = "down" if out else "up"
        ip("-n", main.name, "link", "set", self.link, state)


@contextmanager
def network(count: int) -> Iterator[list[Machine]]:
    """The main machine at `MAIN_ADDRESS`, and others that reach nothing but it.

    Args:
        count: How many others.
    """
    label = f"agentgym-{os.getpid()}"
    made: list[Machine] = []
    try:
        for index in range(count + 1):
            machine = Machine(f"{label}-{index}", f"cable{index}")
            ip("netns", "add", machine.name)
            made.append(machine)
            ip("-n", machine.name, "link", "set", "lo", "up")
            if not index:
                ip("-n", machine.name, "addr", "add", f"{MAIN_ADDRESS}/32", "dev", "lo")
                continue
            main = made[0].name
            ends = ("peer", "name", "eth0", "netns", machine.name)
            link = ("link", "add", machine.link, "type", "veth")
            ip("-n", main, *link, *ends)
            here, there = f"10.77.{index}.1/24", f"10.77.{index}.2/24"
            ip("-n", main, "addr", "add", here, "dev", machine.link)
            ip("-n", main, "link", "set", machine.link, "up")
            ip("-n", machine.name, "addr", "add", there, "dev", "eth0")
            ip("-n", machine.name, "link", "set", "eth0", "up")
            gate = ("via", f"10.77.{index}.1")
            ip("-n", machine.name, "route", "add", MAIN_ADDRESS, *gate)
        yield made
    finally:
        for machine in made:
            machine.kill()
            ip("netns", "del", machine.name)
