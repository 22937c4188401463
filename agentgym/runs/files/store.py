"""The files a run leaves: `.agentgym/runs/<id>/`."""

from __future__ import annotations

import errno
import json
import os
import secrets
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from agentgym.errors import UsageError
from agentgym.playing.episode import FORMAT, Episode
from agentgym.runs.files.episode_line import EpisodeLine
from agentgym.runs.files.held_folder import take
from agentgym.runs.files.layout import EPISODES, PROMPTS, RUNS, SUMMARY
from agentgym.runs.files.prompts import PromptFile
from agentgym.runs.files.shape import check_shape, loads

_ADVICE = {
    errno.ENOSPC: "free some space there",
    errno.EDQUOT: "free some space there",
    errno.EFBIG: "raise the limit on file sizes",
}
_MOST_NAMES = 100


class RunStore:
    """Writes a run's episodes as they finish, and its summary at the end.

    A folder that cannot be written or a full disk never stops a run: the store then
    closes, and `warning` says so.

    Args:
        root: The project's folder.
        resume: Folder of an earlier run to go on with.

    Attributes:
        id: UTC time and a few random digits.
        folder: The run's folder.
        stored: Episodes that are safely in the file.
        warning: One sentence if something could not be stored.
    """

    def __init__(self, root: Path, resume: Path | None = None) -> None:
        self.folder = resume or root / RUNS / _new_id()
        self.stored = 0
        self.warning: str | None = None
        self._file: int | None = None
        try:
            if resume is None:
                self._make_folder()
            else:
                _mend(resume)
            ignore = root / RUNS.parent / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n")
            self._file = os.open(
                self.episodes_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644
            )
            # While somebody holds it, the run is not over.
            take(self._file)
        except OSError as exc:
            self._give_up(exc)
        self.id = self.folder.name
        self._prompts = PromptFile(self.folder)

    @property
    def episodes_path(self) -> Path:
        """One JSON line per episode."""
        return self.folder / EPISODES

    def append(self, lines: Iterable[str]) -> None:
        """Adds episodes and hands them to the operating system at once."""
        if self._file is None:
            return
        data = b"".join(line.encode("utf-8", "replace") + b"\n" for line in lines)
        written = 0
        try:
            while written < len(data):
                written += os.write(self._file, data[written:])
        except OSError as exc:
            whole = data.rfind(b"\n", 0, written) + 1
            self.stored += data.count(b"\n", 0, whole)
            if written > whole:
                self._drop_tail(self._file, written - whole)
            self._give_up(exc)
        else:
            self.stored += data.count(b"\n")

    def add_prompts(self, prompts: Mapping[str, Any]) -> None:
        """Adds those that the run does not have yet.

        Args:
            prompts: What models were asked by, by digest.
        """
        if self._file is None or not prompts:
            return
        try:
            self._prompts.add(prompts)
        except OSError as exc:
            self._give_up(exc)

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Writes `summary.json`, atomically."""
        if self._file is None:
            return
        try:
            write_json(self.folder / SUMMARY, summary)
        except OSError as exc:
            self._give_up(exc)

    def close(self) -> None:
        """Closes the file."""
        file, self._file = self._file, None
        if file is not None:
            # Network file systems tell of a full disk only now; the warning, if any,
            # is given already.
            with suppress(OSError):
                os.close(file)

    def _make_folder(self) -> None:
        """Makes the run's folder; another one where there is one of this name."""
        for _ in range(_MOST_NAMES):
            try:
                self.folder.mkdir(parents=True)
            except FileExistsError:
                self.folder = self.folder.with_name(_new_id())
            else:
                return
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))

    def _drop_tail(self, file: int, size: int) -> None:
        """Removes half a line; readers leave it out where that fails, too."""
        with suppress(OSError):
            os.ftruncate(file, os.fstat(file).st_size - size)

    def _give_up(self, exc: OSError) -> None:
        self.close()
        what = (
            f"only the first {self.stored} episodes are"
            if self.stored
            else "nothing is"
        )
        advice = _ADVICE.get(exc.errno or 0, "run from a folder that can be written")
        self.warning = (
            f"{what} stored in {self.folder}: {exc.strerror or exc}; the report is "
            f"complete all the same; {advice}"
        )


