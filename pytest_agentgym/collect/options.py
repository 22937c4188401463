"""The options that name packs and models: the policy, the judge, the user."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from pytest_agentgym.option_values import choice

if TYPE_CHECKING:
    from pytest_agentgym.option_groups import OptionGroups


class ModelOptions(NamedTuple):
    """Checked values.

    Attributes:
        policy: `embedded`, a folder, the name of a model of the Hugging Face hub or of
            a trained agent, or `URL#MODEL`.
        judge: `URL#MODEL`, not read yet; None without one.
        user: The same of the simulated user.
        engine: What samples a local policy: "auto", "own" or "vllm".
        adapter_dir: Folder for adapters that a vLLM server reads, too, if one is named.
        sampler: Device that samples; None where it is not said.
        trainer: Device that trains; None where it is not said.
        template: Variables of the chat template; None where it is not said.
    """

    policy: str
    judge: str | None
    user: str | None
    engine: str = "auto"
    adapter_dir: Path | None = None
    sampler: str | None = None
    trainer: str | None = None
    template: dict[str, Any] | None = None


MODEL_OPTIONS = pytest.StashKey[ModelOptions]()


def add_options(groups: OptionGroups) -> None:
    """Adds the options."""
    groups.measuring.addoption(
        "--agentgym-scenario",
        metavar="NAME",
        action="append",
        default=[],
        help="run an installed pack ('agentgym scenarios' lists them)",
    )
    _add_policy(groups.policy)
    groups.judges.addoption(
        "--agentgym-judge",
        metavar="URL#MODEL",
        help="model of judge(...); its key is in AGENTGYM_JUDGE_KEY",
    )
    groups.judges.addoption(
        "--agentgym-user",
        metavar="URL#MODEL",
        help="model of SimulatedUser(...) (default: the judge's)",
    )


def _add_policy(group: pytest.OptionGroup) -> None:
    group.addoption(
        "--agentgym-policy",
        metavar="POLICY",
        help="model, trained agent or URL#MODEL (default: embedded)",
    )
    group.addoption(
        "--agentgym-engine",
        metavar="ENGINE",
        help="what samples a local one: own, vllm or auto (default)",
    )
    group.addoption(
        "--agentgym-devices",
        metavar="LIST",
        help="where a local one runs, as sampler=0,trainer=1",
    )
    group.addoption(
        "--agentgym-adapter-dir",
        metavar="DIR",
        help="--train: folder of adapters that your vLLM server reads",
    )
    group.addoption(
        "--agentgym-chat-template-kwargs",
        metavar="JSON",
        help="variables of a local one's chat template",
    )


def check_options(config: pytest.Config) -> None:
    """Checks the values and keeps them.

    Raises:
        pytest.UsageError: The policy's name is empty.
    """
    policy = config.getoption("agentgym_policy")
    if policy is not None and not policy.strip():
        # As of a variable of CI that is not set: another model would be measured.
        raise pytest.UsageError(
            "--agentgym-policy is empty: name a model, or leave the option out"
        )
    folder = config.getoption("agentgym_adapter_dir")
    if folder is not None and not config.getoption("agentgym_train"):
        raise pytest.UsageError(
            "--agentgym-adapter-dir belongs to a training: add --train"
        )
    sampler, trainer = _devices(config)
    config.stash[MODEL_OPTIONS] = ModelOptions(
        policy=policy or "embedded",
        judge=config.getoption("agentgym_judge"),
        user=config.getoption("agentgym_user"),
        engine=choice(config, "engine", "auto", "own", "vllm"),
        adapter_dir=None if folder is None else config.invocation_params.dir / folder,
        sampler=sampler,
        trainer=trainer,
        template=_template(config),
    )


def _devices(config: pytest.Config) -> tuple[str | None, str | None]:
    """Where the policy samples, and where it is trained.

    Raises:
        pytest.UsageError: No such devices can be.
    """
    text = config.getoption("agentgym_devices")
    if text is None:
        return None, None
    from agentgym.errors import UsageError
    from agentgym.policy.engine.devices import read_devices

    try:
        devices = read_devices(text)
    except UsageError as error:
        raise pytest.UsageError(f"--agentgym-devices {text}: {error}") from None
    if devices.trainer is not None and not config.getoption("agentgym_train"):
        raise pytest.UsageError(
            f"--agentgym-devices {text}: trainer belongs to a training: add --train"
        )
    return devices.sampler, devices.trainer


def _template(config: pytest.Config) -> dict[str, Any] | None:
    """Variables of the policy's chat template.

    Raises:
        pytest.UsageError: They are no JSON object.
    """
    text = config.getoption("agentgym_chat_template_kwargs")
    if text is None:
        return None
    try:
        given = json.loads(text)
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise pytest.UsageError(
            f"--agentgym-chat-template-kwargs {text}: give a JSON object, as "
            '{"enable_thinking": false}'
        )
    return given
