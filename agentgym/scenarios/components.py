"""The parts of an agent's message that a training tells apart; each name stands here.

`tool_execution` is a name that a scenario may write down, but it is what happens within
the tool: the model samples no token of it, so that it cannot be trained.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, get_args

from agentgym.errors import UsageError

Component = Literal[
    "tool_selection", "parameter_selection", "reasoning", "output_generation"
]
"""What a sampled token can belong to."""

COMPONENTS: tuple[Component, ...] = get_args(Component)
TOOL_EXECUTION = "tool_execution"

TRAINABLE_COMPONENTS: dict[str, bool] = {
    "tool_selection": True,
    "parameter_selection": True,
    "reasoning": True,
    TOOL_EXECUTION: False,
    "output_generation": False,
}
"""What is trained in a scenario that says nothing of it."""

_NOT_SAMPLED = (
    f"{TOOL_EXECUTION} is what happens within the tool: the model samples no token of "
    "it, so there is nothing to train; choose from " + ", ".join(COMPONENTS)
)


def check_mapping(wanted: object, where: str) -> dict[str, bool]:
    """Checks what a scenario says of its components.

    Args:
        wanted: True or False by name; names may be left out.
        where: What it was given as, the beginning of the error's sentence.

    Returns:
        The same mapping.

    Raises:
        UsageError: There is no such component, or it cannot be trained.
    """
    if not isinstance(wanted, Mapping) or not all(
        name in TRAINABLE_COMPONENTS and isinstance(on, bool)
        for name, on in wanted.items()
    ):
        raise UsageError(
            f"{where}{wanted!r}: give True or False for any of "
            + ", ".join(TRAINABLE_COMPONENTS)
        )
    if wanted.get(TOOL_EXECUTION):
        raise UsageError(f"{where}{wanted!r}: {_NOT_SAMPLED}")
    return dict(wanted)


def why_untrainable(names: Iterable[str]) -> str | None:
    """Why a run cannot train these components; None if it can.

    Args:
        names: Names of components, those of all scenarios.
    """
    chosen = set(names)
    if TOOL_EXECUTION in chosen:
        return _NOT_SAMPLED
    if not chosen or not chosen <= set(COMPONENTS):
        return "name what is trained, one or more of " + ", ".join(COMPONENTS)
    return None
