"""Checks: the run-time half of a scenario's rewritten asserts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeVar

from agentgym.errors import Outcome, UsageError, classify
from agentgym.recorder import current
from agentgym.trajectory import ToolCall

SPECS_ATTRIBUTE = "__agentgym_checks__"
RUBRIC_ATTRIBUTE = "__agentgym_rubric__"
MAX_MESSAGE = 4_000

F = TypeVar("F", bound=Callable[..., Any])

_log: ContextVar[CheckLog | None] = ContextVar("agentgym_checks", default=None)


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


def rubric(function: F) -> F:
    """Makes the asserts of a helper function checks of the scenario that calls it."""
    setattr(function, RUBRIC_ATTRIBUTE, True)
    return function


def _checked(value: Any, name: str) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value < 0:
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
    """

    spec: CheckSpec
    passed: int = 0
    failed: int = 0
    errored: int = 0
    message: str | None = None

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


class Query(Protocol):
    """What a check asked about tool calls."""

    @property
    def name(self) -> str:
        """The tool that it asks about."""

    def matches(self, call: ToolCall) -> bool:
        """Whether the call is the one that is asked for."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """That a tool is called (or, `forbidden`, that it is not)."""

    query: Query
    satisfied: bool
    forbidden: bool


@dataclass(slots=True)
class CheckLog:
    """The judgements of one episode.

    Attributes:
        first_exception: The first failed check's exception, if these are kept.
        expectations: What the checks asked about tool calls.
    """

    keep_exceptions: bool = False
    first_exception: BaseException | None = None
    expectations: list[Expectation] = field(default_factory=list)
    _results: dict[CheckSpec, CheckResult] = field(default_factory=dict)
    _entered: dict[int, Sequence[CheckSpec]] = field(default_factory=dict)
    _queries: list[tuple[Query, bool]] = field(default_factory=list)

    @contextmanager
    def activate(self) -> Iterator[CheckLog]:
        """Makes this the log of the context."""
        token = _log.set(self)
        try:
            yield self
        finally:
            _log.reset(token)

    def enter(self, specs: Sequence[CheckSpec]) -> None:
        """A function with these checks was entered."""
        self._entered[id(specs)] = specs

    def passed(self, spec: CheckSpec) -> None:
        """The assert held."""
        self._result(spec).passed += 1
        self._settle(spec, True)

    def failed(self, spec: CheckSpec, exc: Exception) -> None:
        """The assert did not hold, or its expression raised."""
        result = self._result(spec)
        if isinstance(exc, AssertionError):
            result.failed += 1
            text = str(exc) or f"assert {spec.text}"
        else:
            result.errored += 1
            text = f"{type(exc).__name__}: {exc} (in: {spec.text})"
        if result.message is None:
            result.message = text[:MAX_MESSAGE]
        if self.keep_exceptions and self.first_exception is None:
            self.first_exception = exc
        self._settle(spec, False)

    def saw_query(self, query: Query, truth: bool) -> None:
        """A question about tool calls was answered within the running assert."""
        self._queries.append((query, truth))

    def results(self, specs: Sequence[CheckSpec]) -> list[CheckResult]:
        """The results of the scenario's own checks and of the rubrics it entered."""
        every = [*specs]
        for entered in self._entered.values():
            every += [spec for spec in entered if spec not in every]
        return [self._results.get(spec) or CheckResult(spec) for spec in every]

    def _result(self, spec: CheckSpec) -> CheckResult:
        result = self._results.get(spec)
        if result is None:
            result = self._results[spec] = CheckResult(spec)
        return result

    def _settle(self, spec: CheckSpec, passed: bool) -> None:
        """Turns the questions of the assert into expectations."""
        for query, truth in self._queries:
            # Partly negated: the truth that suits the result tells which it was.
            forbidden = truth is not passed if spec.negated is None else spec.negated
            # In a check that passed nothing is missing: `called(a) or called(b)`.
            satisfied = passed or truth is not forbidden
            self.expectations.append(Expectation(query, satisfied, forbidden))
        self._queries.clear()


def current_log() -> CheckLog | None:
    """The log of the episode that this code runs in."""
    return _log.get()


class Judge:
    """What the rewritten asserts of one function call; without a log they raise."""

    __slots__ = ("specs",)

    def __init__(self, specs: Sequence[CheckSpec]) -> None:
        self.specs = tuple(specs)

    def mark(self, function: F) -> F:
        """Lets `specs_of` find the checks of the function."""
        setattr(function, SPECS_ATTRIBUTE, self.specs)
        return function

    def enter(self) -> None:
        """The function was entered."""
        log = _log.get()
        if log is not None:
            log.enter(self.specs)

    def passed(self, index: int) -> None:
        """The assert at this index held."""
        log = _log.get()
        if log is not None:
            log.passed(self.specs[index])

    def failed(self, index: int, exc: Exception) -> None:
        """The assert at this index did not hold; outside of episodes it raises."""
        log = _log.get()
        if log is None or _is_no_judgement(exc):
            raise exc
        log.failed(self.specs[index], exc)


def _is_no_judgement(exc: Exception) -> bool:
    """Whether an assert ended in something that tells nothing of the agent."""
    if isinstance(exc, AssertionError):
        return False
    return isinstance(exc, UsageError) or (
        classify(exc, recorder=current()) is not Outcome.failed
    )
