"""What of the Hugging Face hub a folder of its cache holds; asks nothing of anyone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from agentgym.errors import visible

_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class HubModel:
    """A model of the hub, at one commit, in the cache on this machine.

    Attributes:
        name: Such as `Qwen/Qwen3-0.6B`.
        revision: The commit's hash.
        folder: Its snapshot in the cache.
    """

    name: str
    revision: str
    folder: Path

    def __str__(self) -> str:
        return f"{self.name}, revision {self.revision[:12]}"

    @property
    def pinned(self) -> str:
        """What names it for good."""
        return f"{self.name}@{self.revision}"


def hub_model(folder: Path) -> HubModel | None:
    """The model of a snapshot's folder, as huggingface_hub lays its cache out.

    Args:
        folder: `models--OWNER--NAME/snapshots/COMMIT`, or any other folder.

    Returns:
        None for any other folder.
    """
    repository, snapshots, commit = ("", "", "", *folder.parts)[-3:]
    kind, _, name = repository.partition("--")
    if kind != "models" or snapshots != "snapshots" or not is_commit(commit):
        return None
    return HubModel(name.replace("--", "/"), commit, folder)


def is_commit(revision: str) -> bool:
    """Whether a revision is a commit's whole hash, which always means the same."""
    return _COMMIT.fullmatch(revision) is not None


def shown(folder: Path) -> str:
    """What a folder is called in a sentence: by the hub's name where it has one."""
    found = hub_model(folder)
    return visible(str(folder)) if found is None else found.name


def model_name(folder: Path) -> str:
    """What a model is called in an API: the hub's name, or the folder's."""
    found = hub_model(folder)
    return visible(folder.resolve().name) if found is None else found.name
