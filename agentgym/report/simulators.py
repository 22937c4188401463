"""Judges and simulated users of a run, as lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from agentgym.runs.lines import Heading, Line, count, number, wrapped
from agentgym.runs.simulator_tally import RoleTally, SimulatorTally

MOST_SCENARIOS = 10


def simulators_section(simulators: SimulatorTally, width: int) -> Iterator[Line]:
    """Who judged and who was simulated; nothing if nobody did.

    Args:
        simulators: Of a run.
        width: Characters that a line may have.
    """
    judge, user = simulators.judge, simulators.user
    if not judge.scenarios and not user.scenarios:
        return
    yield Heading("judges and simulated users")
    if judge.scenarios:
        yield from _role(
            f"judged by {_models(judge)}: {count(judge.answers, 'verdict')}, "
            f"{judge.cached} from the cache; {_size(judge.tokens)} tokens",
            judge,
            width,
        )
    if user.scenarios:
        yield from _role(
            f"user simulated by {_models(user)}: {count(user.answers, 'message')}; "
            f"{_size(user.tokens)} tokens",
            user,
            width,
        )


def _size(tokens: int) -> str:
    return number(tokens) if tokens >= 10_000 else str(tokens)


def _models(tally: RoleTally) -> str:
    return ", ".join(sorted(tally.models))


def _role(text: str, tally: RoleTally, width: int) -> Iterator[Line]:
    yield from wrapped(text, width, hanging="  ")
    names = sorted(tally.scenarios)
    for name in names[:MOST_SCENARIOS]:
        yield from wrapped(name, width, "  ")
    if len(names) > MOST_SCENARIOS:
        yield Line(f"  and {count(len(names) - MOST_SCENARIOS, 'more scenario')}")
