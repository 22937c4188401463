"""What has to be installed on the other machine, once, before a project runs there."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from agentgym.distribution import DISTRIBUTION, __version__
from agentgym.errors import UsageError
from agentgym.remote.project_files import project_files

SOURCE = "source"
"""The folder there of a checkout of agentgym, where this one is none of an index."""
_OLDEST = (3, 12)
"""What Agent Lightning, and so a training, needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirements:
    """What is installed there.

    Attributes:
        arguments: Of `pip install`, run in the folder there.
        source: A checkout of agentgym that is sent, too; None if it is on an index.
        digest: Of all that decides what is installed.
    """

    arguments: tuple[str, ...]
    source: Path | None
    digest: str


def requirements(
    root: Path, extras: Sequence[str] = (), files: Sequence[str] = ()
) -> Requirements:
    """What this agentgym and a project need.

    Args:
        root: The project's folder.
        extras: Of agentgym, beside `train`.
        files: Files of requirements, from the project's folder; without any it is
            `requirements.txt`, if there is one.

    Raises:
        UsageError: One of them is not there, or `pyproject.toml` is no TOML.
    """
    source, arguments = _ourselves(",".join(dict.fromkeys(("train", *extras))))
    chosen = list(files) or [
        name for name in ("requirements.txt",) if (root / name).is_file()
    ]
    content = []
    for name in chosen:
        if not (root / name).is_file():
            raise UsageError(f"--requirements {name}: there is no such file in {root}")
        arguments += ["-r", f"project/{name}"]
        content.append((root / name).read_bytes())
    arguments += _of_pyproject(root)
    if source is not None:
        listed = project_files(source).names
        content += [
            f"{name} {(source / name).stat().st_mtime_ns}".encode() for name in listed
        ]
    text = "\n".join(arguments).encode()
    digest = hashlib.sha256(b"\0".join([text, *content])).hexdigest()
    return Requirements(arguments=tuple(arguments), source=source, digest=digest)


def _ourselves(extras: str) -> tuple[Path | None, list[str]]:
    """A checkout of this agentgym, if it is none of an index, and how to install it."""
    origin = _origin()
    if origin is None:
        return None, [f"{DISTRIBUTION}[{extras}]=={__version__}"]
    url = urlsplit(str(origin["url"]))
    if url.scheme != "file":
        vcs = origin.get("vcs_info", {})
        address = origin["url"]
        if vcs:
            address = f"{vcs['vcs']}+{address}@{vcs['commit_id']}"
        return None, [f"{DISTRIBUTION}[{extras}] @ {address}"]
    folder = Path(unquote(url.path))
    if (folder / "pyproject.toml").is_file():
        return folder, [f"./{SOURCE}[{extras}]"]
    raise UsageError(
        f"this agentgym was installed from {folder}, which cannot be installed from "
        "there: install it from its checkout or an index, or have it installed on the "
        "other machine and give --python"
    )


def _origin() -> dict[str, Any] | None:
    """Where an installer says this distribution came from; None: from an index."""
    try:
        text = metadata.distribution(DISTRIBUTION).read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        # It runs from its own folder, and is not installed at all.
        return {"url": Path(__file__).parents[2].as_uri()}
    found: dict[str, Any] | None = json.loads(text) if text else None
    return found


def _of_pyproject(root: Path) -> Iterator[str]:
    """The project's own requirements, and itself where it is a package."""
    file = root / "pyproject.toml"
    if not file.is_file():
        return
    try:
        about = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} is no TOML: {error}") from error
    if "build-system" in about:
        yield from ("-e", "./project")
        return
    yield from about.get("project", {}).get("dependencies", ())


def asked_for(wanted: Requirements, environment: Mapping[str, str]) -> dict[str, Any]:
    """What the script there is given to make the environment.

    Args:
        wanted: What is installed.
        environment: Variables that an installer may need, such as an index's address.
    """
    return {
        "install": wanted.arguments,
        "name": DISTRIBUTION,
        "oldest": _OLDEST,
        "digest": wanted.digest,
        "environment": dict(environment),
    }
