"""The lines of a terminal report that say how certain its numbers are."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

from agentgym.reliability import (
    CaseSpread,
    Reliability,
    SequentialTest,
    Verdict,
    attrition_bounds,
    episodes_to_certify,
    episodes_to_decide,
)
from agentgym.reliability.sizing import exact_verdict
from agentgym.runs.lines import (
    SURE,
    Heading,
    Line,
    count,
    interval,
    listed,
    percent,
    short_name,
    threshold,
    too_close,
    wrapped,
)
from agentgym.runs.summary import RunSummary

MOST_SCENARIOS = 5


def repeated_cases(summary: RunSummary, width: int) -> Iterator[Line]:
    """What scenarios with repeated cases say of other cases.

    The ones whose cases differ most come first; where all episodes are alike there is
    nothing to say.

    Args:
        summary: The run, added up.
        width: Characters that a line may have.
    """
    found = [
        (spread.correlation, scenario, spread)
        for scenario in summary.ordered
        if (spread := scenario.spread) is not None and spread.correlation is not None
    ]
    if not found:
        return
    yield Heading("repeated cases")
    found.sort(key=lambda one: -one[0])
    for _, scenario, spread in found[:MOST_SCENARIOS]:
        text = f"{short_name(scenario.name)}: {_spread(spread)}"
        yield from wrapped(text, width, hanging="    ")
    if len(found) > MOST_SCENARIOS:
        yield Line(f"and {count(len(found) - MOST_SCENARIOS, 'more scenario')}")


def _spread(spread: CaseSpread) -> str:
    advice = (
        "they differ: more cases would tell more, more repeats of these hardly anything"
        if spread.more_cases
        else "they are much alike: more repeats tell about as much as more cases"
    )
    return (
        f"{spread.cases} cases, {spread.repeats:.3g} episodes each; "
        f"{interval(spread.low, spread.high)} % for other cases of their kind "
        f"(intra-case correlation {spread.correlation:.2f}); {advice}"
    )


def attrition(summary: RunSummary, width: int) -> Iterator[Line]:
    """What the episodes that do not count could change.

    Args:
        summary: The run, added up.
        width: Characters that a line may have.
    """
    if not 0 < summary.counted < summary.total:
        return
    worst, best = attrition_bounds(summary.passed, summary.counted, summary.total)
    text = (
        f"reliability would be {percent(worst)} if all of these had failed, "
        f"{percent(best)} if all had passed"
    )
    yield from wrapped(text, width)


def certified(summary: RunSummary, width: int) -> Iterator[Line]:
    """What is certain of the run, and of its scenarios together.

    Args:
        summary: The run, added up.
        width: Characters that a line may have.
    """
    reliability = summary.reliability
    qualifier = summary.decision.qualifier
    text = f"{reliability.verdict.value}: {_run(summary, reliability)}"
    if qualifier is not None:
        text = f"{qualifier}, {text}"
    yield from wrapped(text, width, markup=_MARKUP[reliability.verdict])
    verdicts = Counter(summary.verdicts.values())
    if verdicts.total() > 1:
        counts = ", ".join(f"{verdicts[kind]} {kind.value}" for kind in Verdict)
        text = f"scenarios, together at {SURE} confidence: {counts}"
        yield from wrapped(text, width)
    yield from not_played(summary, width)
    played = sum(scenario.total for scenario in summary.ordered)
    spared = summary.stop != "fixed" and summary.interrupted is None
    if spared and played < summary.planned:
        yield Line(f"stopped after {played} of at most {summary.planned} episodes")


def not_played(summary: RunSummary, width: int) -> Iterator[Line]:
    """The scenarios that could not have saved the run.

    Args:
        summary: The run, added up.
        width: Characters that a line may have.
    """
    cut = [name for name in summary.not_played if name in summary.scenarios]
    rest = [name for name in summary.not_played if name not in summary.scenarios]
    for what, names in (("not played", rest), ("cut short", cut)):
        if names:
            which = listed(sorted(names), MOST_SCENARIOS)
            yield from wrapped(f"{what}: {which}", width, hanging="  ")


_MARKUP = {
    Verdict.reliable: {"green": True},
    Verdict.unreliable: {"red": True},
    Verdict.undecided: {"yellow": True},
}


def _run(summary: RunSummary, reliability: Reliability) -> str:
    limit = threshold(reliability.threshold)
    sure = f"at {SURE} confidence"
    if reliability.verdict is Verdict.reliable:
        share = percent(reliability.at_least, reliability.threshold)
        if too_close(reliability.at_least, reliability.threshold):
            share = limit
        return f"at least {share} {sure}"
    if reliability.verdict is Verdict.unreliable:
        share = percent(reliability.at_most, reliability.threshold)
        most = f"at most {share}"
        if too_close(reliability.at_most, reliability.threshold):
            most = f"below {limit}"
        return f"{most} {sure}{_whatever(summary)}"
    if summary.stop != "fixed" and len(summary.gated) > 1:
        return f"the mean of the scenarios cannot be distinguished from {limit} {sure}"
    return _more_episodes(summary, reliability, f"{limit} {sure}")


def _whatever(summary: RunSummary) -> str:
    left = len(summary.not_played)
    if not left:
        return ""
    which = f"{left} scenarios that were" if left > 1 else "scenario that was"
    return f", even if the {which} not played to the end never failed"


def _more_episodes(summary: RunSummary, reliability: Reliability, limit: str) -> str:
    played, scenarios = reliability.counted, len(summary.gated)
    sequential = summary.stop == "sequential"
    test = SequentialTest(reliability.threshold)
    if reliability.passed == played:
        needed = episodes_to_certify(reliability.threshold)
        if needed is None:
            return f"no number of episodes can certify {threshold(1.0)}"
        needed = int(test.enough(0)) if sequential else needed
        clean = f"{played} of {played} passed, but {needed} clean episodes are needed"
        return f"{clean} to certify {limit}{_option(needed, scenarios)}"

    def sequentially(passed: int, counted: int, _: float) -> Verdict:
        return test.verdict(passed, counted - passed)

    needed = episodes_to_decide(
        reliability.passed,
        played,
        reliability.threshold,
        verdict=sequentially if sequential else exact_verdict,
    )
    share = percent(reliability.value, reliability.threshold)
    text = f"{count(played, 'episode')} cannot tell {share} from {limit}"
    if needed is None:
        return text
    return f"{text}; about {needed} would, at this rate{_option(needed, scenarios)}"


def _option(needed: int, scenarios: int) -> str:
    return f" (--agentgym-episodes {math.ceil(needed / scenarios)})"
