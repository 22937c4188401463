"""What a training keeps, so that it can go on after it was killed.

`state.json` names the file with the tensors and is replaced atomically: whatever
happens, the two belong together, and to a version whose adapter is whole.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentgym.errors import UsageError
from agentgym.runs.files.store import write_json

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = 2
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(slots=True, kw_only=True)
class State:
    """How far a training is, over all its sessions.

    Attributes:
        version: The present policy version: the number of updates so far.
        episodes: Episodes played for training and validation.
        seconds: Time used so far, of all sessions.
        validated: Reliability on validation cases, by version.
        looked: Versions whose held-out reliability was measured.
        curriculum: State of the curriculum.
        zero_variance_batches: Batches in a row of zero-variance groups only.
        failing: Share of train episodes that failed in the first batch.
        judged: Models of judges and simulated users, by scenario.
        reserve: Seconds that the measurement at the end is expected to take.
        watched: What the signs of reward hacking are made of.
    """

    version: int = 0
    episodes: int = 0
    seconds: float = 0.0
    validated: dict[int, float] = field(default_factory=dict)
    looked: list[int] = field(default_factory=list)
    curriculum: dict[str, Any] = field(default_factory=dict)
    zero_variance_batches: int = 0
    failing: float = 0.0
    reserve: float = 0.0
    judged: dict[str, list[str]] = field(default_factory=dict)
    watched: dict[str, Any] = field(default_factory=dict)

    @property
    def best(self) -> int:
        """The version that did best in validation, the newest one of equals."""
        if not self.validated:
            return self.version
        return max(self.validated, key=lambda v: (self.validated[v], v))


class Checkpoint:
    """The state's files in a run's folder.

    Args:
        folder: The folder for them alone.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._state = folder / "state.json"

    def save(self, state: State, tensors: dict[str, Tensor] | None = None) -> None:
        """Writes the state, and the tensors if they are new since the last time.

        Args:
            state: How far the training is.
            tensors: Weights and optimizer state of the state's version, by name.
        """
        from safetensors.torch import save_file

        self._folder.mkdir(parents=True, exist_ok=True)
        name = f"tensors-{state.version}.safetensors"
        for pattern in (".tensors-*.part", "state.json.*.partial"):
            for part in self._folder.glob(pattern):
                part.unlink()  # of a run that was killed
        if tensors is not None:
            part = self._folder / f".{name}.{os.getpid()}.part"
            save_file({k: t.contiguous() for k, t in tensors.items()}, part)
            with part.open("rb") as file:
                os.fsync(file.fileno())
            part.replace(self._folder / name)
        write_json(self._state, {"format": FORMAT, "tensors": name, **asdict(state)})
        for old in self._folder.glob("tensors-*.safetensors"):
            if old.name != name:
                old.unlink(missing_ok=True)

    def check(self) -> None:
        """Checks the last state, if there is one, without loading its tensors.

        Raises:
            UsageError: It cannot be read.
        """
        self._read()

    def load(self) -> tuple[State, dict[str, Tensor]] | None:
        """The last state; None if there is none yet.

        Raises:
            UsageError: The files are damaged.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        kept = self._read()
        if kept is None:
            return None
        state, tensors = kept
        try:
            return state, load_file(tensors)
        except (OSError, SafetensorError) as error:
            raise self._unreadable(error) from error

    def _read(self) -> tuple[State, Path] | None:
        """The state, and the file of its tensors; None if there is none yet."""
        if not self._state.exists():
            return None
        try:
            kept: dict[str, Any] = json.loads(self._state.read_text(encoding="utf-8"))
            if kept.pop("format") != FORMAT:
                raise ValueError("another version of agentgym wrote it")
            tensors = self._folder / kept.pop("tensors")
            kept["validated"] = {int(v): r for v, r in kept["validated"].items()}
            return State(**kept), tensors
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> UsageError:
        return UsageError(
            f"the training in {self._folder.parent} cannot be resumed: {error}; "
            "start a new one"
        )


def no_room(error: Exception, run: Path) -> UsageError | None:
    """The error for a file that could not be written; None if it is something else.

    Args:
        error: Also one of a library that gives only the system's words.
        run: The training's folder.
    """
    if not any(os.strerror(number) in str(error) for number in _NO_ROOM):
        return None
    return UsageError(
        f"there is no room for the files of the training in {run} ({error}); make "
        "room, and go on with --agentgym-resume, or begin anew if it has kept nothing"
    )


@contextmanager
def room_for_files(run: Path) -> Iterator[None]:
    """Turns the error of a file for which there is no room into one that says so.

    Args:
        run: The training's folder.

    Raises:
        UsageError: There is no room.
    """
    try:
        yield
    except Exception as error:
        full = no_room(error, run)
        if full is None:
            raise
        raise full from error
