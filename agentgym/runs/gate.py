"""The gate of a run: decided here, once, with all its reasons; reports only print it.

    what was measured (GateFacts) -> every reason that holds -> exit code, sentence

A run's summary makes the facts, and so does a `summary.json` of an earlier version.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from agentgym.exit_code import ExitCode
from agentgym.reliability import ATTRITION_LIMIT, Verdict
from agentgym.runs.drop import Allowance, Drop
from agentgym.runs.gate_facts import GateFacts, ScenarioFacts
from agentgym.runs.lines import count, percent, percentage_points, threshold
from agentgym.runs.summary_json import DecisionJson, ReasonJson


class ReasonKind(StrEnum):
    """Why a gate is not simply met. The first of these that holds decides.

    Attributes:
        usage: A scenario, or an option, is written wrongly.
        interrupted: Someone ended the run, or an internal error did.
        stopped: A limit of the run did: money, or tokens.
        lost: Too many episodes were lost to errors that are not the agent's.
        below: The measured share does not reach the threshold.
        not_certified: It is not certain that the reliability reaches it.
        certainly_below: It is certain that it does not.
        dropped: It is certain that reliability dropped by more than is allowed.
        drop_not_certified: It is not certain that it did not.
        target_missed: A training has not reached its target.
        passed_unexpectedly: A scenario passed that had to fail, as a strict xfail.
        errored: Something outside of the episodes failed: set-up, tear-down, the
            collection of a file.
        not_played: A scenario was collected, and no episode of it was played.
        drop_unknown: There is nothing to compare, or too much was lost.
        expected_to_fail: There is no scenario that a gate could judge.
        no_scenario: None was played: there is none, or all were skipped.
    """

    usage = "usage"
    interrupted = "interrupted"
    stopped = "stopped"
    lost = "lost"
    below = "below"
    not_certified = "not_certified"
    certainly_below = "certainly_below"
    dropped = "dropped"
    drop_not_certified = "drop_not_certified"
    target_missed = "target_missed"
    passed_unexpectedly = "passed_unexpectedly"
    errored = "errored"
    not_played = "not_played"
    drop_unknown = "drop_unknown"
    expected_to_fail = "expected_to_fail"
    no_scenario = "no_scenario"


_CODES: Mapping[ReasonKind, ExitCode] = {
    # It is mended first: what else was measured may be of another scenario tomorrow.
    ReasonKind.usage: ExitCode.USAGE,
    ReasonKind.interrupted: ExitCode.INTERRUPTED,
    ReasonKind.stopped: ExitCode.INTERRUPTED,
    ReasonKind.lost: ExitCode.CANNOT_JUDGE,
    ReasonKind.below: ExitCode.BELOW,
    ReasonKind.not_certified: ExitCode.BELOW,
    ReasonKind.certainly_below: ExitCode.BELOW,
    ReasonKind.dropped: ExitCode.BELOW,
    ReasonKind.drop_not_certified: ExitCode.BELOW,
    ReasonKind.target_missed: ExitCode.BELOW,
    ReasonKind.passed_unexpectedly: ExitCode.BELOW,
    # After what is below: a scenario that failed has failed, whatever became of others.
    ReasonKind.errored: ExitCode.CANNOT_JUDGE,
    ReasonKind.not_played: ExitCode.CANNOT_JUDGE,
    ReasonKind.drop_unknown: ExitCode.CANNOT_JUDGE,
    ReasonKind.expected_to_fail: ExitCode.OK,
    # pytest's own code stays: 0 where only ordinary tests passed, 5 without any test.
    ReasonKind.no_scenario: ExitCode.OK,
}
_ORDER = list(ReasonKind)
_MET: Mapping[ExitCode, bool] = {ExitCode.OK: True, ExitCode.BELOW: False}
_CUT_OFF = ReasonKind.interrupted, ReasonKind.stopped
_NO_GATE = ReasonKind.expected_to_fail, ReasonKind.no_scenario
_BELOW = ReasonKind.below, ReasonKind.not_certified, ReasonKind.certainly_below
_IN_PART = {
    ReasonKind.stopped,
    ReasonKind.usage,
    ReasonKind.errored,
    ReasonKind.not_played,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One reason.

    Attributes:
        sentence: Of a scenario without its name.
        scenario: The scenario that it is about; None if that is the run.
    """

    kind: ReasonKind
    sentence: str
    scenario: str | None = None

    def to_json(self) -> ReasonJson:
        """The form in `summary.json`."""
        return {
            "kind": self.kind.value,
            "sentence": self.sentence,
            "scenario": self.scenario,
        }

    def __str__(self) -> str:
        if self.scenario is None:
            return self.sentence
        return f"{self.scenario}: {self.sentence}"


