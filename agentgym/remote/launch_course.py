"""The course of a launch: start there, watch, bring home, let go."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agentgym.errors import UsageError
from agentgym.exit_code import ExitCode
from agentgym.remote.bringing_home import Came, agent_names, bring_home
from agentgym.remote.launch_job import LaunchJob
from agentgym.remote.machine import ConnectionLost, RemoteFailure
from agentgym.remote.place import Place, say
from agentgym.remote.watching import LaunchWatch, LeftRunning

_NOT_HOME = (LeftRunning, ConnectionLost, RemoteFailure, OSError, KeyboardInterrupt)
_PAUSES = (1.0, 5.0, 15.0, 30.0, 60.0)
_LATEST = 8000
"""Bytes of what was said that are shown when somebody watches again."""


def launch(place: Place, job: LaunchJob) -> int:
    """Trains elsewhere, from beginning to end.

    Args:
        place: Where.
        job: The training.

    Returns:
        The training's exit code.

    Raises:
        UsageError: It cannot be started there.
    """
    try:
        place.start(job)
    except KeyboardInterrupt:
        place.let_go()
        say(
            "interrupted before the training was known to run; agentgym launch "
            f"{place.attach} shows one that does"
        )
        return ExitCode.INTERRUPTED
    except (ConnectionLost, RemoteFailure) as error:
        place.let_go()
        raise UsageError(f"the training was not started: {error}") from error
    except BaseException:
        place.let_go()
        raise
    say(f"training {job.id} runs on {place.machine.name}")
    return _see_through(place, LaunchWatch(place.machine, job.id, say), job.files.root)


def attach(place: Place, root: Path) -> int:
    """Goes on with watching the latest launch of a project, and brings home.

    Args:
        place: Where it runs, or ran.
        root: The project's folder.

    Returns:
        The training's exit code.

    Raises:
        UsageError: Nothing of this project is there.
    """
    try:
        launches = place.look()["launches"]
        if not launches:
            raise UsageError(
                f"nothing of {root} was ever launched on {place.machine.name}"
            )
    except (ConnectionLost, RemoteFailure) as error:
        raise UsageError(str(error)) from error
    latest = launches[-1]
    watch = LaunchWatch(
        place.machine, latest["id"], say, max(latest["size"] - _LATEST, 0)
    )
    return _see_through(place, watch, root)


def _see_through(place: Place, watch: LaunchWatch, root: Path) -> int:
    """Watches a training to its end, and brings home what it has made."""
    try:
        ended = watch.to_the_end()
        came = _fetch(place, ended, root)
    except _NOT_HOME as error:
        why = f"{error}; " if str(error) else ""
        say(f"{why}{place.until}; go on with: agentgym launch {place.attach}")
        stopped = isinstance(error, LeftRunning | KeyboardInterrupt)
        return ExitCode.INTERRUPTED if stopped else ExitCode.CANNOT_JUDGE
    _say_what_came(came, root)
    place.let_go()
    code: int | None = ended["code"]
    if code is None:
        say(
            f"the training on {place.machine.name} has ended without an exit code: it "
            "was killed, or the machine was started again; the option --resume behind "
            "-- goes on with it"
        )
        return ExitCode.CANNOT_JUDGE
    return code


def _fetch(place: Place, ended: Mapping[str, Any], root: Path) -> Came:
    """Brings home, by as many tries as it takes in a while."""
    names, there = ended["names"], ended["project"]
    for pause in _PAUSES:
        try:
            return bring_home(place.machine, names, root, there)
        except ConnectionLost as error:
            say(f"{error}; trying again")
            time.sleep(pause)
    return bring_home(place.machine, names, root, there)


def _say_what_came(came: Came, root: Path) -> None:
    for note in came.notes:
        say(note)
    if not came.runs and not came.agents:
        say("the training has left no run and no agent there")
    for run in came.runs:
        say(f"brought home: the run {_shown(run, root)}")
    if came.agents:
        say(f"brought home: the agent {agent_names(came.agents)}")


def _shown(path: Path, root: Path) -> str:
    return shlex.quote(str(path.relative_to(root)))
