"""Models of the Hugging Face hub by name: from its cache, or downloaded once."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from agentgym.distribution import install_command
from agentgym.errors import UsageError
from agentgym.policy.folders.hub_cache import HubModel, hub_model, is_commit
from agentgym.policy.folders.hub_refusals import no_weights, not_cached, not_given
from agentgym.policy.folders.others.validator import read_said
from agentgym.policy.folders.weight_files import INDEX

# The owner's part is not left out: a single word is a folder's or an agent's name.
_NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*(@[\w./-]+)?", re.ASCII)
_WANTED = ("*.safetensors", "*.json", "*.jinja", "*.model", "*.tiktoken", "*.txt")
# The same weights in other formats and precisions, and what stands in subfolders: only
# named chat templates do that a model needs.
_UNWANTED = (
    *(f"*/{pattern}" for pattern in _WANTED if pattern != "*.jinja"),
    *("consolidated*.safetensors", "*.bin.index.json"),
    *(f"model.{dtype}*.safetensors" for dtype in ("bf16", "fp16", "fp32")),
)


def is_hub_name(spec: str) -> bool:
    """Whether this can name a model of the hub: `OWNER/NAME` or `OWNER/NAME@REVISION`.

    A folder of that name comes first, as with transformers: it names no model of the
    hub then.
    """
    return _NAME.fullmatch(spec) is not None and not os.path.exists(spec)


def find_hub_model(spec: str) -> HubModel:
    """Finds a model of the hub in the cache, and downloads what is missing.

    As with transformers, a branch or a tag is looked up at the hub each time, unless it
    cannot be reached or `HF_HUB_OFFLINE` is set; a cached commit is used as it is.
    `HF_HOME`, `HF_ENDPOINT`, `HF_TOKEN` mean what they mean to huggingface_hub. On a
    terminal, the download shows its progress.

    Args:
        spec: `OWNER/NAME`, with `@REVISION` (branch, tag, commit) behind it unless the
            main branch is meant.

    Raises:
        UsageError: It cannot be had; the message says why and what to do.
    """
    _check_installed()
    name, _, revision = spec.partition("@")
    pinned = is_commit(revision)
    cached = _snapshot(name, revision, cached_only=True) if pinned else None
    if cached is not None and _is_whole(cached):
        return HubModel(name, revision, cached)
    folder = _snapshot(name, revision or "main")
    assert folder is not None
    found = hub_model(folder)
    assert found is not None
    if not _is_whole(folder):
        raise no_weights(found, _listed(found))
    return found


def find_model(spec: str | Path) -> Path:
    """The folder of a model: one on this machine, or that of a model of the hub.

    Args:
        spec: A folder, which comes first, or what `find_hub_model` takes.

    Raises:
        UsageError: The hub's model cannot be had. A folder is not looked into.
    """
    folder = Path(spec).expanduser()
    if isinstance(spec, str) and is_hub_name(spec):
        return find_hub_model(spec).folder
    return folder


def _check_installed() -> None:
    try:
        import huggingface_hub  # noqa: F401
    except ImportError:
        raise UsageError(
            "a model of the Hugging Face hub needs huggingface_hub: "
            f"run {install_command('policy')}"
        ) from None


def _snapshot(name: str, revision: str, *, cached_only: bool = False) -> Path | None:
    """The model's folder in the cache.

    Args:
        name: The model.
        revision: Branch, tag or commit.
        cached_only: Nothing is asked of the hub; None if it is not there.
    """
    from huggingface_hub import errors, snapshot_download

    try:
        with _without_warnings():
            folder = snapshot_download(
                name,
                revision=revision,
                allow_patterns=list(_WANTED),
                ignore_patterns=list(_UNWANTED),
                local_files_only=cached_only,
                tqdm_class=_progress_bar(),
            )
        return Path(folder)
    except errors.LocalEntryNotFoundError as error:
        if cached_only:
            return None
        raise not_cached(name, revision, error) from error
    except Exception as error:  # Whatever the hub's client asks the network with.
        raise not_given(name, revision, error) from error


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Leaves it to us to say that a repository has none of the files wanted."""
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _progress_bar() -> Any:
    """A class of bars for a terminal, which are gone when the model is there."""
    from huggingface_hub.utils.tqdm import tqdm

    class Bar(tqdm):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs |= {"leave": False, "disable": not sys.stderr.isatty()}
            super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call]

    return Bar


def _is_whole(folder: Path) -> bool:
    """Whether config and weights are there; links into the cache may lead nowhere."""
    if not (folder / "config.json").exists():
        return False
    if (folder / INDEX).exists():
        with suppress(UsageError):
            shards = read_said(folder, INDEX)["weight_map"]
            return all((folder / shard).exists() for shard in set(shards.values()))
    return any(file.exists() for file in folder.glob("*.safetensors"))


def _listed(model: HubModel) -> list[str] | None:
    """The files of the repository; None if the hub cannot be asked."""
    from huggingface_hub import list_repo_files

    with suppress(Exception):  # Another sentence is on its way.
        return list(list_repo_files(model.name, revision=model.revision))
    return None