@dataclass(frozen=True, slots=True, kw_only=True)
class GateDecision:
    """What the gate says of a run.

    Attributes:
        exit_code: Of the run's scenarios alone.
        met: None if nothing is judged.
        reasons: All that hold, the one that decides first; none if the gate is met.
        sentence: Whether the gate is met, and why not; without a full stop, and without
            a word that is not ours.
        scenarios: Whether each that the gate judges passes its part of it, by name;
            None if that is not judged.
    """

    exit_code: ExitCode
    met: bool | None
    reasons: tuple[Reason, ...]
    sentence: str
    scenarios: Mapping[str, bool | None]

    @property
    def of_scenarios(self) -> tuple[Reason, ...]:
        """The reasons that name a scenario, which the sentence does not."""
        return tuple(reason for reason in self.reasons if reason.scenario is not None)

    def holds(self, *kinds: ReasonKind) -> bool:
        """Whether a reason of one of these kinds holds.

        Args:
            *kinds: Any number of them, of the run or of a scenario.
        """
        return any(reason.kind in kinds for reason in self.reasons)

    @property
    def qualifier(self) -> str | None:
        """What the verdict on the reliability is about, if not the whole run."""
        return qualifier(reason.kind for reason in self.reasons)

    def to_json(self) -> DecisionJson:
        """The form in `summary.json`."""
        return {
            "exit_code": int(self.exit_code),
            "met": self.met,
            "sentence": self.sentence,
            "qualifier": self.qualifier,
            "reasons": [reason.to_json() for reason in self.reasons],
        }


def qualifier(kinds: Iterable[str]) -> str | None:
    """What is certain of a run that was not played in full, is certain of a part of it.

    Args:
        kinds: Of the reasons that hold, by `ReasonKind`.
    """
    return "of what was played" if _IN_PART.intersection(kinds) else None


def decide(facts: GateFacts, outside_reasons: Sequence[Reason] = ()) -> GateDecision:
    """Decides the gate.

    Args:
        facts: What was measured.
        outside_reasons: Reasons that no episode knows of; what the episodes say
            already is left out.

    Returns:
        The decision, with every reason that holds.
    """
    measured = list(_reasons(facts, outside_reasons))
    outside = [reason for reason in outside_reasons if not _known(reason, measured)]
    reasons = sorted(
        [*outside, *measured], key=lambda reason: _ORDER.index(reason.kind)
    )
    scenarios = {
        scenario.name: _scenario_met(facts, scenario, reasons)
        for scenario in facts.scenarios
    }
    if not reasons:
        return GateDecision(
            exit_code=ExitCode.OK,
            met=True,
            reasons=(),
            sentence=_met(facts),
            scenarios=scenarios,
        )
    code = _CODES[reasons[0].kind]
    judged = reasons[0].kind not in _NO_GATE
    return GateDecision(
        exit_code=code,
        met=_MET.get(code) if judged else None,
        reasons=tuple(reasons),
        sentence=_sentence(facts, reasons),
        scenarios=scenarios,
    )


def _scenario_met(
    facts: GateFacts, scenario: ScenarioFacts, reasons: Sequence[Reason]
) -> bool | None:
    if facts.interrupted is not None or not scenario.ended or scenario.lost:
        return None
    own = [reason for reason in reasons if reason.scenario == scenario.name]
    if _is_the_run(facts, scenario):
        # What holds of the run, holds of its only scenario. But what errored of the run
        # is a file that cannot be collected: those are other scenarios.
        run = [reason for reason in reasons if reason.scenario is None]
        own += [reason for reason in run if reason.kind is not ReasonKind.errored]
    codes = {_CODES[reason.kind] for reason in own}
    if ExitCode.BELOW in codes:
        return False
    return None if codes else True


def reason_of_training(
    *, judgeable: bool, met: bool, certified: bool = False
) -> Reason | None:
    """What a training's result adds to the episodes that it was measured by.

    Args:
        judgeable: Whether enough episodes of its last measurement count.
        met: Whether it reached its target.
        certified: Whether that had to be certain.
    """
    if not judgeable:
        sentence = "too many episodes of the training's last measurement do not count"
        return Reason(kind=ReasonKind.lost, sentence=sentence)
    if not met:
        sentence = "the training has not reached its target"
        if certified:
            sentence = "the training's target is not certified over all of its looks"
        return Reason(kind=ReasonKind.target_missed, sentence=sentence)
    return None


def exit_code_of_drop(allowed: Allowance | None, *, certified: bool) -> ExitCode:
    """What the drop since the baseline alone says.

    Args:
        allowed: None if any drop is.
        certified: Whether it must be certain that the drop is within its limit.
    """
    reasons = () if allowed is None else _dropped(allowed, certified)
    return next((_CODES[reason.kind] for reason in reasons), ExitCode.OK)


