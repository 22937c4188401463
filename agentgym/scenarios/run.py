"""`Run`: what `agent.run(...)` returns, and the questions a scenario asks about it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from agentgym.errors import UsageError
from agentgym.recording.plain import printed, shorten
from agentgym.recording.trajectory import Interrupt, Message, Step, ToolCall, Trajectory
from agentgym.scenarios.check_log import current_log

Matcher = Callable[[dict[str, Any]], Any] | Mapping[str, Any]

# pytest cuts longer representations in their middle.
MAX_REPR = 230


class Run:
    """One call of the agent: its part of the episode's trajectory.

    Attributes:
        messages: The conversation's messages of this run, in OpenAI's shape.
        interrupts: Where the agent stopped in this run to ask a person.
        value: What the agent's framework itself returned.
        duration: Seconds.
    """

    def __init__(
        self,
        trajectory: Trajectory,
        *,
        first_step: int = 0,
        first_message: int = 0,
        first_interrupt: int = 0,
        value: Any = None,
        duration: float = 0.0,
    ) -> None:
        self._episode = trajectory
        self._steps: list[Step] = trajectory.steps[first_step:]
        self.messages: list[Message] = trajectory.messages[first_message:]
        self.interrupts: list[Interrupt] = trajectory.interrupts[first_interrupt:]
        self.value = value
        self.duration = duration

    @property
    def trajectory(self) -> Trajectory:
        """This run's steps and messages."""
        return Trajectory(
            steps=self._steps,
            messages=self.messages,
            interrupts=self.interrupts,
            history=self._episode.history,
            prompts=self._episode.prompts,
        )

    @property
    def calls(self) -> list[ToolCall]:
        """All tool calls of this run, in order, malformed and waiting ones included."""
        return [call for step in self._steps for call in step.tool_calls]

    @property
    def waiting(self) -> list[ToolCall]:
        """The calls that wait for a person, as long as they do."""
        return self.trajectory.waiting

    @property
    def interrupted(self) -> bool:
        """Whether the agent waits for a person: see `agent.approve()`."""
        return self.trajectory.interrupted

    @property
    def episode_calls(self) -> list[ToolCall]:
        """All tool calls of the episode so far, also of other runs."""
        return self._episode.tool_calls

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
        """Prompt and completion tokens, as far as the server gave them."""
        return self.trajectory.tokens

    def called(self, name: str, /, **arguments: Any) -> CallQuery:
        """Whether the agent called a tool with (at least) these arguments.

        Args:
            name: The tool's name.
            **arguments: Values (12 equals 12.0, not "12"), types, predicates,
                `re.Pattern`s that match the whole text, or anything with an `==` of its
                own, such as dirty-equals; also within lists and dicts.

        Returns:
            A question that is true or false, and can be narrowed further.
        """
        return CallQuery(run=self, name=name, arguments=arguments)

    def __repr__(self) -> str:
        calls = ", ".join(map(str, self.calls)) or "no calls"
        return f"<Run: {shorten(calls, 120)}; reply {shorten(self.reply, 80)!r}>"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class CallQuery:
    """A question about tool calls; true when there is such a call.

    A malformed call is no call of any tool, nor is one that a person has not let run.
    """

    run: Run
    name: str
    arguments: Mapping[str, Any]
    matcher: Matcher | None = None
    count: int | None = None
    predecessor: str | CallQuery | None = None
    successor: str | CallQuery | None = None
    if_requested: bool = False

    def with_args(
        self, matcher: Matcher | None = None, /, **arguments: Any
    ) -> CallQuery:
        """Narrows the arguments.

        Args:
            matcher: A mapping that must be all of the arguments, or a predicate of
                the arguments.
            **arguments: As in `Run.called`: other arguments may be there, too.
        """
        if not (matcher is None or isinstance(matcher, Mapping) or callable(matcher)):
            raise UsageError(
                f".with_args({shorten(printed(matcher), 60)}): give name=value, a dict "
                "of all arguments, or a function of the arguments"
            )
        return replace(
            self,
            matcher=self.matcher if matcher is None else matcher,
            arguments={**self.arguments, **arguments},
        )

    def times(self, count: int) -> CallQuery:
        """Exactly this many such calls."""
        if not isinstance(count, int) or isinstance(count, bool) or count < 0:
            raise UsageError(f".times({count!r}): give a whole number of at least 0")
        return replace(self, count=count)

    def requested(self) -> CallQuery:
        """Also calls that wait for a person, or that a person did not let run."""
        return replace(self, if_requested=True)

    def after(self, other: str | CallQuery) -> CallQuery:
        """Only calls that come after a call of the other tool, also of an earlier run.

        Args:
            other: A tool's name, or a query, whose `.times` does not matter here.
        """
        return replace(self, predecessor=_checked(other, "after"))

    def before(self, other: str | CallQuery) -> CallQuery:
        """Only calls that come before a call of the other tool, also of a later run.

        Args:
            other: A tool's name, or a query, whose `.times` does not matter here.
        """
        return replace(self, successor=_checked(other, "before"))

    def matches(self, call: ToolCall) -> bool:
        """Whether the call is of this tool and has such arguments, in any order."""
        if call.name != self.name or call.malformed is not None:
            return False
        if call.withheld and not self.if_requested:
            return False
        if isinstance(self.matcher, Mapping):
            if call.arguments.keys() != self.matcher.keys() or not all(
                equal(wanted, call.arguments[key])
                for key, wanted in self.matcher.items()
            ):
                return False
        elif self.matcher is not None and not self.matcher(call.arguments):
            return False
        return all(
            key in call.arguments and equal(wanted, call.arguments[key])
            for key, wanted in self.arguments.items()
        )

    @property
    def found(self) -> list[ToolCall]:
        """The calls that are meant, in order."""
        calls = [call for call in self.run.calls if self.matches(call)]
        if not calls or (self.predecessor is None and self.successor is None):
            return calls
        place = {id(call): i for i, call in enumerate(self.run.episode_calls)}
        if self.predecessor is not None:
            first = min(_places(self.predecessor, self.run, place), default=len(place))
            calls = [call for call in calls if place[id(call)] > first]
        if self.successor is not None:
            last = max(_places(self.successor, self.run, place), default=-1)
            calls = [call for call in calls if place[id(call)] < last]
        return calls

    def __bool__(self) -> bool:
        truth = self._holds()
        log = current_log()
        if log is not None:
            log.saw_query(self, truth)
        return truth

    def __repr__(self) -> str:
        verdict = "yes" if self._holds() else "no"
        if self.count is not None:
            verdict = f"found {len(self.found)}"
        calls = self.run.calls
        text = f"called {self}: {verdict}; calls: "
        full = ", ".join(map(str, calls)) or "none"
        if len(text) + len(full) > MAX_REPR:
            # The arguments of other tools' calls matter least.
            full = ", ".join(str(c) if c.name == self.name else c.name for c in calls)
        return text + shorten(full, max(40, MAX_REPR - len(text)))

    def __str__(self) -> str:
        given = [f"{key}={_show(value)}" for key, value in self.arguments.items()]
        if self.matcher is not None:
            given.insert(0, _show(self.matcher))
        text = f"{self.name}({', '.join(given)})"
        if self.if_requested:
            text += " requested"
        if self.predecessor is not None:
            text += f" after {self.predecessor}"
        if self.successor is not None:
            text += f" before {self.successor}"
        if self.count is not None:
            text += f" {self.count} times"
        return text

    def _holds(self) -> bool:
        found = len(self.found)
        return found > 0 if self.count is None else found == self.count


