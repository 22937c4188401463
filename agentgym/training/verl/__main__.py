"""The process in which Agent Lightning's `run_ppo` trains.

`python -m agentgym.training.verl FILE`; with `--check` it only composes the whole
configuration, has verl check it, and prints it.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

from agentgym.errors import UsageError
from agentgym.exit_code import ExitCode
from agentgym.training.verl.composed import compose
from agentgym.training.verl.substitutes import HOOK


def main(arguments: list[str]) -> int:
    """Trains, or checks.

    Args:
        arguments: The file, and `--check`.
    """
    try:
        job = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
        config = compose(job["overrides"], job["file"])
        if "--check" in arguments:
            _check(config)
        else:
            _run(config, job)
    except UsageError as exc:
        print(f"agentgym: {exc}", file=sys.stderr)
        return ExitCode.USAGE
    return ExitCode.OK


def _run(config: Any, job: dict[str, Any]) -> None:
    from omegaconf import OmegaConf

    hook = "ray_kwargs.ray_init.runtime_env.worker_process_setup_hook"
    OmegaConf.update(config, hook, HOOK, force_add=True)
    entry = importlib.import_module("agentlightning.verl.entrypoint")
    entry.run_ppo(config, train_dataset=job["train"], val_dataset=job["validation"])


def _check(config: Any) -> None:
    from omegaconf import OmegaConf

    check = importlib.import_module("verl.utils.config").validate_config
    try:
        # With merged LoRA weights and no KL there is neither a reference nor a critic.
        check(config, use_reference_policy=False, use_critic=False)
    except (AssertionError, ValueError) as exc:
        raise UsageError(f"verl refuses the configuration: {exc}") from exc
    print(OmegaConf.to_yaml(config, resolve=True))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
