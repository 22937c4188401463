"""Finds an option's value that pytest took for a test path when it chose its root.

pytest chooses its root folder, and with it the settings file, before it knows the
options of plugins. The folder of a model would then be a test path, the root could be
`/`, and the project's own settings would not be read.
"""

from __future__ import annotations

from itertools import pairwise

import pytest


def check_root(config: pytest.Config) -> None:
    """Checks that the root folder is the project's.

    Raises:
        pytest.UsageError: It is not, as an option's value is a word of its own.
    """
    here, root = config.invocation_params.dir, config.rootpath
    known = config.known_args_namespace
    if root == here or known.rootdir:
        return
    asked_for = (here, *(here / name for name in known.file_or_dir))
    if config.inipath and any(at.is_relative_to(root) for at in asked_for):
        return
    for option, value in pairwise(map(str, config.invocation_params.args)):
        if not option.startswith("--agentgym-"):
            continue
        taken = getattr(known, option.removeprefix("--").replace("-", "_"), None)
        belongs = value in (taken if isinstance(taken, list) else [taken])
        if belongs and (here / value).exists():
            raise pytest.UsageError(
                f"pytest takes {value} for a test path, and {root} for the project's "
                f"folder: write {option}={value}"
            )