def equal(wanted: Any, actual: Any) -> bool:
    """Whether an argument is what a scenario wants.

    Args:
        wanted: A value or a matcher, as in `Run.called`.
        actual: The argument of the call.
    """
    if isinstance(wanted, re.Pattern):
        return isinstance(actual, str) and wanted.fullmatch(actual) is not None
    if isinstance(wanted, type):
        # dirty-equals' matchers may be classes, with an `==` of their metaclass.
        own = type(wanted).__eq__ is not type.__eq__
        return bool(wanted == actual) if own else isinstance(actual, wanted)
    if callable(wanted):
        return wanted is actual or bool(wanted(actual))
    if isinstance(wanted, bool | int | float) and isinstance(actual, bool):
        # In Python, True == 1.
        return wanted is actual
    if isinstance(wanted, bool) and isinstance(actual, int | float):
        return False
    if type(wanted) is dict and isinstance(actual, dict):
        return wanted.keys() == actual.keys() and all(
            equal(value, actual[key]) for key, value in wanted.items()
        )
    if isinstance(wanted, list | tuple) and isinstance(actual, list | tuple):
        # Over JSON, a tuple becomes a list.
        return len(wanted) == len(actual) and all(map(equal, wanted, actual))
    return bool(wanted == actual)


def _checked(other: str | CallQuery, method: str) -> str | CallQuery:
    if not isinstance(other, str | CallQuery):
        raise UsageError(
            f".{method}({shorten(printed(other), 60)}): give a tool's name or a query "
            "such as run.called(...)"
        )
    return other


def _places(other: str | CallQuery, run: Run, place: dict[int, int]) -> list[int]:
    if isinstance(other, CallQuery):
        return [place[id(call)] for call in other.found if id(call) in place]
    return [
        place[id(call)]
        for call in run.episode_calls
        if call.name == other and call.malformed is None and not call.withheld
    ]


def _show(value: Any) -> str:
    name = getattr(value, "__name__", None)
    return name if callable(value) and name else shorten(printed(value), 60)
