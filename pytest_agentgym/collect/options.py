"""The options that name models: the policy, the judge, the simulated user."""

from __future__ import annotations

from typing import NamedTuple

import pytest


class ModelOptions(NamedTuple):
    """Checked values.

    Attributes:
        policy: `embedded`, a folder, the name of a trained agent, or `URL#MODEL`.
        judge: `URL#MODEL`, not read yet; None without one.
        user: The same of the simulated user.
    """

    policy: str
    judge: str | None
    user: str | None


MODEL_OPTIONS = pytest.StashKey[ModelOptions]()


def add_options(group: pytest.OptionGroup) -> None:
    """Adds the options."""
    group.addoption(
        "--agentgym-policy",
        metavar="POLICY",
        help="model behind the `policy` fixture: 'embedded' (default), the path of a "
        "Hugging Face model, or the URL of an OpenAI-compatible endpoint, URL#MODEL",
    )
    group.addoption(
        "--agentgym-judge",
        metavar="URL#MODEL",
        help="model that answers judge(...), at an OpenAI-compatible endpoint; its key "
        "comes from the environment variable AGENTGYM_JUDGE_KEY",
    )
    group.addoption(
        "--agentgym-user",
        metavar="URL#MODEL",
        help="model that plays SimulatedUser(...); its key comes from "
        "AGENTGYM_USER_KEY (default: the judge's model and key)",
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
    config.stash[MODEL_OPTIONS] = ModelOptions(
        policy=policy or "embedded",
        judge=config.getoption("agentgym_judge"),
        user=config.getoption("agentgym_user"),
    )
