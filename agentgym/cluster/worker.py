"""A runner that stays: claims rollouts of a training elsewhere, and plays them.

`python -m agentgym.cluster.worker`, one process for each slot, in the project's folder.
Its settings are environment variables, as a container has them. SIGTERM lets it finish
what it plays; it claims nothing more, and ends.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping

from agentgym.errors import UsageError
from agentgym.exit_code import ExitCode

SETTINGS = {
    "AGENTGYM_GATEWAY": "address of the training's gateway, as http://host:8080",
    "AGL_KEY": "the gateway's key",
    "AGENTGYM_SCENARIOS": "what pytest collects (default: the current folder)",
    "AGENTGYM_IN_FLIGHT": "episodes at a time (default: 16)",
    "AGENTGYM_WAIT": "seconds to wait for a gateway at first (default: 60)",
}


def command(environment: Mapping[str, str]) -> list[str]:
    """The pytest process that plays.

    Args:
        environment: What the runner was started with.

    Raises:
        UsageError: A setting is missing, or no number.
    """
    gateway = environment.get("AGENTGYM_GATEWAY")
    if not gateway:
        raise UsageError(
            f"AGENTGYM_GATEWAY is not in the environment: "
            f"give the {SETTINGS['AGENTGYM_GATEWAY']}"
        )
    line = [sys.executable, "-m", "pytest", "--agentgym", "--train", "-q"]
    line += ["-p", "no:cacheprovider", f"--agentgym-gateway={gateway}"]
    if environment.get("PYTEST_DISABLE_PLUGIN_AUTOLOAD"):
        line += ["-p", "agentgym"]
    in_flight = _number(environment, "AGENTGYM_IN_FLIGHT", "16")
    line.append(f"--agentgym-concurrency={in_flight}")
    return [*line, *shlex.split(environment.get("AGENTGYM_SCENARIOS", ""))]


def patience(environment: Mapping[str, str]) -> float:
    """Seconds to wait for a gateway that does not answer.

    Raises:
        UsageError: It is no number.
    """
    return float(_number(environment, "AGENTGYM_WAIT", "60", least=0))


def _number(
    environment: Mapping[str, str], name: str, default: str, *, least: int = 1
) -> int:
    text = environment.get(name) or default
    if not (text.isascii() and text.isdigit() and int(text) >= least):
        raise UsageError(f"{name}={text}: give a whole number from {least}")
    return int(text)


def main() -> int:
    """Becomes the pytest process that plays; returns only where it cannot."""
    try:
        patience(os.environ)
        line = command(os.environ)
    except UsageError as exc:
        print(f"agentgym: {exc}", file=sys.stderr)
        return ExitCode.USAGE
    # No process in between: whoever stops this one stops the one that plays.
    return os.execv(line[0], line)  # noqa: S606 - its own Python


if __name__ == "__main__":
    raise SystemExit(main())
