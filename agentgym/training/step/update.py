"""One on-policy step on the LoRA weights of a policy.

Axes: N sampled tokens of a part.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from agentgym.errors import UsageError
from agentgym.policy.engine.loading import SMALL, LoadedPolicy
from agentgym.policy.folders.hub_cache import hub_model
from agentgym.runs.files.updates import Metrics
from agentgym.training.batch.batch import BatchRow, trained_tokens
from agentgym.training.job.config import TrainingConfig
from agentgym.training.step.forward import Forward, Part
from agentgym.training.step.lora import pin_base, quiet, with_lora
from agentgym.training.step.loss import kl_to_start, policy_loss
from agentgym.training.step.pass_sums import PassSums
from agentgym.training.step.sampler_mismatch import PoliciesDisagree, SamplerMismatch

T = TypeVar("T")

MAX_GRADIENT = 1.0
BETAS = (0.9, 0.99)
CPU_PART, GPU_PART, LEAST_PART = 1_024, 16_384, 256
"""Tokens of a part: on a CPU what its caches hold is fastest; the last is the size at
which memory is declared too small."""
REFERENCED = 4
"""One row of so many is compared with the starting policy."""


class Updater:
    """A policy with LoRA weights, its optimizer, and the step that trains them."""

    def __init__(
        self,
        policy: LoadedPolicy,
        config: TrainingConfig,
        *,
        seed: int = 0,
        adapter: Path | None = None,
        sampler: str | None = None,
    ) -> None:
        """Puts LoRA layers on all linear layers of the policy's model.

        Args:
            policy: The base model; it is changed.
            config: Rank, learning rate and so on.
            seed: Of the LoRA matrices' first values.
            adapter: Folder of LoRA weights that training goes on from.
            sampler: Another engine that samples, by the name it has in messages; None
                for our own.

        Raises:
            UsageError: The adapter does not fit, or the model has no linear layers.
        """
        self._config = config
        self._part = CPU_PART if policy.model.device.type == "cpu" else GPU_PART
        self._updates = 0
        torch.manual_seed(seed)
        self.model = with_lora(policy.model, config, adapter)
        pin_base(self.model, hub_model(policy.path))
        size = sum(p.numel() for p in self.model.parameters())
        if size < SMALL:
            torch.set_num_threads(1)
        inner = self.model.get_base_model()
        self._forward = Forward(inner, recompute=config.gradient_checkpointing)
        self._sampler = sampler
        self._exact = sampler is None and policy.model.dtype == torch.float32
        self.parameters: dict[str, Tensor] = {
            name: p for name, p in self.model.named_parameters() if p.requires_grad
        }
        self._start = self._weights()
        self._optimizer = torch.optim.AdamW(
            self.parameters.values(),
            lr=config.learning_rate,
            betas=BETAS,
            weight_decay=0.0,
        )

    def update(
        self,
        batch: Sequence[BatchRow],
        *,
        episodes: int | None = None,
        scale: float = 1.0,
    ) -> Metrics:
        """Takes a step on a batch, in as many passes as the config says.

        Args:
            batch: The rows.
            episodes: What the loss is the mean over: all episodes that were played for
                the batch, also those of zero-variance groups, so that steps get
                smaller when there is less to learn. By default those of the rows.
            scale: Share of the learning rate that is used.

        Raises:
            PoliciesDisagree: The recorded log-probabilities are not this policy's.
            UsageError: The loss is not finite, or the memory too small.
        """
        begun = time.monotonic()
        start = self._in_memory(lambda: self._start_logprobs(batch))
        mean_over = episodes or max(sum(sum(made.weights) for made in batch), 1e-9)
        frozen = sum(sum(batch[i].frozen) for i in start)
        for group in self._optimizer.param_groups:
            group["lr"] = scale * self._config.learning_rate
        passes: list[PassSums] = []
        mismatch = SamplerMismatch(
            not self._exact, self._sampler or "the policy server"
        )
        norm = 0.0
        for _ in range(self._config.epochs):
            sums = self._in_memory(
                lambda: self._gradient(batch, start, mean_over, frozen, mismatch)
            )
            norm = float(
                torch.nn.utils.clip_grad_norm_(self.parameters.values(), MAX_GRADIENT)
            )
            if not (math.isfinite(sums.loss) and math.isfinite(norm)):
                raise self._diverged()
            if not passes:
                self._check_agreement(mismatch, sums)
            passes.append(sums)
            self._step(batch)
        self._updates += 1
        first, last = passes[0], passes[-1]
        trained = max(first.trained, 1)
        compared = trained_tokens([batch[i] for i in start])
        return Metrics(
            loss=first.loss,
            entropy=first.entropy / trained,
            kl=first.kl / max(compared, 1),
            drift=first.drift / max(frozen, 1),
            mismatch=first.mismatch,
            mean_mismatch=first.mean_mismatch,
            corrected_share=first.corrected / trained,
            truncated_share=first.truncated / trained,
            grad_norm=norm,
            clip_share=last.clipped / trained,
            trained_tokens=int(first.trained),
            frozen_tokens=int(first.frozen),
            seconds=time.monotonic() - begun,
        )

    def free_memory(self) -> None:
        """Gives back what torch keeps of a GPU's memory for the next update."""
        if self.model.device.type == "cuda":
            torch.cuda.empty_cache()

    def save_adapter(self, folder: Path) -> None:
        """Writes the LoRA weights as peft does: safetensors and a config."""
        with quiet():
            self.model.save_pretrained(
                str(folder), safe_serialization=True, save_embedding_layers=False
            )

    def state(self) -> dict[str, Tensor]:
        """Weights, optimizer state and number of updates, as tensors only."""
        state = {f"weight/{name}": value for name, value in self._weights().items()}
        state["updates"] = torch.tensor(self._updates)
        for name, parameter in self.parameters.items():
            for key, value in self._optimizer.state.get(parameter, {}).items():
                state[f"{key}/{name}"] = torch.as_tensor(value).clone()
        return state

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Goes on from what `state` gave."""
        self._updates = int(state["updates"])
        self._optimizer.state.clear()
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(state[f"weight/{name}"])
                if f"step/{name}" in state:
                    self._optimizer.state[parameter] = {
                        "step": state[f"step/{name}"].clone(),
                        "exp_avg": _like(parameter, state[f"exp_avg/{name}"]),
                        "exp_avg_sq": _like(parameter, state[f"exp_avg_sq/{name}"]),
                    }

    def _in_memory(self, work: Callable[[], T]) -> T:
        """Does a pass over the rows, once more in smaller parts where memory ends."""
        while True:
            try:
                return work()
            except (MemoryError, RuntimeError) as error:
                self._optimizer.zero_grad(set_to_none=True)
                if not out_of_memory(error):
                    raise
                if self._part <= LEAST_PART:
                    raise UsageError(
                        "there is too little memory for steps of even "
                        f"{self._part} tokens: use a smaller model, lower "
                        "lora_rank, or shorten the prompts"
                    ) from error
            self._part //= 2
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    def _gradient(
        self,
        batch: Sequence[BatchRow],
        start: dict[int, Tensor],
        episodes: float,
        frozen: float,
        mismatch: SamplerMismatch,
    ) -> PassSums:
        """Computes the gradient of the batch's loss, and what is reported of it."""
        sums = PassSums()
        self._optimizer.zero_grad(set_to_none=True)

        def on_part(part: Part) -> Tensor:
            return self._loss(part, batch, start, episodes, frozen, mismatch, sums)

        rows = [made.row for made in batch]
        self._forward(rows, tokens=self._part, on_part=on_part)
        return sums

    def _loss(
        self,
        part: Part,
        batch: Sequence[BatchRow],
        start: dict[int, Tensor],
        episodes: float,
        frozen: float,
        mismatch: SamplerMismatch,
        sums: PassSums,
    ) -> Tensor:
        """The part's share of the batch's loss; adds to the sums."""
        logprobs_N = part.logprobs_N

        def joined(of_row: Any) -> Tensor:
            values = [v for i in part.rows for v in of_row(batch[i])]
            return logprobs_N.new_tensor(values)

        recorded_N = joined(lambda made: made.row.logprobs)
        weights_N = joined(lambda made: made.weights)
        frozen_N = joined(lambda made: made.frozen)
        fresh_N = joined(lambda made: made.fresh)
        # Where it is not known, the present policy stands in: no KL and no gradient.
        sizes = [len(batch[i].row.sampled) for i in part.rows]
        at = torch.split(logprobs_N.detach(), sizes)
        start_N = torch.cat(
            [start.get(i, now) for i, now in zip(part.rows, at, strict=True)]
        )
        base_N, importance_N = mismatch.ratio_base(
            part.rows, logprobs_N, recorded_N, sizes
        )
        losses_N, clipped_N = policy_loss(
            logprobs_N,
            base_N,
            joined(lambda made: made.advantages),
            self._config.loss,
        )
        kl_N = kl_to_start(logprobs_N, start_N)
        loss = (losses_N * importance_N * weights_N).sum() / episodes
        if self._config.frozen_kl and frozen:
            loss = loss + self._config.frozen_kl * (kl_N * frozen_N).sum() / frozen
        with torch.no_grad():
            trained_N = weights_N > 0
            mismatch.add(sums, logprobs_N - recorded_N, fresh_N, trained_N)
            sums.loss += float(loss)
            sums.entropy += float(part.entropies_N[trained_N].sum())
            sums.kl += float(kl_N[trained_N].sum())
            sums.drift += float((kl_N * frozen_N).sum())
            sums.clipped += float((clipped_N & trained_N).sum())
            sums.trained += float(trained_N.sum())
            sums.frozen += float(frozen_N.sum())
        return loss

    def _step(self, batch: Sequence[BatchRow]) -> None:
        """Steps, unless the policy would then give no finite probabilities."""
        before = self._weights()
        self._optimizer.step()
        sampled = (made.row for made in batch if made.row.sampled)
        least = min(sampled, key=lambda row: len(row.ids))
        finite: list[bool] = []

        def on_part(part: Part) -> None:
            finite.append(bool(part.logprobs_N.isfinite().all()))

        with torch.no_grad():
            self._forward([least], tokens=self._part, on_part=on_part)
        if not all(finite):
            self._assign(before)
            raise self._diverged()

    def _diverged(self) -> UsageError:
        self._optimizer.zero_grad(set_to_none=True)
        return UsageError(
            "the loss is not finite: lower learning_rate; the version before this "
            "update is kept"
        )

    def _check_agreement(self, mismatch: SamplerMismatch, sums: PassSums) -> None:
        try:
            mismatch.check(sums)
        except PoliciesDisagree:
            self._optimizer.zero_grad(set_to_none=True)
            raise

    def _start_logprobs(self, batch: Sequence[BatchRow]) -> dict[int, Tensor]:
        """The starting policy's log-probabilities of some rows' sampled tokens.

        Every fourth row is enough to hold frozen tokens where they are, and to measure
        how far the policy has moved; the other rows get none.
        """
        asked = range(self._updates % REFERENCED, len(batch), REFERENCED)

        start: dict[int, Tensor] = {}

        def keep(part: Part) -> None:
            sizes = [len(batch[asked[i]].row.sampled) for i in part.rows]
            for i, logprobs in zip(
                part.rows, torch.split(part.logprobs_N, sizes), strict=True
            ):
                start[asked[i]] = logprobs

        with torch.no_grad(), self._starting_weights():
            self._forward(
                [batch[i].row for i in asked], tokens=self._part, on_part=keep
            )
        return start

    @contextmanager
    def _starting_weights(self) -> Iterator[None]:
        now = self._weights()
        self._assign(self._start)
        try:
            yield
        finally:
            self._assign(now)

    def _weights(self) -> dict[str, Tensor]:
        return {name: p.detach().clone() for name, p in self.parameters.items()}

    def _assign(self, values: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(values[name])


def out_of_memory(error: BaseException) -> bool:
    """Whether torch or Python ran out of memory, on a GPU or a CPU."""
    text = str(error).lower()
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        "out of memory" in text or "can't allocate memory" in text
    )


def _like(parameter: Tensor, kept: Tensor) -> Tensor:
    return kept.to(parameter.device, copy=True)
