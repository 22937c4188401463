"""Chances of several episodes on the same task, without bias."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from agentgym.reliability.intervals import check_counts


def pass_hat_k(passed: int, n: int, k: int) -> float:
    """Probability that k independent episodes all pass: C(passed, k) / C(n, k).

    The unbiased estimate of Yao et al., tau-bench, arXiv:2406.12045 (2024).

    Args:
        passed: Episodes on this task that passed.
        n: Episodes on this task.
        k: How many are to pass together.

    Raises:
        ValueError: There are fewer than k episodes, or `passed` is not within [0, n].
    """
    _check("pass^", passed, n, k)
    return math.comb(passed, k) / math.comb(n, k)


def pass_at_k(passed: int, n: int, k: int) -> float:
    """Probability that at least one of k independent episodes passes.

    The unbiased estimate 1 - C(n - passed, k) / C(n, k) of Chen et al., Evaluating
    large language models trained on code, arXiv:2107.03374 (2021).

    Args:
        passed: Episodes on this task that passed.
        n: Episodes on this task.
        k: How many attempts there are.

    Raises:
        ValueError: There are fewer than k episodes, or `passed` is not within [0, n].
    """
    _check("pass@", passed, n, k)
    return 1 - math.comb(n - passed, k) / math.comb(n, k)


class KEpisodes(NamedTuple):
    """What k episodes of one case come to, as the mean over cases.

    Attributes:
        k: How many episodes of a case.
        all_pass: pass^k; None without a case that was played so often.
        any_passes: pass@k; None as before.
        cases: Cases with at least k counted episodes, of which both are the means.
        left_out: Cases with fewer.
    """

    k: int
    all_pass: float | None
    any_passes: float | None
    cases: int
    left_out: int


def k_episodes(cases: Iterable[tuple[int, int]], k: int) -> KEpisodes:
    """pass^k and pass@k as their sources have them: per case, then the mean.

    The episodes of all cases in one heap would say something else: where half of the
    cases always pass and half never, all of k episodes of a case pass with 0.5.

    Args:
        cases: Passed and counted episodes of each case.
        k: How many episodes of a case.
    """
    numbers = Counter(cases)
    enough = {(c, n): often for (c, n), often in numbers.items() if n >= k}
    size = sum(enough.values())
    left_out = numbers.total() - size
    if not size:
        return KEpisodes(k, None, None, 0, left_out)
    every = sum(often * pass_hat_k(c, n, k) for (c, n), often in enough.items())
    some = sum(often * pass_at_k(c, n, k) for (c, n), often in enough.items())
    return KEpisodes(k, every / size, some / size, size, left_out)


def _check(name: str, passed: int, n: int, k: int) -> None:
    check_counts(passed, n)
    if not 0 < k <= n:
        raise ValueError(f"{name}{k} needs at least {k} episodes, there are {n}")
