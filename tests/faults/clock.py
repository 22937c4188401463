"""A clock that jumps: for all processes of a project, and no other."""

from __future__ import annotations

import os
from pathlib import Path

DAY = 24 * 60 * 60.0

_SITE = '''
"""Python imports this before anything else: what tells the time says another one."""

import os
import time

_real = {name: getattr(time, name) for name in ("time", "gmtime", "localtime")}
_strftime = time.strftime


def _jumped():
    try:
        with open(os.environ["JUMPED"]) as file:
            return float(file.read() or 0)
    except (KeyError, OSError):
        return 0.0


def _time():
    return _real["time"]() + _jumped()


def _date(name):
    return lambda at=None: _real[name](_time() if at is None else at)


time.time = _time
time.time_ns = lambda: int(_time() * 1e9)
time.gmtime, time.localtime = _date("gmtime"), _date("localtime")
time.strftime = lambda form, at=None: _strftime(form, at or time.localtime())
'''


def jumping_clock(root: Path) -> dict[str, str]:
    """Makes the clock of a project's processes one that `jump` can set.

    Args:
        root: The project's folder.

    Returns:
        Variables of their environment.
    """
    folder = root / "clock"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(_SITE, encoding="utf-8")
    before = os.environ.get("PYTHONPATH", "")
    path = f"{folder}{os.pathsep}{before}" if before else str(folder)
    return {"PYTHONPATH": path, "JUMPED": str(folder / "seconds")}


def jump(root: Path, seconds: float) -> None:
    """Sets the clock of a project's processes.

    Args:
        root: The project's folder.
        seconds: How far it is from the real one.
    """
    (root / "clock" / "seconds").write_text(str(seconds), encoding="utf-8")
