"""Whether an option's value has misled pytest's search for its rootdir."""

from __future__ import annotations

from pathlib import Path

import pytest

_PATHS = ("json", "report", "baseline")
"""Options whose values may be paths, without `--agentgym-`."""


def misled_rootdir(config: pytest.Config) -> str | None:
    """What to write instead, if pytest took an option's file for a file of tests.

    Pytest looks for its rootdir and its configuration before it knows the options of
    plugins: in `--agentgym-json FILE` the file, once it exists, seems to be where the
    tests are. The project's `pytest.ini` is then left out, and its runs are elsewhere.
    """
    here = config.invocation_params.dir
    given = config.args_source is pytest.Config.ArgsSource.ARGS
    above = config.inipath is not None and here.is_relative_to(config.rootpath)
    if given or above or config.option.rootdir:
        return None
    for name in _PATHS:
        value = config.getoption(f"agentgym_{name}")
        if value is None or value not in config.invocation_params.args:
            continue
        path = Path(here, value)
        if path.exists() and not path.resolve().is_relative_to(here.resolve()):
            return (
                f"the rootdir is {config.rootpath}, because pytest took {value} for "
                f"tests: write --agentgym-{name}={value}"
            )
    return None
