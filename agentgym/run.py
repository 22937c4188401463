"""`Run`: what `agent.run(...)` returns, and the questions a scenario asks about it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from agentgym.checks import current_log
from agentgym.errors import UsageError
from agentgym.trajectory import Message, Step, ToolCall, Trajectory, shorten

Matcher = Callable[[dict[str, Any]], bool] | Mapping[str, Any]


class Run:
    """One call of the agent: its part of the episode's trajectory.

    Attributes:
        value: What the agent's framework itself returned.
        duration: Seconds.
    """

    def __init__(
        self,
        trajectory: Trajectory,
        *,
        first_step: int = 0,
        first_message: int = 0,
        value: Any = None,
        duration: float = 0.0,
    ) -> None:
        self._steps: list[Step] = trajectory.steps[first_step:]
        self.messages: list[Message] = trajectory.messages[first_message:]
        self.value = value
        self.duration = duration

    @property
    def trajectory(self) -> Trajectory:
        """This run's steps and messages."""
        return Trajectory(steps=self._steps, messages=self.messages)

    @property
    def calls(self) -> list[ToolCall]:
        """All tool calls of this run, in order, malformed ones included."""
        return self.trajectory.tool_calls

    @property
    def reply(self) -> str:
        """The agent's last text, or an empty one."""
        return self.trajectory.reply

    @property
    def errors(self) -> list[str]:
        """What tools and model calls raised."""
        return self.trajectory.errors

    @property
    def tokens(self) -> int:
        """Prompt and completion tokens, as far as the model told them."""
        return self.trajectory.tokens

    def called(self, name: str, /, **arguments: Any) -> CallQuery:
        """Whether the agent called a tool with (at least) these arguments.

        Args:
            name: The tool's name.
            **arguments: Values, predicates, `re.Pattern`s that match the whole text,
                or anything with an `==` of its own, such as dirty-equals.

        Returns:
            A question that is true or false, and can be narrowed further.
        """
        return CallQuery(run=self, name=name, arguments=arguments)

    def __repr__(self) -> str:
        calls = ", ".join(map(str, self.calls)) or "no calls"
        return f"<Run: {calls}; reply {shorten(self.reply, 80)!r}>"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class CallQuery:
    """A question about tool calls; true when there is such a call.

    A malformed call is no call of any tool.
    """

    run: Run
    name: str
    arguments: Mapping[str, Any]
    matcher: Matcher | None = None
    count: int | None = None
    predecessor: str | CallQuery | None = None
    successor: str | CallQuery | None = None

    def with_args(self, matcher: Matcher | None = None, /, **arguments: Any) -> CallQuery:
        """Narrows the arguments.

        Args:
            matcher: A mapping that must be all of the arguments, or a predicate of
                the arguments.
            **arguments: As in `Run.called`: other arguments may be there, too.
        """
        return replace(
            self,
            matcher=self.matcher if matcher is None else matcher,
            arguments={**self.arguments, **arguments},
        )

    def times(self, count: int) -> CallQuery:
        """Exactly this many such calls."""
        if not isinstance(count, int) or count < 0:
            raise UsageError(f".times({count!r}): give a whole number of at least 0")
        return replace(self, count=count)

    def after(self, other: str | CallQuery) -> CallQuery:
        """Only calls that come after a call of the other tool."""
        return replace(self, predecessor=other)

    def before(self, other: str | CallQuery) -> CallQuery:
        """Only calls that come before a call of the other tool."""
        return replace(self, successor=other)

    def matches(self, call: ToolCall) -> bool:
        """Whether the call is of this tool and has such arguments, in any order."""
        if call.name != self.name or call.malformed is not None:
            return False
        if isinstance(self.matcher, Mapping):
            if call.arguments.keys() != self.matcher.keys() or not all(
                _equal(wanted, call.arguments[key])
                for key, wanted in self.matcher.items()
            ):
                return False
        elif self.matcher is not None and not self.matcher(call.arguments):
            return False
        return all(
            key in call.arguments and _equal(wanted, call.arguments[key])
            for key, wanted in self.arguments.items()
        )

    @property
    def found(self) -> list[ToolCall]:
        """The calls that are meant, in order."""
        calls = self.run.calls
        first, last = 0, len(calls)
        if self.predecessor is not None:
            places = _places(self.predecessor, calls)
            first = places[0] + 1 if places else last
        if self.successor is not None:
            places = _places(self.successor, calls)
            last = places[-1] if places else 0
        return [call for call in calls[first:last] if self.matches(call)]

    def __bool__(self) -> bool:
        found = len(self.found)
        truth = found > 0 if self.count is None else found == self.count
        log = current_log()
        if log is not None:
            log.saw_query(self, truth)
        return truth

    def __repr__(self) -> str:
        given = [f"{key}={_show(value)}" for key, value in self.arguments.items()]
        if self.matcher is not None:
            given.insert(0, _show(self.matcher))
        text = f"called {self.name}({', '.join(given)})"
        if self.predecessor is not None:
            text += f" after {_name(self.predecessor)}"
        if self.successor is not None:
            text += f" before {_name(self.successor)}"
        if self.count is not None:
            text += f" {self.count} times"
        calls = ", ".join(map(str, self.run.calls)) or "none"
        return f"<{text}: found {len(self.found)}; calls: {calls}>"


def _places(other: str | CallQuery, calls: list[ToolCall]) -> list[int]:
    if isinstance(other, CallQuery):
        return [i for i, call in enumerate(calls) if other.matches(call)]
    return [
        i
        for i, call in enumerate(calls)
        if call.name == other and call.malformed is None
    ]


def _equal(wanted: Any, actual: Any) -> bool:
    if isinstance(wanted, re.Pattern):
        return isinstance(actual, str) and wanted.fullmatch(actual) is not None
    if isinstance(wanted, bool) or isinstance(actual, bool):
        return wanted is actual or bool(wanted == actual and type(wanted) is type(actual))
    if callable(wanted) and not isinstance(wanted, type) and _is_plain(wanted):
        return bool(wanted(actual))
    return bool(wanted == actual)


def _is_plain(wanted: Any) -> bool:
    # dirty-equals' matchers are callable classes or define `==`: compare with those.
    return type(wanted).__eq__ is object.__eq__


def _name(other: str | CallQuery) -> str:
    return other if isinstance(other, str) else other.name


def _show(value: Any) -> str:
    name = getattr(value, "__name__", None)
    return name if callable(value) and name else shorten(repr(value), 60)
