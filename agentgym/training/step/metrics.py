"""What an update did, and the sums over a pass that it is computed from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """What an update did; the names are those in `updates.jsonl`.

    Attributes:
        loss: Of the first pass.
        entropy: Mean over trained tokens, in nats.
        kl: KL to the starting policy, mean over trained tokens, in nats.
        drift: The same over frozen tokens.
        mismatch: The largest difference between sampler and trainer in the
            log-probability of a sampled token, in nats.
        mean_mismatch: Its mean over the tokens that the updated version sampled.
        grad_norm: L2 norm of the last pass's gradient, before it was clipped.
        clip_share: Share of trained tokens whose ratio was clamped or clipped in the
            last pass.
        trained_tokens: Tokens with a gradient of the policy loss.
        frozen_tokens: Sampled tokens without.
        seconds: Wall time.
    """

    loss: float
    entropy: float
    kl: float
    drift: float
    mismatch: float
    mean_mismatch: float
    grad_norm: float
    clip_share: float
    trained_tokens: int
    frozen_tokens: int
    seconds: float


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

    @property
    def mean_mismatch(self) -> float:
        """The mean over tokens that the updated version sampled."""
        return self.mismatch_sum / max(self.fresh, 1)