def _new_id() -> str:
    """UTC time and a few random digits."""
    now = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    return f"{now}-{secrets.token_hex(2)}"


def _mend(folder: Path) -> None:
    """Removes what a killed run was writing, so that it can be gone on with."""
    for name in (EPISODES, PROMPTS):
        drop_cut_line(folder / name)
    for partial in folder.glob("*.partial"):
        partial.unlink(missing_ok=True)


def ended_early(runs: Path) -> Path | None:
    """The folder of the latest run, if that was killed before it wrote its summary.

    Args:
        runs: A folder of runs.
    """
    # Their names begin with the time.
    latest = max((path.parent for path in runs.glob(f"*/{EPISODES}")), default=None)
    if latest is None or (latest / SUMMARY).exists():
        return None
    try:
        file = os.open(latest / EPISODES, os.O_RDONLY)
    except OSError:
        return None
    try:
        return latest if take(file) else None
    finally:
        os.close(file)


def drop_cut_line(path: Path) -> None:
    """Removes the half line that a killed run may have left at the end of a file.

    Raises:
        OSError: The file cannot be written.
    """
    with suppress(FileNotFoundError), path.open("r+b") as file:
        content = file.read()
        file.truncate(content.rfind(b"\n") + 1)


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Writes a JSON file so that a reader never sees half of it.

    Args:
        path: The file; an old one is replaced.
        data: Its content.

    Raises:
        OSError: It cannot be written.
    """
    text = json.dumps(data, indent=2) + "\n"
    if path.exists() and not path.is_file():
        # A pipe or /dev/stdout cannot be replaced.
        path.write_text(text)
        return
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text(text)
        partial.replace(path)
    except OSError:
        with suppress(OSError):
            partial.unlink()
        raise


def read_episodes(path: Path) -> tuple[list[Episode], str | None]:
    """Reads `episodes.jsonl`.

    Returns:
        The episodes, and a sentence if the last line is cut (a run that was killed).

    Raises:
        UsageError: The file cannot be read, or another line is no episode.
    """
    warnings: list[str] = []
    episodes = list(each_episode(path, warnings))
    return episodes, warnings[0] if warnings else None


def each_episode(
    path: Path, warnings: list[str], ids: Collection[str] | None = None
) -> Iterator[Episode]:
    """Reads `episodes.jsonl` one episode at a time: a large run fits no memory.

    Args:
        path: The file.
        warnings: Gets a sentence if the last line is cut.
        ids: Only these episodes; other lines are not even looked at.

    Raises:
        UsageError: The file cannot be read, or a line is no episode.
    """
    wanted = None if ids is None else [json.dumps(name).encode() for name in ids]
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                # Every whole line has its end: the last one was being written.
                if not line.endswith(b"\n"):
                    warnings.append(f"{path}: line {number} is cut and was left out")
                elif wanted is None or any(name in line for name in wanted):
                    yield _episode(path, number, line)
    except OSError as exc:
        raise UsageError(f"{path}: {exc.strerror or exc}") from exc


def _episode(path: Path, number: int, line: bytes) -> Episode:
    try:
        return Episode.from_json(read_line(line))
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise UsageError(
            f"{path}: line {number} is no episode that this version of agentgym "
            f"can read ({type(exc).__name__}: {exc})"
        ) from exc


def read_line(line: bytes) -> dict[str, Any]:
    """The JSON form of an episode, with the types that it must have.

    Raises:
        ValueError: It is none; the message names the field.
    """
    found = loads(line, finite=True)
    if isinstance(found, dict) and found.get("format", FORMAT) == FORMAT:
        check_shape(found, EpisodeLine)
    return cast("dict[str, Any]", found)
