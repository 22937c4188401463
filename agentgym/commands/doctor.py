"""The command `doctor`: what is installed, what it can do, what is missing."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
import textwrap
from collections.abc import Iterator
from importlib import metadata
from typing import TYPE_CHECKING, Any

from agentgym.distribution import DISTRIBUTION, __version__, install_command
from agentgym.errors import UsageError
from agentgym.exit_code import ExitCode
from agentgym.policy.engine.devices import nvidia_gpus

if TYPE_CHECKING:
    from packaging.requirements import Requirement

_OF_ALL = ("all", "frameworks")
"""Extras that are other extras together."""
_SHOWN = ("pytest", "pytest-xdist", "torch", "transformers", "agentlightning")
_TRAINING = (3, 12)
_WIDTH = 100


def doctor(options: argparse.Namespace) -> int:
    """Prints what was found; fails where something installed is of a wrong version."""
    needs = _requirements()
    print(f"agentgym {__version__}, Python {platform.python_version()}, {sys.prefix}")
    print(", ".join(f"{name} {_version(name) or 'missing'}" for name in _SHOWN))
    print(f"machine: {_machine()}\n")
    wrong = [text for each in needs.values() for text in _wrong(each)]
    missing = {extra: _missing(each) for extra, each in needs.items()}
    for what, extra in _ABILITIES:
        print(f"{what:42}{_ability(extra, missing.get(extra, []))}")
    print()
    for extra, names in sorted(missing.items()):
        if extra and extra not in _OF_ALL:
            state = f"missing {', '.join(names)}" if names else "installed"
            print(_line(f"extra {extra:16}{state}"))
    print(f"\nan extra is installed by: pip install '{DISTRIBUTION}[NAME]'")
    for text in dict.fromkeys(wrong):
        print(f"agentgym: {text}", file=sys.stderr)
    return ExitCode.BELOW if wrong else ExitCode.OK


_ABILITIES = (
    ("measure an agent", ""),
    ("measure with a local model", "policy"),
    ("train", "train"),
    ("judge(...) and simulated users", "judge"),
    ("the live panel", "live"),
)


def _ability(extra: str, missing: list[str]) -> str:
    if extra == "train" and sys.version_info < _TRAINING:
        return "no: training needs Python 3.12 or newer"
    if not missing:
        return "yes"
    return f"no: {install_command(extra)}" if extra else f"no: install {missing[0]}"


def _requirements() -> dict[str, list[Requirement]]:
    """What is needed, by extra; "" is what all need.

    Raises:
        UsageError: agentgym runs from a folder, and is not installed.
    """
    from packaging.requirements import Requirement

    try:
        texts = metadata.requires(DISTRIBUTION) or []
        extras = metadata.metadata(DISTRIBUTION).get_all("Provides-Extra") or []
    except metadata.PackageNotFoundError:
        raise UsageError(
            f"{DISTRIBUTION} is not installed in {sys.prefix}: run {install_command()}"
        ) from None
    needed: dict[str, list[Requirement]] = {"": [], **{extra: [] for extra in extras}}
    for requirement in map(Requirement, texts):
        marker = requirement.marker
        if marker is None or marker.evaluate({"extra": ""}):
            needed[""].append(requirement)
            continue
        for extra in extras:
            if marker.evaluate({"extra": extra}):
                needed[extra].append(requirement)
    # An extra may stand for others of the same distribution.
    for each in needed.values():
        for requirement in list(each):
            if requirement.name == DISTRIBUTION:
                each.remove(requirement)
                each += [need for inner in requirement.extras for need in needed[inner]]
    return needed


def _missing(requirements: list[Requirement]) -> list[str]:
    names = (each.name for each in requirements if _version(each.name) is None)
    return list(dict.fromkeys(names))


def _wrong(requirements: list[Requirement]) -> Iterator[str]:
    """What is installed, and too old or too new."""
    for each in requirements:
        found = _version(each.name)
        if found is not None and not each.specifier.contains(found, prereleases=True):
            wanted = f"{each.name}{each.specifier}"
            yield f"{each.name} {found} is installed, and {wanted} is needed: " + (
                f"run pip install '{wanted}'"
            )


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _machine() -> str:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    parts = [f"{cores or os.cpu_count()} CPU cores", _memory()]
    gpus = nvidia_gpus()
    parts.append(f"{gpus} NVIDIA GPUs" if gpus else "no NVIDIA GPU")
    vllm = shutil.which(os.environ.get("AGENTGYM_VLLM", "").strip() or "vllm")
    parts.append(f"vLLM at {vllm}" if vllm else "no vllm on the PATH")
    return ", ".join(filter(None, parts))


def _memory() -> str:
    try:
        size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return ""
    return f"{size / 2**30:.0f} GB of memory"


def _line(text: str) -> str:
    width = min(shutil.get_terminal_size().columns, _WIDTH)
    return textwrap.fill(
        text, width, subsequent_indent="    ", replace_whitespace=False
    )


def add_doctor_command(commands: Any) -> None:
    """Adds the command to the command line's parser."""
    command = commands.add_parser(
        "doctor",
        help="say what is installed, what can be done with it, and what is missing",
        description="Says what is installed, what can be done with it, and how to get "
        "what is missing.",
    )
    command.set_defaults(command=doctor)
