"""Tries a model's tokenizer and chat template in a process with limits, before ours.

Both come with the model, and what reads them is native code and a template's program:
they may take all memory, run for ever, or end the process. So a child without torch
opens the tokenizer, renders the probe and encodes a few texts first, while its parent
imports and loads.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from agentgym.errors import UsageError
from agentgym.policy.folders.embedded import is_embedded
from agentgym.policy.folders.hub_cache import shown

SECONDS = 60
"""Of computing; all of it takes one or two."""
_WAITED = 20 * SECONDS
"""Of wall time: a busy machine may be slow."""
MEMORY = 1_500_000_000
"""Bytes, besides what the libraries take and `PER_BYTE` of the files."""
PER_BYTE = 20
MOST_MEMORY = 2_900_000_000
_READ = ("tokenizer", "tekken", "vocab", "merges", "added_tokens", "spiece")
"""How the names of a tokenizer's files begin."""
_WEIGHTS = (".safetensors", ".bin", ".gguf")
_MOST_HASHED = 128_000_000
_ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"
)
_ENVIRONMENT = {
    **_ONE_THREAD,
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
    "PYTHONWARNINGS": "ignore",
}

_begun: dict[str, _Trial] = {}
"""By what is in the files: copies of a model are tried once."""


class _Trial:
    """A trial that has begun.

    Args:
        folder: Of the model.
        size: Bytes of its tokenizer's files.
    """

    def __init__(self, folder: Path, size: int) -> None:
        self._folder = folder
        self._memory = min(MOST_MEMORY, MEMORY + PER_BYTE * size)
        self._lock = threading.Lock()
        self._said: dict[str, Any] | None = None
        module = __name__.rpartition(".")[0] + ".trial_process"
        numbers = (str(SECONDS), str(self._memory))
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, str(folder), *numbers],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=os.environ | _ENVIRONMENT,
                text=True,
            )
        except OSError as error:
            raise UsageError(
                f"no process can be started that tries the tokenizer in "
                f"{shown(folder)}: {error.strerror or error}"
            ) from error

    def verdict(self, folder: Path) -> str | None:
        """Why a model cannot be used; None if nothing speaks against it.

        Args:
            folder: The one that was tried, or a copy of it.
        """
        with self._lock:
            if self._said is None:
                self._said = _last(self._wait(_WAITED).splitlines())
        code, said = self._process.returncode, self._said
        if code > 0:
            # Python itself could not go on; what loads the model says why.
            return None
        if code == 0:
            verdict: str | None = said.get("verdict")
            return verdict and verdict.replace(shown(self._folder), shown(folder))
        where = f"the {said.get('at', 'tokenizer')} of the model in {shown(folder)}"
        # What is over the second limit is killed.
        if -code in (signal.SIGXCPU, signal.SIGKILL):
            return (
                f"{where} was not done after {SECONDS:g} s of computing: it loops, or "
                "is not meant to be used"
            )
        return (
            f"{where} ended the process that tried it ({_name(-code)}): it is damaged, "
            f"or takes more than {self._memory / 1e9:.1f} GB of memory; get it from "
            "where the model comes from"
        )

    def end(self) -> None:
        """Ends it; harmless when it has ended."""
        with self._lock:
            if self._said is None:
                self._wait(0)

    def _wait(self, seconds: float) -> str:
        try:
            return self._process.communicate(timeout=seconds)[0]
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.communicate()[0]


def begin_trial(folder: Path) -> None:
    """Begins to try a model's tokenizer and chat template; returns at once.

    Args:
        folder: Of the model, which `check_folder` has let pass.

    Raises:
        UsageError: No process can be started.
    """
    if not is_embedded(folder):
        _trial(folder)


def finish_trial(folder: Path) -> None:
    """Waits for what the trial of a model says, and begins it if need be.

    Args:
        folder: See `begin_trial`.

    Raises:
        UsageError: The tokenizer or the chat template cannot be used.
    """
    if is_embedded(folder):
        return
    verdict = _trial(folder).verdict(folder)
    if verdict is not None:
        raise UsageError(verdict)


@contextmanager
def trial_beside(folder: Path) -> Iterator[None]:
    """Tries a model while something else is looked at, which may refuse it, too.

    Args:
        folder: See `begin_trial`.

    Raises:
        UsageError: No process can be started.
    """
    begin_trial(folder)
    try:
        yield
    except BaseException:
        begun = None if is_embedded(folder) else _begun.pop(_digest(folder)[0], None)
        if begun is not None:
            begun.end()
        raise


def _trial(folder: Path) -> _Trial:
    digest, size = _digest(folder)
    if digest not in _begun:
        _begun[digest] = _Trial(folder, size)
    return _begun[digest]


def _digest(folder: Path) -> tuple[str, int]:
    """What is in a model's files but the weights, and the bytes of its tokenizer."""
    whole, size = hashlib.sha256(), 0
    for file in sorted((*folder.iterdir(), *folder.glob("*/*.jinja"))):
        if file.suffix in _WEIGHTS or not file.is_file():
            continue
        about = file.stat()
        part = f"{about.st_size} {about.st_mtime_ns}"
        if about.st_size <= _MOST_HASHED:
            with file.open("rb") as stream:
                part = hashlib.file_digest(stream, "sha256").hexdigest()
        whole.update(f"{file.name} {part}\n".encode("utf-8", "surrogateescape"))
        size += about.st_size if file.name.startswith(_READ) else 0
    return whole.hexdigest(), size


def _last(said: list[str]) -> dict[str, Any]:
    """The last of its lines that is ours."""
    for line in reversed(said):
        with suppress(ValueError):
            found = json.loads(line)
            if isinstance(found, dict):
                return found
    return {}


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
