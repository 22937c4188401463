"""What a number of episodes says about a threshold.

Two different questions are asked of the same numbers. The *gate* decides the exit code:
does the measured share reach the threshold? The *verdict* says what is certain: is the
true reliability above (or below) the threshold at 95 % confidence? That claim is
one-sided, so a one-sided bound answers it, and 59 clean episodes certify 95 %
(0.95 ** 59 < 0.05). The interval that is shown is the two-sided one: 94-100 % there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from agentgym.reliability.beta import beta_cdf
from agentgym.reliability.intervals import CONFIDENCE, bounds, clopper_pearson

ATTRITION_LIMIT = 0.05
"""Share of episodes that may not count; above it nothing is judged."""

ALPHA = round(1 - CONFIDENCE, 9)
"""Probability that a verdict is wrong, at most."""


class Verdict(StrEnum):
    """What is certain about a reliability, against a threshold."""

    reliable = "RELIABLE"
    unreliable = "UNRELIABLE"
    undecided = "UNDECIDED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliability:
    """A measured reliability against a threshold.

    Attributes:
        value: Passed share of the counted episodes, None without any.
        low: Lower end of the two-sided 95 % interval.
        high: Its upper end.
        at_least: What the reliability reaches, at 95 % confidence.
        at_most: What it does not exceed, at 95 % confidence.
        p_above: Probability, at most, of so good a result below the threshold.
        p_below: Probability, at most, of so bad a result at the threshold or above.
        verdict: What is certain.
        met: Whether `value` reaches the threshold.
    """

    passed: int
    counted: int
    value: float | None
    low: float
    high: float
    at_least: float
    at_most: float
    threshold: float
    p_above: float
    p_below: float
    verdict: Verdict
    met: bool

    @classmethod
    def of(
        cls,
        counts: tuple[int, int],
        threshold: float,
        *,
        value: float | None,
        interval: tuple[float, float],
        one_sided: tuple[float, float],
        p_values: tuple[float, float],
        alpha: float = ALPHA,
    ) -> Reliability:
        """Judges what was computed of some episodes.

        Args:
            counts: Passed and counted episodes.
            threshold: Reliability that is asked for.
            value: The measured reliability; None without episodes.
            interval: Both ends of the two-sided interval.
            one_sided: "At least" and "at most".
            p_values: Against "below the threshold", and against "reaches it".
            alpha: Probability of error of the verdict, at most.
        """
        (passed, counted), (low, high) = counts, interval
        (at_least, at_most), (p_above, p_below) = one_sided, p_values
        return cls(
            passed=passed,
            counted=counted,
            value=value,
            low=low,
            high=high,
            at_least=at_least,
            at_most=at_most,
            threshold=threshold,
            p_above=p_above,
            p_below=p_below,
            verdict=verdict_of(p_above, p_below, alpha),
            met=value is not None and value >= threshold,
        )

    def to_json(self) -> dict[str, Any]:
        """The form in `summary.json`."""
        return {
            "value": self.value,
            "low": self.low,
            "high": self.high,
            "threshold": self.threshold,
            "verdict": self.verdict.value,
        }


def judge(
    passed: int, counted: int, threshold: float, *, gates: int = 1
) -> Reliability:
    """Judges `passed` of `counted` independent episodes against a threshold.

    Args:
        passed: Episodes that passed.
        counted: Episodes that passed or failed; their number was fixed beforehand.
        threshold: Reliability that is asked for.
        gates: Verdicts that are given together. Their chance of error is shared among
            them (Bonferroni), so that all of them are right at 95 % confidence; `holm`
            certifies more where all of them are known.

    Raises:
        ValueError: `passed` is not within [0, counted].
    """
    return Reliability.of(
        (passed, counted),
        threshold,
        value=passed / counted if counted else None,
        interval=clopper_pearson(passed, counted),
        one_sided=bounds(passed, counted),
        p_values=exact_p_values(passed, counted - passed, threshold),
        alpha=ALPHA / gates,
    )


def exact_p_values(passed: int, failed: int, threshold: float) -> tuple[float, float]:
    """Exact p-values: against "below the threshold", and against "reaches it".

    The tails of the binomial distribution, in their beta form (NIST Digital Library of
    Mathematical Functions, 8.17.5).

    Args:
        passed: Episodes that passed.
        failed: Episodes that failed.
        threshold: Reliability that is asked for.
    """
    if passed == failed == 0:
        return 1.0, 1.0
    if threshold <= 0 or threshold >= 1:
        return float(threshold > 0), float(threshold <= 0 or not failed)
    above = beta_cdf(threshold, passed, failed + 1) if passed else 1.0
    below = beta_cdf(1 - threshold, failed, passed + 1) if failed else 1.0
    return above, below


def verdict_of(p_above: float, p_below: float, alpha: float = ALPHA) -> Verdict:
    """What two p-values certify.

    Args:
        p_above: Against a reliability below the threshold.
        p_below: Against one that reaches it.
        alpha: Probability of error of each claim, at most.
    """
    # A result that is just enough is enough, whatever its last digit.
    alpha *= 1 + 1e-12
    if p_above <= alpha:
        return Verdict.reliable
    return Verdict.unreliable if p_below <= alpha else Verdict.undecided


def holm(
    judged: Sequence[Reliability], alpha: float = ALPHA, unseen: int = 0
) -> list[Verdict]:
    """Verdicts that may be read together.

    S. Holm, A simple sequentially rejective multiple test procedure, Scandinavian
    Journal of Statistics 6 (1979) 65-70, once for each kind of verdict: with
    probability 1 - alpha every RELIABLE among them is right, and the same holds for
    UNRELIABLE.

    Args:
        judged: What is certain of each by itself.
        alpha: Probability that any of the verdicts is wrong, at most.
        unseen: More scenarios that would have been judged. That they are not may depend
            on the others' outcomes, and must not make these more certain.
    """
    reliable = _rejected([one.p_above for one in judged], alpha, unseen)
    unreliable = _rejected([one.p_below for one in judged], alpha, unseen)
    return [
        verdict_of(0.0 if above else 1.0, 0.0 if below else 1.0, alpha)
        for above, below in zip(reliable, unreliable, strict=True)
    ]


def _rejected(p_values: Sequence[float], alpha: float, unseen: int) -> list[bool]:
    rejected = [False] * len(p_values)
    left = len(p_values) + unseen
    for i in sorted(range(len(p_values)), key=p_values.__getitem__):
        if p_values[i] > alpha / left:
            break
        rejected[i] = True
        left -= 1
    return rejected


def attrition_exceeded(counted: int, total: int) -> bool:
    """Whether too few of the episodes count to judge anything.

    Args:
        counted: Episodes that passed or failed.
        total: All episodes that were played.
    """
    return counted == 0 or (total - counted) / total > ATTRITION_LIMIT


def attrition_bounds(passed: int, counted: int, total: int) -> tuple[float, float]:
    """The share if all episodes that do not count had failed, or all had passed.

    C. Manski, Nonparametric bounds on treatment effects, American Economic Review 80
    (1990) 319-323.

    Args:
        passed: Episodes that passed.
        counted: Episodes that passed or failed.
        total: All episodes that were played.

    Raises:
        ValueError: There are no episodes, or more counted than there are.
    """
    if not 0 <= passed <= counted <= total or not total:
        raise ValueError(f"{passed} of {counted} of {total} episodes make no share")
    return passed / total, (passed + total - counted) / total
