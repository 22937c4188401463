"""Sums over a pass, from which an update's metrics are computed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class PassSums:
    """Sums over the sampled tokens of one pass over a batch.

    Attributes:
        loss: The batch's loss.
        entropy: Over trained tokens, as `kl`.
        drift: The KL over frozen tokens.
        mismatch: The largest one, over tokens that the updated version sampled.
        mismatch_sum: The sum over these.
        clipped: Trained tokens whose ratio was clamped or clipped.
        trained: Tokens with a weight in the policy loss.
        frozen: Sampled tokens without.
        fresh: Tokens that the updated version sampled.
        corrected: Trained tokens on which sampler and trainer differ by more than
            rounding, and whose weight corrects that.
        truncated: Those of them whose weight is at its limit.
    """

    loss: float = 0.0
    entropy: float = 0.0
    kl: float = 0.0
    drift: float = 0.0
    mismatch: float = 0.0
    mismatch_sum: float = 0.0
    clipped: float = 0.0
    trained: float = 0.0
    frozen: float = 0.0
    fresh: float = 0.0
    corrected: float = 0.0
    truncated: float = 0.0

    @property
    def mean_mismatch(self) -> float:
        """The mean over tokens that the updated version sampled."""
        return self.mismatch_sum / max(self.fresh, 1)
