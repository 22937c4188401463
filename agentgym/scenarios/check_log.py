"""The judgements of an episode: what its rewritten asserts report, and where to."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, cast

from agentgym.endpoint import without_secrets
from agentgym.errors import UsageError
from agentgym.recording.activation import Activation
from agentgym.recording.blame import Outcome, chain, classify
from agentgym.recording.plain import printed, without_escapes
from agentgym.recording.recorder import current
from agentgym.recording.trajectory import ToolCall
from agentgym.scenarios.checks import SPECS_ATTRIBUTE, CheckResult, CheckSpec
from agentgym.scenarios.own_code import grader_crashed, place_of

MAX_MESSAGE = 4_000
MAX_CRASH = 500

F = TypeVar("F", bound=Callable[..., Any])

_log: ContextVar[CheckLog | None] = ContextVar("agentgym_checks", default=None)


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
        crash: What the user's own code raised in an assert, the first time that it did:
            nobody knows what the check would have said.
    """

    keep_exceptions: bool = False
    first_exception: BaseException | None = None
    crash: BaseException | None = None
    expectations: list[Expectation] = field(default_factory=list)
    _results: dict[CheckSpec, CheckResult] = field(default_factory=dict)
    _queries: list[tuple[Query, bool]] = field(default_factory=list)

    def activate(self) -> Activation[CheckLog]:
        """Makes this the log of the context."""
        return Activation(_log, self)

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
            if grader_crashed(exc) and not _of_agent(exc):
                self.crash = self.crash or exc
                result.crash = result.crash or _in_one_line(exc)
        if result.message is None:
            result.message = without_secrets(text)[:MAX_MESSAGE]
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


class FunctionChecks:
    """The checks of one function, whose every call asks for a `CheckedCall`."""

    __slots__ = ("specs",)

    def __init__(self, specs: Sequence[CheckSpec]) -> None:
        self.specs = tuple(specs)

    def mark(self, function: F) -> F:
        """Lets `specs_of` find the checks of the function."""
        setattr(function, SPECS_ATTRIBUTE, self.specs)
        return function

    def enter(self) -> CheckedCall | UncheckedCall:
        """The function was called."""
        log = _log.get()
        return _OUTSIDE if log is None else CheckedCall(log, self.specs)


class CheckedCall:
    """Where the rewritten asserts of one function call report, within an episode."""

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


class UncheckedCall:
    """The same outside of episodes, where asserts are ordinary."""

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


_OUTSIDE = UncheckedCall()


def _text(exc: BaseException) -> str:
    # pytest colours its introspection where the terminal has colours.
    return without_escapes(printed(exc, str)[: 10 * MAX_MESSAGE])


def _in_one_line(exc: Exception) -> str:
    """The exception with the place in the user's own code that it came through."""
    words = " ".join(without_secrets(_text(exc)).split())[:MAX_CRASH]
    name = type(exc).__name__
    return f"{name}: {words}{place_of(exc)}" if words else f"{name}{place_of(exc)}"


def _of_agent(exc: BaseException) -> bool:
    """Whether it came out of the agent or one of its tools."""
    recorder = current()
    return recorder is not None and any(
        recorder.origins.is_of_agent(link) or recorder.is_tool_error(link)
        for link in chain(exc)
    )


def _is_no_judgement(exc: Exception) -> bool:
    """Whether an assert ended in something that says nothing of the agent."""
    if isinstance(exc, AssertionError):
        return False
    recorder = current()
    from_tool = None if recorder is None else recorder.is_tool_error
    asking = None if recorder is None else recorder.origins.is_of_agent
    return isinstance(exc, UsageError) or (
        classify(exc, from_tool=from_tool, asking=asking) is not Outcome.failed
    )
