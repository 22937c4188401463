"""The exit codes of `pytest --agentgym` and of all commands: the only list of them."""

from __future__ import annotations

import argparse
import sys
from enum import IntEnum
from typing import NoReturn


class ExitCode(IntEnum):
    """What a process says at its end; those up to 5 mean what pytest's mean.

    Attributes:
        OK: The gate is met, or a command did what it was asked for.
        BELOW: The gate is not met, or a command found something to complain of.
        INTERRUPTED: The run was interrupted, or a file cannot be collected.
        INTERNAL: A fault of ours.
        USAGE: A mistake in an option, a file or a scenario.
        NOTHING: There is no scenario.
        CANNOT_JUDGE: Too little is known to judge the gate.
        PIPE: Nobody reads the output any more, as of a process that SIGPIPE ended.
    """

    OK = 0
    BELOW = 1
    INTERRUPTED = 2
    INTERNAL = 3
    USAGE = 4
    NOTHING = 5
    CANNOT_JUDGE = 6
    PIPE = 141


class UsageParser(argparse.ArgumentParser):
    """Ends with `ExitCode.USAGE` where argparse would end with 2."""

    def error(self, message: str) -> NoReturn:
        """Prints the usage and what is wrong with it."""
        self.print_usage(sys.stderr)
        self.exit(ExitCode.USAGE, f"{self.prog}: error: {message}\n")
