"""Every number that decides what the embedded policy becomes."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How the policy is made; the same recipe and versions give the same weights.

    Attributes:
        clean_steps: Updates on dialogues without mistakes: competence comes first.
        mixed_steps: Updates with mistakes mixed in, afterwards.
        mistakes: Share of those dialogues that hold one deliberate mistake.
        batch: Dialogues in an update, on average.
        at_once: Dialogues computed at a time, all of one pack and one prompt: an update
            has parts of several.
        rest_weight: Loss weight of tokens that are not the assistant's. A tool result
            repeats what the call named, and predicting that teaches to copy.
        matrix_rate: Peak learning rate of the weight matrices (Muon).
        rate: Peak learning rate of the rest (AdamW).
        mixed_rate: Share of both peaks that the second phase begins with.
        temperature: Sampling temperature that the weights themselves have: the final
            norm, and so all logits, are divided by it. Imitation leaves long tails, and
            half of all failures would be tokens of less than one in a hundred.
        threads: Threads of torch; another number rounds sums otherwise.
    """

    seed: int = 0
    vocabulary: int = 2048
    vocabulary_dialogues: int = 3000
    hidden: int = 256
    layers: int = 5
    heads: int = 4
    feed_forward: int = 640
    context: int = 2048
    clean_steps: int = 2800
    mixed_steps: int = 500
    mistakes: float = 0.33
    batch: int = 16
    at_once: int = 8
    rest_weight: float = 0.3
    matrix_rate: float = 3e-3
    rate: float = 3e-3
    mixed_rate: float = 0.25
    warmup: int = 25
    temperature: float = 0.9
    threads: int = 2

    @property
    def steps(self) -> int:
        """Updates of both phases."""
        return self.clean_steps + self.mixed_steps

    def rate_share(self, step: int) -> float:
        """Share of the peak learning rates: warm-up, then a cosine in each phase."""
        if step < self.clean_steps:
            peak, done = 1.0, step / self.clean_steps
            peak *= min(1.0, (step + 1) / self.warmup)
        else:
            peak, done = self.mixed_rate, (step - self.clean_steps) / self.mixed_steps
        return peak * (0.03 + 0.97 * 0.5 * (1 + math.cos(math.pi * done)))

    def mistakes_at(self, step: int) -> float:
        """Share of dialogues with a mistake in an update."""
        return 0.0 if step < self.clean_steps else self.mistakes
