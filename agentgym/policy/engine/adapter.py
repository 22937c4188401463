"""LoRA adapters in a model: merged into a copy of weights, or beside them.

Merged is faster, and costs the adapted weights a second time, as these have to come
back exactly. A large model gets its adapter beside them, computed as the trainer does.

Axes: O outputs and I inputs of a linear layer, R rank of the adapter.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import Linear, Parameter
from torch.utils.hooks import RemovableHandle
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from agentgym.errors import UsageError
from agentgym.policy.chat.opened_tokenizer import one_line
from agentgym.policy.folders.adapter_folder import WEIGHTS, check_adapter

COPIED = 128 << 20
"""Bytes of adapted weights up to which they are copied."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Adapter:
    """An adapter's numbers: each module's weight becomes W + scale * B @ A."""

    path: Path
    scale: float
    factors: dict[str, tuple[Tensor, Tensor]]
    """A_RI and B_OR of each module."""


def read_adapter(folder: str | Path) -> Adapter:
    """Reads a folder that peft wrote.

    Raises:
        UsageError: It is no LoRA adapter that can be merged, or it is corrupted.
    """
    checked = check_adapter(Path(folder).expanduser())
    try:
        tensors = load_file(checked.path / WEIGHTS)
        factors = {
            name: (
                tensors[f"base_model.model.{name}.lora_A.weight"].float(),
                tensors[f"base_model.model.{name}.lora_B.weight"].float(),
            )
            for name in checked.modules
        }
    except Exception as error:  # safetensors has errors of its own, without a base.
        raise UsageError(
            f"the adapter's weights {checked.path / WEIGHTS} are corrupted: "
            f"{one_line(error)}"
        ) from error
    for name, pair in factors.items():
        if not all(factor.isfinite().all() for factor in pair):
            raise UsageError(
                f"the adapter in {checked.path} is unusable: its weights of {name} "
                "are not all finite"
            )
    return Adapter(path=checked.path, scale=checked.scale, factors=factors)


class AdaptedWeights:
    """A model's weights with one adapter, or none.

    The base weights stay as they are, so that switching leaves no rounding behind.
    """

    def __init__(self, model: PreTrainedModel, *, name: str) -> None:
        """Takes over the weights of a model.

        Args:
            model: It has its base weights now.
            name: What error messages call it.
        """
        self.active: Adapter | None = None
        self._model = model
        self._name = name
        self._base: dict[str, Parameter] = {}
        self._beside: list[RemovableHandle] = []

    def check(self, adapter: Adapter) -> None:
        """Checks that an adapter is made for this model.

        Raises:
            UsageError: A module is not there, or has another shape.
        """
        for name, (a_RI, b_OR) in adapter.factors.items():
            module = self._module(name)
            if module is None:
                problem = f"which has no linear layer {name}"
            else:
                made = (b_OR.shape[0], a_RI.shape[1])
                here = tuple(_as_OI(module, module.weight).shape)
                if made == here:
                    continue
                problem = f"whose {name} is {list(here)} and not {list(made)}"
            raise UsageError(
                f"the adapter in {adapter.path} is not for the model {self._name!r}, "
                f"{problem}: use the base model that it was trained on"
            )

    def use(self, adapter: Adapter | None) -> None:
        """Puts an adapter in the place of the active one; None: the base weights."""
        if adapter is self.active:
            return
        for name, weight in self._base.items():
            self._model.get_submodule(name).weight = weight
        self._base.clear()
        for handle in self._beside:
            handle.remove()
        self._beside.clear()
        self.active = None
        if adapter is None:
            return
        # What an engine's thread makes in inference mode could be used nowhere else.
        with torch.inference_mode(mode=False), torch.no_grad():
            put = self._merge if self._size(adapter) <= COPIED else self._put_beside
            try:
                for name, factors in adapter.factors.items():
                    put(name, factors, adapter.scale)
            except BaseException:
                self.active = adapter
                self.use(None)
                raise
        self.active = adapter

    def _merge(self, name: str, factors: tuple[Tensor, Tensor], scale: float) -> None:
        module = self._module(name)
        assert module is not None
        base: Parameter = module.weight
        a_RI, b_OR = (factor.to(base.device) for factor in factors)
        merged_OI = _as_OI(module, base).float() + scale * (b_OR @ a_RI)
        merged = _as_OI(module, merged_OI).contiguous().to(base.dtype)
        self._base[name] = base
        # A new parameter: a weight that is tied to this one stays as it is.
        module.weight = Parameter(merged, requires_grad=False)

    def _put_beside(
        self, name: str, factors: tuple[Tensor, Tensor], scale: float
    ) -> None:
        module = self._module(name)
        assert module is not None
        device = module.weight.device
        a_IR = factors[0].to(device).T
        b_RO = (scale * factors[1].to(device)).T.contiguous()

        def add(_: Any, given: tuple[Tensor, ...], output: Tensor) -> None:
            # In the adapter's precision, as peft does: bfloat16 would round more.
            low_TR = given[0].reshape(-1, a_IR.shape[0]).to(a_IR.dtype) @ a_IR
            flat_TO = output.view(-1, output.shape[-1])
            if flat_TO.dtype == b_RO.dtype:
                flat_TO.addmm_(low_TR, b_RO)
            else:
                flat_TO.add_(low_TR @ b_RO)

        self._beside.append(module.register_forward_hook(add))

    def _size(self, adapter: Adapter) -> int:
        """Bytes of the weights that an adapter is for."""
        return sum(self._module(name).weight.nbytes for name in adapter.factors)

    def _module(self, name: str) -> Any:
        try:
            module = self._model.get_submodule(name)
        except AttributeError:
            return None
        return module if isinstance(module, Linear | Conv1D) else None


def _as_OI(module: Any, weight: Tensor) -> Tensor:  # noqa: N802
    """A weight with outputs first; GPT-2's layers keep theirs the other way round."""
    return weight.T if isinstance(module, Conv1D) else weight
