"""What tells weights from others."""

from __future__ import annotations

import hashlib
from pathlib import Path

from agentgym.policy.folders.adapter_folder import WEIGHTS

_END = 8 * 2**20
"""Bytes at each end of a file that are looked at: of the embedded policy's, all."""


def weights_digest(folder: Path) -> str:
    """SHA-256 over a model's weight files: their names and what is in them."""
    whole = hashlib.sha256()
    files = {*folder.glob("*.safetensors"), *folder.glob("pytorch_model*.bin")}
    for file in sorted(files):
        if not file.name.startswith("adapter_model"):
            with file.open("rb") as stream:
                part = hashlib.file_digest(stream, "sha256").hexdigest()
            whole.update(f"{file.name} {part}\n".encode())
    return whole.hexdigest()


def adapter_digest(folder: Path) -> str:
    """The SHA-256 of a LoRA adapter's weights.

    Args:
        folder: As peft wrote it.
    """
    with (folder / WEIGHTS).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def model_fingerprint(folder: Path, adapter: Path | None = None) -> str:
    """A SHA-256 of the ends of a model's weights and of its adapter's.

    It takes a moment for any size. Training moves all matrices, so that the ends of
    large files tell it.

    Args:
        folder: Of a local Hugging Face model.
        adapter: Folder of the LoRA adapter on it, if any.

    Raises:
        OSError: A file cannot be read.
    """
    found = hashlib.sha256()
    for file in sorted(folder.glob("*.safetensors")):
        found.update(f"{file.name} {file.stat().st_size}".encode())
        found.update(_ends(file))
    if adapter is not None:
        found.update(adapter_digest(adapter).encode())
    return found.hexdigest()


def _ends(path: Path) -> bytes:
    size = path.stat().st_size
    with path.open("rb") as file:
        first = file.read(_END)
        file.seek(max(size - _END, len(first)))
        return first + file.read()
