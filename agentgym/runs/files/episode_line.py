"""A line of `episodes.jsonl`, as types: the fields that are read from a stored run.

What is `object` is shown as it is, or not read at all.
"""

# No annotation here may be a string: `NotRequired` would not be seen in it.
from typing import NotRequired, TypedDict


class CaseLine(TypedDict, total=False):
    """The case; early versions do not have the split."""

    index: int
    seed: int | str | None
    split: str | None
    value: object


class CheckLine(TypedDict):
    """What a check said."""

    text: str
    status: str
    message: NotRequired[str | None]
    crash: NotRequired[str | None]


class ToolLine(TypedDict):
    """The calls of a tool."""

    name: str
    correct: int
    wrong_arguments: int
    not_allowed: int
    missing: int
    raised: int
    waiting: NotRequired[int]


class ToolCallLine(TypedDict):
    """One tool call."""

    id: str
    name: str
    arguments: dict[str, object]
    malformed: NotRequired[str | None]
    result: object
    error: NotRequired[str | None]
    executed: NotRequired[bool]
    approval: NotRequired[str | None]


class ModelCallLine(TypedDict, total=False):
    """One answer of the model."""

    message: dict[str, object]
    error: str | None
    system: str | None
    tools: str | None


class StepLine(TypedDict):
    """A model call and the tool calls that it asked for."""

    model: ModelCallLine | None
    tool_calls: list[ToolCallLine]


class InterruptLine(TypedDict):
    """Where the agent asked a person."""

    value: object
    start: float
    answer: str | None


class TrajectoryLine(TypedDict):
    """What happened."""

    steps: list[StepLine]
    messages: list[dict[str, object]]
    interrupts: NotRequired[list[InterruptLine]]
    history: NotRequired[list[dict[str, object]]]


class EpisodeLine(TypedDict):
    """An episode; what is not required has a default in `Episode`."""

    format: int
    id: str
    scenario: str
    index: int
    case: NotRequired[CaseLine]
    outcome: str
    reward: float
    checks: NotRequired[list[CheckLine]]
    trajectory: TrajectoryLine
    tools: NotRequired[list[ToolLine]]
    start: NotRequired[float]
    duration: NotRequired[float]
    attempts: NotRequired[int]
    error: NotRequired[str | None]
    details: NotRequired[str | None]
    output: NotRequired[str]
    policy: NotRequired[str | None]
    tokens: NotRequired[int]
    discarded: NotRequired[object]
    attempt_start: NotRequired[float]
    simulators: NotRequired[dict[str, object] | None]
    phase: NotRequired[str | None]
    repeat: NotRequired[int]
