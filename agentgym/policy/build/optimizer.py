"""Muon for the matrices, AdamW for the rest: half the updates of AdamW alone."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import Qwen3ForCausalLM

from agentgym.policy.build.recipe import Recipe

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)


class Muon(torch.optim.Optimizer):
    """Momentum whose update is made orthogonal (Keller Jordan), in float32.

    torch's own casts to bfloat16, which is slow on a CPU that has no such products.
    """

    def __init__(self, matrices: list[Tensor], rate: float) -> None:
        super().__init__(matrices, {"lr": rate, "momentum": 0.95, "decay": 0.05})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """Updates every matrix that has a gradient."""
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.grad is None:
                    continue
                state = self.state[matrix]
                if not state:
                    state["momentum"] = torch.zeros_like(matrix)
                state["momentum"].lerp_(matrix.grad, 1 - group["momentum"])
                ahead = matrix.grad.lerp(state["momentum"], group["momentum"])
                # As large as an update of AdamW, so that one rate suits both.
                size = 0.2 * max(matrix.shape) ** 0.5
                matrix.mul_(1 - group["lr"] * group["decay"])
                matrix.add_(_orthogonal(ahead), alpha=-group["lr"] * size)


def _orthogonal(matrix: Tensor) -> Tensor:
    """The nearest matrix with singular values around 1, by Newton-Schulz steps."""
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-7)
    a, b, c = _COEFFICIENTS
    for _ in range(5):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    result: Tensor = x.T if tall else x
    return result


class Optimizer:
    """Both optimizers as one."""

    def __init__(self, model: Qwen3ForCausalLM, recipe: Recipe) -> None:
        self._recipe = recipe
        inner = {id(p) for p in model.model.layers.parameters() if p.ndim == 2}
        everything = list(model.parameters())
        self._muon = Muon([p for p in everything if id(p) in inner], recipe.matrix_rate)
        self._adam = torch.optim.AdamW(
            [p for p in everything if id(p) not in inner],
            lr=recipe.rate,
            betas=(0.9, 0.98),
            weight_decay=0.01,
        )

    def step(self, number: int) -> None:
        """Makes update `number` and clears the gradients."""
        share = self._recipe.rate_share(number)
        for optimizer, peak in (
            (self._muon, self._recipe.matrix_rate),
            (self._adam, self._recipe.rate),
        ):
            for group in optimizer.param_groups:
                group["lr"] = peak * share
            optimizer.step()
            optimizer.zero_grad()

    def state(self) -> list[dict[str, object]]:
        """What a checkpoint keeps."""
        return [self._muon.state_dict(), self._adam.state_dict()]

    def restore(self, state: list[dict[str, object]]) -> None:
        """Goes on from `state()`."""
        self._muon.load_state_dict(state[0])
        self._adam.load_state_dict(state[1])
