"""Agent Lightning's configuration of verl, with our settings, and the user's file."""

from __future__ import annotations

import importlib.resources
from pathlib import Path
from typing import Any

from agentgym.errors import UsageError

_OPEN = (
    "ray_kwargs.ray_init",
    "actor_rollout_ref.model.override_config",
    "actor_rollout_ref.rollout.engine_kwargs",
    "agentlightning.agentgym",
)
"""Where any key may stand: others read what is there."""


def compose(overrides: dict[str, Any], file: str | None) -> Any:
    """The whole configuration.

    Args:
        overrides: Ours.
        file: The user's, which has the last word.

    Raises:
        UsageError: The file says something that verl does not know.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from omegaconf import OmegaConf

    folder = str(importlib.resources.files("agentlightning.verl"))
    with initialize_config_dir(config_dir=folder, version_base=None):
        base = hydra_compose(config_name="config")
    OmegaConf.set_struct(base, value=False)
    config = OmegaConf.merge(base, overrides)
    if file is None:
        return config
    given = read_file(Path(file))
    OmegaConf.set_struct(config, value=True)
    for place in _OPEN:
        part = OmegaConf.select(config, place)
        if part is not None:
            OmegaConf.set_struct(part, value=False)
    try:
        whole = OmegaConf.merge(config, given)
    except Exception as exc:  # OmegaConf has a class for each mistake
        reason = str(exc).strip().splitlines()[0]
        raise UsageError(f"--agentgym-trainer-config {file}: {reason}") from exc
    OmegaConf.set_struct(whole, value=False)
    return whole


def read_file(path: Path) -> dict[str, Any]:
    """The user's file: YAML, or JSON, which is YAML too.

    Raises:
        UsageError: It cannot be read, or is no mapping.
    """
    from omegaconf import OmegaConf

    named = f"--agentgym-trainer-config {path}"
    try:
        given = OmegaConf.to_container(OmegaConf.load(path))
    except OSError as exc:
        raise UsageError(f"{named}: {exc.strerror or exc}") from exc
    except Exception as exc:  # YAML's parser has a class for each mistake
        reason = " ".join(str(exc).split())
        raise UsageError(f"{named}: not valid YAML: {reason}") from exc
    if not isinstance(given, dict):
        raise UsageError(
            f"{named}: write verl's settings as a mapping, such as "
            "trainer: {n_gpus_per_node: 8}"
        )
    return {str(name): value for name, value in given.items()}
