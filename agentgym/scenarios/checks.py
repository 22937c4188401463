"""Checks, as written: an assert with its weight, and how it was judged."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any, Literal

from agentgym.errors import UsageError

SPECS_ATTRIBUTE = "__agentgym_checks__"


@dataclass(frozen=True, slots=True)
class Weight:
    """The message of `assert x, weight(2)`."""

    weight: float


@dataclass(frozen=True, slots=True)
class Must:
    """The message of `assert x, must("why")`."""

    why: str
    weight: float = 1.0


def weight(value: float) -> Weight:
    """Gives a check its weight in the reward: `assert x, weight(2)`.

    Raises:
        UsageError: The weight is no number of at least 0.
    """
    return Weight(_checked(value, "weight"))


def must(why: str, weight: float = 1.0) -> Must:
    """Makes a check required: without it the reward is 0.

    Args:
        why: The rule, in words; it is shown when the check fails.
        weight: The check's weight in the reward.

    Raises:
        UsageError: There is no reason, or the weight is no number of at least 0.
    """
    if not isinstance(why, str) or not why.strip():
        raise UsageError(f'must({why!r}): say why, as in must("look before you act")')
    return Must(why, _checked(weight, "must"))


def _checked(value: Any, name: str) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value <= sys.float_info.max:
        raise UsageError(
            f"{name}({value!r}): a weight is a number of at least 0, such as weight(2)"
        )
    return float(value)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CheckSpec:
    """One assert of a scenario, as read from its source.

    Attributes:
        id: Number within its function, in the order of lines.
        text: Source of the asserted expression, on one line.
        must: Why it is required, if it is.
        conditional: Whether a finished body may not have reached it.
        negated: Whether its `.called(...)` are all (True), not at all (False) or
            partly (None) under `not`.
    """

    id: int
    text: str
    file: str
    line: int
    weight: float = 1.0
    must: str | None = None
    conditional: bool = False
    negated: bool | None = False


def specs_of(function: Any) -> tuple[CheckSpec, ...] | None:
    """The checks of a function; None if its asserts were not made checks."""
    while function is not None:
        specs = getattr(function, SPECS_ATTRIBUTE, None)
        if specs is not None:
            return tuple(specs)
        function = getattr(function, "__wrapped__", None) or getattr(
            function, "__func__", None
        )
    return None


Status = Literal["passed", "failed", "errored", "not_reached"]


@dataclass(slots=True)
class CheckResult:
    """How often a check was judged in one episode, and how.

    Attributes:
        message: What pytest says of the first failure.
        crash: What the user's own code raised in it, with its place; None if nothing.
    """

    spec: CheckSpec
    passed: int = 0
    failed: int = 0
    errored: int = 0
    message: str | None = None
    crash: str | None = None

    @property
    def judged(self) -> int:
        """How often it was judged; more than once in a loop."""
        return self.passed + self.failed + self.errored

    @property
    def share(self) -> float:
        """Passed share in [0, 1]; 0 if it was not reached."""
        return self.passed / self.judged if self.judged else 0.0

    @property
    def status(self) -> Status:
        """The check's outcome in the episode: the worst of its judgements."""
        if self.errored:
            return "errored"
        if self.failed:
            return "failed"
        return "passed" if self.passed else "not_reached"

    def to_json(self) -> dict[str, Any]:
        """What an episode keeps of it."""
        spec = self.spec
        return {
            "id": spec.id,
            "text": spec.text,
            "file": spec.file,
            "line": spec.line,
            "weight": spec.weight,
            "must": spec.must,
            "conditional": spec.conditional,
            "status": self.status,
            "share": self.share,
            "message": self.message,
            **({} if self.crash is None else {"crash": self.crash}),
        }
