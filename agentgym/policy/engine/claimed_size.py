"""Whether a config describes a model that the weights beside it can fill.

transformers makes room for weights that no file has, and fills it at random. A config
that claims more layers, experts or tokens than there are would cost memory, and give
a model that nobody trained.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.nn.modules.module import register_module_module_registration_hook
from transformers import AutoModelForCausalLM
from transformers.quantizers.auto import AutoHfQuantizer

from agentgym.errors import UsageError
from agentgym.policy.chat.opened_tokenizer import OWN_CODE, needs_own_code, one_line
from agentgym.policy.chat.time_limit import time_limit
from agentgym.policy.folders.hub_cache import shown
from agentgym.policy.folders.others.config_sizes import Held
from agentgym.policy.folders.weight_files import read_held

SECONDS = 600.0
"""Until the model is built without its numbers, which takes a fraction of one; others
may take most of the machine."""
_MODULES_PER_TENSOR, _SMALL_MODEL, _MOST_MODULES = 20, 10_000, 300_000
"""Modules that a model may be made of: each takes some 4 kB of this process."""
_PACKED = 4
"""Numbers of a quantized weight that may be in one byte of its file."""
_MORE = 1.02
"""Some models have a few numbers that their files leave out."""
_FEW = 100_000
_MOST_BUFFERS = 256 << 20
"""Bytes of masks and tables that a model makes itself, such as GPT-2's."""


def check_claims(folder: Path, config: Any) -> None:
    """Checks that a model's weights are about as many as its config says.

    Args:
        folder: Of the model.
        config: As transformers read it; it is changed.

    Raises:
        UsageError: They are fewer, or no model can be built by the config.
    """
    held = read_held(folder, getattr(config, "transformers_weights", None))
    most = held.numbers * _MORE + _FEW
    if _is_quantized(config):
        most = max(most, held.size * _PACKED)
    model = _outline(folder, config, held)
    numbers = sum(weight.numel() for weight in model.parameters())
    made = sum(buffer.numel() * buffer.itemsize for buffer in model.buffers())
    if numbers > most:
        raise _not_of_these(folder, f"a model of {numbers:,} numbers", held)
    if made > max(held.size, _MOST_BUFFERS):
        raise _not_of_these(folder, f"a model with {made:,} bytes of tables", held)


def _is_quantized(config: Any) -> bool:
    """Whether transformers loads it as it is packed; it skips what it does not know."""
    said = getattr(config, "quantization_config", None)
    if not said:
        return False
    try:
        known = AutoHfQuantizer.supports_quant_method(said)  # type: ignore[no-untyped-call]
        return bool(known)
    except (AttributeError, TypeError, ValueError):  # Loading it raises the same.
        return False


def _outline(folder: Path, config: Any, held: Held) -> Any:
    """The model that a config describes, without memory for its numbers."""
    try:
        with (
            time_limit(SECONDS),
            _counted(_most_modules(held)),
            torch.device("meta"),
        ):
            return AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
                config,
                attn_implementation="sdpa",
                dtype=torch.float32,
                trust_remote_code=False,
            )
    except _TooManyError as error:
        raise _not_of_these(folder, str(error), held) from None
    except TimeoutError:
        what = f"a model that was not built within {SECONDS:g} s"
        raise _not_of_these(folder, what, held) from None
    except Exception as error:  # of another kind for each mistake
        if OWN_CODE in str(error):
            raise UsageError(needs_own_code(folder)) from error
        raise UsageError(
            f"the model in {shown(folder)} cannot be built as its config.json says: "
            f"{one_line(error)}"
        ) from error


def _most_modules(held: Held) -> int:
    return min(_MOST_MODULES, _SMALL_MODEL + _MODULES_PER_TENSOR * held.tensors)


class _TooManyError(Exception):
    """A config describes more modules than are built."""


@contextmanager
def _counted(most: int) -> Iterator[None]:
    """Lets this thread put so many modules together, and no more."""
    thread, left = threading.get_ident(), most

    def count(*_: object) -> None:
        nonlocal left
        if threading.get_ident() == thread:
            left -= 1
            if left < 0:
                raise _TooManyError(f"a model of more than {most:,} modules")

    handle = register_module_module_registration_hook(count)
    try:
        yield
    finally:
        handle.remove()


def _not_of_these(folder: Path, what: str, held: Held) -> UsageError:
    return UsageError(
        f"{folder / 'config.json'} is not the config of the weights beside it: it "
        f"describes {what}, and they are {held.tensors:,} tensors of {held.numbers:,} "
        "numbers; get both from where the model comes from"
    )