# The reasons.

_NO_SCENARIO = "no scenario was played"


def _known(reason: Reason, measured: Sequence[Reason]) -> bool:
    """Whether the episodes say already what a training's result says."""
    if reason.kind is ReasonKind.lost:
        return bool(_of(measured, ReasonKind.lost))
    if reason.kind is ReasonKind.target_missed:
        # A drop is another matter: the target may be missed as well.
        return bool(_of(measured, ReasonKind.lost, *_CUT_OFF, *_BELOW, *_NO_GATE))
    return False


def _reasons(facts: GateFacts, outside: Sequence[Reason]) -> Iterator[Reason]:
    if facts.interrupted is not None:
        if not _of(outside, ReasonKind.interrupted):
            yield _cut_off(facts.interrupted, facts.stopped)
        # Only complete runs are judged.
        return
    if facts.expected_to_fail:
        sentence = "every scenario was expected to fail"
        yield Reason(kind=ReasonKind.expected_to_fail, sentence=sentence)
        return
    if not facts.total:
        # Those that could not be played have reasons of their own.
        if all(reason.scenario is None for reason in outside):
            yield Reason(kind=ReasonKind.no_scenario, sentence=_NO_SCENARIO)
        return
    if not facts.settled:
        yield from _lost(facts)
    yield from _below(facts)
    if facts.allowed is not None:
        yield from _dropped(facts.allowed, facts.certified)


def _cut_off(interrupted: tuple[int, int], stopped: str | None) -> Reason:
    played, planned = interrupted
    parts = [] if stopped is None else [stopped]
    if played < planned:
        parts.append(f"{played:,} of {count(planned, 'episode')} were played")
    rest = "only complete runs are judged"
    return Reason(
        kind=ReasonKind.interrupted if stopped is None else ReasonKind.stopped,
        sentence="; ".join([*([": ".join(parts)] if parts else []), rest]),
    )


def _lost(facts: GateFacts) -> Iterator[Reason]:
    kind = ReasonKind.lost
    if facts.lost:
        yield Reason(kind=kind, sentence=_do_not_count(facts))
    if len(facts.scenarios) > 1:
        for scenario in facts.scenarios:
            if scenario.lost:
                sentence = _do_not_count(scenario)
                yield Reason(kind=kind, sentence=sentence, scenario=scenario.name)


def _do_not_count(of: GateFacts | ScenarioFacts) -> str:
    return f"{of.total - of.counted} of {count(of.total, 'episode')} do not count"


def _below(facts: GateFacts) -> Iterator[Reason]:
    kind, below = ReasonKind.below, f"is below {threshold(facts.threshold)}"
    if facts.certified:
        kind = ReasonKind.not_certified
        below = f"is not certified to reach {threshold(facts.threshold)}"
    elif facts.tolerant:
        kind = ReasonKind.certainly_below
        below = f"is certain to be below {threshold(facts.threshold)}"
    missed = not facts.met and (facts.settled or not facts.lost)
    if missed:
        yield Reason(kind=kind, sentence=f"the run {below}")
    for scenario in facts.below:
        # That is no second reason.
        if not (missed and _is_the_run(facts, scenario)):
            sentence = _needs(scenario, facts)
            yield Reason(kind=kind, sentence=sentence, scenario=scenario.name)


def _is_the_run(facts: GateFacts, scenario: ScenarioFacts) -> bool:
    """Whether it is the only scenario, without a threshold of its own."""
    return len(facts.scenarios) == 1 and scenario.threshold == facts.threshold


def _needs(scenario: ScenarioFacts, facts: GateFacts) -> str:
    """How a scenario misses its gate: `93.8 %, needs 95 %`."""
    share = percent(scenario.value, scenario.threshold)
    needs = threshold(scenario.threshold)
    if facts.tolerant:
        return f"{share}, certainly below {needs}"
    if not facts.certified:
        return f"{share}, needs {needs}"
    verdict = Verdict.undecided if scenario.verdict is None else scenario.verdict
    return f"{share}, {verdict.value} against {needs}"


def _dropped(allowed: Allowance, certified: bool) -> Iterator[Reason]:
    """An agent must be certain to be good, or not to be bad; a drop likewise."""
    if allowed.verdict is Drop.unknown:
        sentence = "the drop since the baseline cannot be judged"
        yield Reason(kind=ReasonKind.drop_unknown, sentence=sentence)
    elif allowed.verdict is Drop.undecided and certified:
        sentence = f"the drop is not certified to be within {_allowed(allowed)}"
        yield Reason(kind=ReasonKind.drop_not_certified, sentence=sentence)
    elif allowed.verdict is Drop.exceeded:
        kind, sentence = ReasonKind.dropped, f"dropped by more than {_allowed(allowed)}"
        if allowed.run or not allowed.scenarios:
            yield Reason(kind=kind, sentence=f"reliability {sentence}")
        for name in allowed.scenarios:
            yield Reason(kind=kind, sentence=sentence, scenario=name)


