"""Log-probabilities of sampled tokens, common prefixes computed once, with gradient.

The prefix's keys and values are computed once per bundle. Its parts attend to a
detached copy, which collects their gradients; at the end these flow back through the
prefix. So the memory of one part is all that is needed at a time, and the gradient is
that of whole rows.

Axes: B rows of a part, L tokens behind the prefix, N sampled tokens, D width, V
vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from agentgym.policy.engine.free_memory import free_memory
from agentgym.training.batch.rows import TrainingRow
from agentgym.training.step.bundles import bundle, chunks
from agentgym.training.step.head import Head, output_layer, token_logprobs
from agentgym.training.step.recompute import PrefixKeys, Recompute, kept_bytes

_AGREE = 1e-4


@dataclass(frozen=True, slots=True)
class Part:
    """What a forward pass over some rows computed.

    Attributes:
        rows: Numbers of the rows, in whose order the N tokens stand.
        logprobs_N: Log-probability of each sampled token, with gradient if asked for.
        entropies_N: Entropy, in nats, of the distribution it was drawn from.
    """

    rows: list[int]
    logprobs_N: Tensor  # noqa: N815
    entropies_N: Tensor  # noqa: N815


class Forward:
    """Runs rows through a causal LM.

    Args:
        model: A Hugging Face causal LM (with LoRA layers in it, or without).
        share: Whether common prefixes are computed once; models for which this does
            not give the same result are run row by row all the same.
        recompute: Whether activations are computed again in the backward pass; None:
            where keeping them takes more than half of the memory that is free.
    """

    def __init__(
        self, model: Any, *, share: bool = True, recompute: bool | None = None
    ) -> None:
        self._model = model
        self._wanted = recompute
        self._recompute = Recompute(model)
        self._kept_bytes = self._kept_of_a_token()
        self._head = self._separate_head()
        layer = model.get_output_embeddings()
        self._frozen = layer is not None and not any(
            p.requires_grad for p in layer.parameters()
        )
        self.shares = share and self._can_share()

    def __call__(
        self,
        rows: Sequence[TrainingRow],
        *,
        tokens: int,
        on_part: Callable[[Part], Tensor | None],
    ) -> None:
        """Runs the rows part by part.

        Args:
            rows: What to run; rows without sampled tokens are passed over.
            tokens: The most tokens, padding included, of one part.
            on_part: Gets each part; where it returns a loss, its gradient is added to
                the parameters'. Gradients are computed only if they are enabled.
        """
        numbers = [i for i, row in enumerate(rows) if row.sampled]
        ids = [rows[i].ids[: rows[i].sampled[-1] + 1] for i in numbers]
        # A token is predicted at the place before it, which must be in the row's part.
        limits = [rows[i].sampled[0] - 1 if self.shares else 0 for i in numbers]
        for made in bundle(ids, [max(limit, 0) for limit in limits]):
            prefix = ids[made.rows[0]][: made.prefix]

            def padded(place: int, begun: int = made.prefix) -> int:
                return len(ids[place]) - begun

            parts = chunks(made.rows, padded, tokens)
            largest = max(len(part) * padded(part[-1]) for part in parts)
            again = self._is_too_much(len(prefix) + largest)
            with self._recompute(again):
                computed, shared = self._prefix(prefix)
            for places in parts:
                with self._recompute(again):
                    part = self._part(
                        [rows[numbers[p]] for p in places],
                        [ids[p] for p in places],
                        made.prefix,
                        shared,
                        [numbers[p] for p in places],
                    )
                loss = on_part(part)
                if loss is not None:
                    loss.backward()  # type: ignore[no-untyped-call]
            collected = [
                (tensor, leaf.grad)
                for tensor, leaf in zip(computed, shared, strict=True)
                if leaf.grad is not None
            ]
            if collected:
                tensors, gradients = zip(*collected, strict=True)
                torch.autograd.backward(tensors, gradients)

    def _is_too_much(self, tokens: int) -> bool:
        """Whether activations of so many tokens are computed again."""
        if self._wanted is not None or not torch.is_grad_enabled():
            return bool(self._wanted)
        most = free_memory(self._model.device) // 2
        return self._kept_bytes * tokens > most

    def _kept_of_a_token(self) -> float:
        """Bytes that are kept of it for the backward pass; 0 where it is not known."""
        ids = _probe(self._model)
        try:
            return kept_bytes(self._model.base_model, ids) / ids.numel()
        except Exception:  # noqa: BLE001 - a model of another make
            return 0.0

    def _prefix(self, ids: list[int]) -> tuple[list[Tensor], list[Tensor]]:
        """Keys and values of a prefix, layer by layer, and their detached copies."""
        if not ids:
            return [], []
        ids_1P = torch.tensor([ids], device=self._model.device)
        cache = PrefixKeys()
        self._model.base_model(input_ids=ids_1P, past_key_values=cache, use_cache=True)
        layers: list[Any] = cache.layers
        computed: list[Tensor] = [t for x in layers for t in (x.keys, x.values)]
        # Below the first layer with LoRA weights there is nothing to collect.
        return computed, [t.detach().requires_grad_(t.requires_grad) for t in computed]

    def _part(
        self,
        rows: list[TrainingRow],
        ids: list[list[int]],
        prefix: int,
        shared: list[Tensor],
        numbers: list[int],
    ) -> Part:
        device = self._model.device
        length = max(map(len, ids)) - prefix
        ids_BL = torch.zeros(len(ids), length, dtype=torch.long)
        for place, row in enumerate(ids):
            ids_BL[place, : len(row) - prefix] = torch.tensor(row[prefix:])
        ids_BL = ids_BL.to(device)
        at_B = [b for b, row in enumerate(rows) for _ in row.sampled]
        at_L = [t - 1 - prefix for row in rows for t in row.sampled]
        wanted = torch.tensor([at_B, at_L], device=device)
        targets_N = torch.tensor(
            [row.ids[t] for row in rows for t in row.sampled], device=device
        )
        logprobs_N, entropies_N = token_logprobs(
            self._head or _as_they_are,
            self._outputs(ids_BL, shared, wanted),
            targets_N,
            width=int(self._model.config.vocab_size),
            frozen=self._head is not None and self._frozen,
        )
        return Part(numbers, logprobs_N, entropies_N)

    def _outputs(self, ids_BL: Tensor, shared: list[Tensor], wanted: Tensor) -> Tensor:
        """Hidden states [N, D] at the places [2, N]; logits [N, V] without a head."""
        # Padding comes last, so that a causal mask is all that is needed.
        cache = None
        if shared:
            cache = PrefixKeys()
            for layer in range(len(shared) // 2):
                cache.update(shared[2 * layer], shared[2 * layer + 1], layer)
            cache.shared = True
        given: dict[str, Any] = {"input_ids": ids_BL, "past_key_values": cache}
        given["use_cache"] = cache is not None
        if self._head is None:
            logits: Tensor = self._model(**given).logits
            return logits[wanted[0], wanted[1]]
        hidden: Tensor = self._model.base_model(**given).last_hidden_state
        return hidden[wanted[0], wanted[1]]

    def _separate_head(self) -> Head | None:
        """What makes logits of hidden states, if the model does nothing else to them.

        Logits of all places at once are the most memory that a model takes.
        """
        model = self._model
        ids = _probe(model)
        with torch.no_grad():
            whole = model(input_ids=ids).logits
            try:
                head = output_layer(model)
                apart = head(model.base_model(input_ids=ids).last_hidden_state)
            except Exception:  # noqa: BLE001 - whatever is unusual, the whole works
                return None
        return head if _close(whole, apart) else None

    def _can_share(self) -> bool:
        """Whether a prefix computed apart gives the same logits, tried on a few."""
        ids = _probe(self._model)
        everywhere = torch.tensor([[0] * 8, list(range(8))], device=ids.device)
        with torch.no_grad():
            try:
                whole = self._outputs(ids, [], everywhere + ids.new_tensor([[0], [16]]))
                _, shared = self._prefix(ids[0, :16].tolist())
                if not shared:
                    return False
                apart = self._outputs(ids[:, 16:], shared, everywhere)
            except Exception:  # noqa: BLE001 - a cache of another kind
                return False
        return _close(whole, apart)


def _as_they_are(logits_CV: Tensor) -> Tensor:
    return logits_CV


def _probe(model: Any) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    width = int(model.config.vocab_size)
    return torch.randint(width, (1, 24), generator=generator).to(model.device)


def _close(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape:
        return False
    tolerance = 0.1 if one.dtype in (torch.float16, torch.bfloat16) else _AGREE
    scale = max(1.0, float(one.abs().max()))
    return bool((one - other).abs().max() <= tolerance * scale)
