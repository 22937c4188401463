"""What sampler and trainer disagree on: measured, corrected, or refused.

Two engines, or half precision, round the same policy differently: then the batch is
slightly off-policy, however fresh it is. Truncated importance sampling corrects that:
each token's loss is weighted by the trainer's probability over the sampler's, at most
`LIMIT` (Yao et al., 2025, "Your efficient RL framework secretly brings you off-policy
RL training"). With our own engine in float32 there is nothing to correct, and a
difference is a bug that must not be hidden. Axes: N sampled tokens of a part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from agentgym.errors import AgentGymError
from agentgym.training.step.pass_sums import PassSums

LIMIT = 2.0
"""The most that a token's importance weight counts."""
MAX_MISMATCH = 1e-2
"""The most by which sampler and trainer may disagree on a log-probability, in nats,
where nothing is corrected: one per cent of an importance ratio. Rounding gives 1e-5 to
1e-4, and now and then 1e-3 where a random model has taken long steps."""
MAX_MEAN_MISMATCH = 0.3
"""The most on average where it is corrected. Half precision and other kernels stay
below 0.05; above this the sampler has other weights."""


class PoliciesDisagree(AgentGymError):
    """Sampling and training do not see the same policy."""


@dataclass(slots=True)
class SamplerMismatch:
    """One update's correction of the difference between sampler and trainer.

    Attributes:
        corrects: Whether it is corrected; else it must be small.
        sampler: What samples, for error messages.
    """

    corrects: bool
    sampler: str = "the policy server"
    _first: dict[int, Tensor] = field(default_factory=dict)

    def ratio_base(
        self,
        rows: Sequence[int],
        logprobs_N: Tensor,
        recorded_N: Tensor,
        sizes: list[int],
    ) -> tuple[Tensor, Tensor]:
        """What the loss's ratios are relative to, and each token's importance weight.

        Args:
            rows: Numbers of the part's rows in the batch.
            logprobs_N: The trainer's log-probabilities now.
            recorded_N: The sampler's.
            sizes: Sampled tokens of each row.

        Returns:
            The sampler's log-probabilities and weights of 1; where it is corrected, the
            trainer's own at the batch's first pass, and their weights.
        """
        if not self.corrects:
            return recorded_N, torch.ones_like(recorded_N)
        now = torch.split(logprobs_N.detach(), sizes)
        for row, values in zip(rows, now, strict=True):
            self._first.setdefault(row, values)
        first_N = torch.cat([self._first[row] for row in rows])
        return first_N, (first_N - recorded_N).exp().clamp(max=LIMIT)

    def add(
        self, sums: PassSums, difference_N: Tensor, fresh_N: Tensor, trained_N: Tensor
    ) -> None:
        """Adds a part of a pass to its sums.

        Args:
            sums: Of the pass.
            difference_N: The trainer's log-probabilities less the sampler's.
            fresh_N: 1 for what the updated version sampled: what another one did may
                well differ.
            trained_N: Whether a token is trained.
        """
        mismatch_N = difference_N.abs() * fresh_N
        sums.mismatch = max(sums.mismatch, float(mismatch_N.max()))
        sums.mismatch_sum += float(mismatch_N.sum())
        sums.fresh += float(fresh_N.sum())
        if self.corrects:
            far_N = difference_N.abs() > MAX_MISMATCH
            sums.corrected += float((far_N & trained_N).sum())
            cut_N = difference_N.exp() > LIMIT
            sums.truncated += float((cut_N & trained_N).sum())

    def check(self, sums: PassSums) -> None:
        """Checks the first pass of an update.

        Raises:
            PoliciesDisagree: The recorded log-probabilities are not this policy's.
        """
        if not self.corrects and not sums.mismatch <= MAX_MISMATCH:
            self._refuse("", sums.mismatch, MAX_MISMATCH)
        if self.corrects and not sums.mean_mismatch <= MAX_MEAN_MISMATCH:
            self._refuse(" on average", sums.mean_mismatch, MAX_MEAN_MISMATCH)

    def _refuse(self, how: str, mismatch: float, most: float) -> None:
        raise PoliciesDisagree(
            f"sampling and training differ by {mismatch:.2g}{how} in the "
            f"log-probability of a sampled token, more than {most:g}: {self.sampler} "
            "does not run the weights that are trained"
        )