def _allowed(allowed: Allowance) -> str:
    return f"the allowed {percentage_points(allowed.limit)}"


def _of(reasons: Iterable[Reason], *kinds: ReasonKind) -> list[Reason]:
    return [reason for reason in reasons if reason.kind in kinds]


# The sentence.


def _met(facts: GateFacts) -> str:
    limit, number = threshold(facts.threshold), len(facts.scenarios)
    if facts.tolerant:
        return f"gate met: {_nothing_below(facts, limit, number)}"
    one = "is certified to reach" if facts.certified else "reached"
    if facts.whole or number == 1:
        return f"gate met: the run {one} {limit}"
    if any(s.threshold != facts.threshold for s in facts.scenarios):
        each = f"each of {number} scenarios its threshold"
        return f"gate met: the run {one} {limit}, and {each}"
    all_of_them = "are certified to reach" if facts.certified else "reached"
    return f"gate met: the run and each of {number} scenarios {all_of_them} {limit}"


def _nothing_below(facts: GateFacts, limit: str, number: int) -> str:
    if number == 1:
        return f"the run is not certain to be below {limit}"
    if any(s.threshold != facts.threshold for s in facts.scenarios):
        limit = "its threshold"
    return (
        f"neither the run nor one of {number} scenarios is certain to be below {limit}"
    )


def _sentence(facts: GateFacts, reasons: Sequence[Reason]) -> str:
    first = reasons[0].kind
    code = _CODES[first]
    if code is ExitCode.BELOW:
        *others, last = _clauses(facts, reasons)
        listed = f"{', '.join(others)} and {last}" if others else last
        return f"gate not met: {listed}"
    head = "CANNOT JUDGE"
    if code is ExitCode.INTERRUPTED:
        head = first.value.upper()
    elif first in _NO_GATE:
        head = "no gate"
    return f"{head}: {'; '.join(_clauses(facts, reasons))}"


def _clauses(facts: GateFacts, reasons: Sequence[Reason]) -> Iterator[str]:
    """One part of the sentence for each kind of reason about the run, or scenarios."""
    for kind in dict.fromkeys(reason.kind for reason in reasons):
        mine = _of(reasons, kind)
        named = [reason for reason in mine if reason.scenario is not None]
        if kind is ReasonKind.lost and facts.total:
            yield _lost_clause(facts, mine)
            continue
        yield from (reason.sentence for reason in mine if reason.scenario is None)
        if not named:
            continue
        if kind in _BELOW:
            yield _below_clause(facts, len(named))
        elif kind is ReasonKind.dropped:
            # That of the run says it already.
            if len(named) == len(mine):
                which = count(len(named), "scenario")
                yield f"reliability of {which} {named[0].sentence}"
        elif kind is ReasonKind.passed_unexpectedly:
            who = "it was" if len(named) == 1 else "they were"
            which = count(len(named), "scenario")
            yield f"{which} passed, though {who} expected to fail"
        elif kind is ReasonKind.usage:
            which = count(len(named), "scenario")
            yield f"{which} cannot be played as written"
        elif kind is ReasonKind.errored:
            which = count(len(named), "scenario")
            yield f"{which} errored outside of the episodes"
        elif kind is ReasonKind.not_played:
            verb = "was" if len(named) == 1 else "were"
            yield f"{count(len(named), 'scenario')} {verb} not played"


def _below_clause(facts: GateFacts, below: int) -> str:
    which = f"{below} of {count(len(facts.scenarios), 'scenario')}"
    verb = "is" if below == 1 else "are"
    if facts.certified:
        own = "its threshold" if below == 1 else "their thresholds"
        return f"{which} {verb} not certified to reach {own}"
    certainly = "certain to be " if facts.tolerant else ""
    if all(s.threshold == facts.threshold for s in facts.scenarios):
        own = threshold(facts.threshold)
    else:
        own = "its threshold" if below == 1 else "their thresholds"
    return f"{which} {verb} {certainly}below {own}"


def _lost_clause(facts: GateFacts, reasons: Sequence[Reason]) -> str:
    limit = threshold(ATTRITION_LIMIT)
    # A reason of the run that its episodes do not know of, as of a training's.
    text = next((r.sentence for r in reasons if r.scenario is None), None)
    if text is None:
        named = count(len(reasons), "scenario")
        text = f"{_do_not_count(facts)}, too many of them in {named}"
    return (
        f"{text}; at most {limit} of the run and of each scenario may be left uncounted"
    )
