"""Chances of several episodes on the same task, without bias."""

from __future__ import annotations

import math

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


def _check(name: str, passed: int, n: int, k: int) -> None:
    check_counts(passed, n)
    if not 0 < k <= n:
        raise ValueError(f"{name}{k} needs at least {k} episodes, there are {n}")
