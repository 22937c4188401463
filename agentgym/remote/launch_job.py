"""What is launched: a project's training, and what it is called elsewhere."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentgym.remote.environment import Requirements
from agentgym.remote.project_files import ProjectFiles

HOME = ".agentgym-launch"
"""The folder of all projects, in the user's home there."""
_ID = Path(".agentgym", "launch-id")


def new_id() -> str:
    """The id of a launch of now; they sort by time."""
    now = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    return f"{now}-{secrets.token_hex(2)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchJob:
    """A training that runs on another machine.

    Attributes:
        files: What is sent of the project.
        folder: Where it is started, from the project's folder.
        arguments: Of the Python there.
        environment: Variables that the user has named, with their values.
        needs: What is installed there; None: the Python there has it all.
        python: The Python there; None for that of the environment.
        id: Of this launch.
    """

    files: ProjectFiles
    folder: str
    arguments: tuple[str, ...]
    # What an error shows must not have them.
    environment: Mapping[str, str] = field(repr=False)
    needs: Requirements | None
    python: str | None
    id: str = field(default_factory=new_id)

    def said(self) -> dict[str, Any]:
        """What the script there is given, but for the environment."""
        return {
            "id": self.id,
            "python": self.python,
            "arguments": self.arguments,
            "folder": self.folder,
            "root": str(self.files.root),
        }


def project_key(root: Path) -> str:
    """What a project is called on other machines: always the same for one folder.

    Args:
        root: The project's folder; a file in its `.agentgym` keeps the random part.
    """
    file = root / _ID
    try:
        key = file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        key = ""
    if not re.fullmatch(r"[0-9a-f]{8}", key):
        key = secrets.token_hex(4)
        file.parent.mkdir(exist_ok=True)
        ignore = file.with_name(".gitignore")
        if not ignore.exists():
            ignore.write_text("*\n", encoding="utf-8")
        file.write_text(f"{key}\n", encoding="ascii")
    # A cluster's name has small letters, digits and dashes only, and begins with one.
    name = re.sub("[^a-z0-9]+", "-", root.name.lower()).strip("-")[:24].strip("-")
    return f"agentgym-{name or 'project'}-{key}"
