"""Checks: the run-time half of a scenario's rewritten asserts."""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeVar, cast

from agentgym.errors import UsageError
from agentgym.recording.activation import Activation
from agentgym.recording.blame import Outcome, classify
from agentgym.recording.recorder import current
from agentgym.recording.trajectory import ToolCall

SPECS_ATTRIBUTE = "__agentgym_checks__"
MAX_MESSAGE = 4_000
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")

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
    if hasattr(function, SPECS_ATTRIBUTE):
        return function

    # Its asserts would end the scenario's body instead of being judged.
    @functools.wraps(function)
    def refuse(*args: Any, **kwargs: Any) -> Any:
        if _log.get() is None:
            return function(*args, **kwargs)
        code = function.__code__
        raise UsageError(
            f"{code.co_filename}:{code.co_firstlineno}: the asserts of the rubric "
            f"{function.__name__} are no checks: import its file from scenario files, "
            "keep it in the project, and write `from agentgym import rubric` in it"
        )

    return cast("F", refuse)


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
        }


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
    _queries: list[tuple[Query, bool]] = field(default_factory=list)

    def activate(self) -> Activation[CheckLog]:
        """Makes this the log of the context."""
        return Activation(_log, self)

    def passed(self, spec: CheckSpec) -> None:
        """The assert held."""
        self._result(spec).passed += 1
        self._settle(spec, True, 0)

    def failed(self, spec: CheckSpec, exc: Exception, begun: int = 0) -> None:
        """The assert did not hold, or its expression raised.

        Args:
            spec: The check.
            exc: What the assert raised.
            begun: How many questions had been asked when the assert began.
        """
        result = self._result(spec)
        if isinstance(exc, AssertionError):
            result.failed += 1
            text = _text(exc) or f"assert {spec.text}"
        else:
            result.errored += 1
            text = f"{type(exc).__name__}: {_text(exc)} (in: {spec.text})"
        if result.message is None:
            result.message = text[:MAX_MESSAGE]
        if self.keep_exceptions and self.first_exception is None:
            self.first_exception = exc
        self._settle(spec, False, begun)

    def saw_query(self, query: Query, truth: bool) -> None:
        """A question about tool calls was answered; it belongs to a running assert.

        Args:
            query: The question.
            truth: Its answer.
        """
        self._queries.append((query, truth))

    def results(self, specs: Sequence[CheckSpec]) -> list[CheckResult]:
        """The results of the scenario's own checks and of the rubrics it entered."""
        every = dict.fromkeys((*specs, *self._results))
        return [self._results.get(spec) or CheckResult(spec) for spec in every]

    def _result(self, spec: CheckSpec) -> CheckResult:
        result = self._results.get(spec)
        if result is None:
            result = self._results[spec] = CheckResult(spec)
        return result

    def _settle(self, spec: CheckSpec, passed: bool, begun: int) -> None:
        """Turns the questions of the assert into expectations."""
        for query, truth in self._queries[begun:]:
            # Partly negated: the truth that suits the result shows which it was.
            forbidden = truth is not passed if spec.negated is None else spec.negated
            # In a check that passed nothing is missing: `called(a) or called(b)`.
            satisfied = passed or truth is not forbidden
            self.expectations.append(Expectation(query, satisfied, forbidden))
        del self._queries[begun:]


def current_log() -> CheckLog | None:
    """The log of the episode that this code runs in."""
    return _log.get()


class Judge:
    """Knows the checks of one function, whose every call asks for a `Judging`."""

    __slots__ = ("specs",)

    def __init__(self, specs: Sequence[CheckSpec]) -> None:
        self.specs = tuple(specs)

    def mark(self, function: F) -> F:
        """Lets `specs_of` find the checks of the function."""
        setattr(function, SPECS_ATTRIBUTE, self.specs)
        return function

    def enter(self) -> Judging | NotJudging:
        """The function was called."""
        log = _log.get()
        return _OUTSIDE if log is None else Judging(log, self.specs)


class Judging:
    """What the rewritten asserts of one function call report, within an episode."""

    __slots__ = ("_begun", "_log", "_queries", "_results")

    def __init__(self, log: CheckLog, specs: Sequence[CheckSpec]) -> None:
        self._log = log
        self._results = [log._result(spec) for spec in specs]
        self._queries = log._queries
        self._begun = 0

    def begin(self) -> None:
        """An assert begins: what is asked from now on, it asks.

        Not so what was asked before it, as in `if run.called(...)`, or by the assert
        that called this rubric.
        """
        self._begun = len(self._queries)

    def passed(self, index: int) -> None:
        """The assert at this index held."""
        result = self._results[index]
        result.passed += 1
        if len(self._queries) > self._begun:
            self._log._settle(result.spec, True, self._begun)

    def failed(self, index: int, exc: Exception) -> bool:
        """The assert at this index did not hold.

        Args:
            index: Of the assert within its function.
            exc: What it raised.

        Returns:
            Whether to raise the exception all the same.
        """
        if _is_no_judgement(exc):
            return True
        self._log.failed(self._results[index].spec, exc, self._begun)
        return False


class NotJudging:
    """Outside of episodes, asserts are ordinary."""

    def begin(self) -> None:
        """An assert begins."""

    def passed(self, index: int) -> None:
        """The assert at this index held."""

    def failed(self, index: int, exc: Exception) -> bool:
        """The assert at this index did not hold.

        Args:
            index: Of the assert within its function.
            exc: What it raised.

        Returns:
            That the exception is raised all the same.
        """
        return True


_OUTSIDE = NotJudging()


def _text(exc: Exception) -> str:
    try:
        # pytest colours its introspection where the terminal has colours.
        return _COLOURS.sub("", str(exc))
    except Exception as broken:  # noqa: BLE001 - a user's __str__ may raise anything
        return f"({type(broken).__name__} in its __str__)"


def _is_no_judgement(exc: Exception) -> bool:
    """Whether an assert ended in something that says nothing of the agent."""
    if isinstance(exc, AssertionError):
        return False
    recorder = current()
    from_tool = None if recorder is None else recorder.is_tool_error
    return isinstance(exc, UsageError) or (
        classify(exc, from_tool=from_tool) is not Outcome.failed
    )
