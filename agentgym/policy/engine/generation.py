"""What the engine is asked for, and what it gives back. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import random
    from concurrent.futures import Future
    from pathlib import Path

    from torch import Tensor

    from agentgym.policy.engine.adapter import Adapter
    from agentgym.policy.engine.sequence import SampledRow
    from agentgym.policy.engine.token_model import TokenModel


@dataclass(frozen=True, kw_only=True, slots=True)
class SamplingParams:
    """How one request wants its tokens chosen.

    `top_logprobs` alternatives are reported per token. Log-probabilities, as vLLM's
    (`raw_logprobs`), are those of the model itself: at temperature 1, before top_p,
    top_k and min_p cut, before penalties and biases, and without a constraint. The
    trainer computes the same ones from the tokens.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    logit_bias: tuple[tuple[int, float], ...] = ()
    seed: int | None = None
    max_tokens: int = 1024
    stop: tuple[str, ...] = ()
    top_logprobs: int = 0
    ignore_eos: bool = False

    @property
    def reshapes(self) -> bool:
        """Whether logits are changed by what was said, or by token."""
        return (
            bool(self.logit_bias)
            or self.repetition_penalty != 1
            or self.presence_penalty != 0
            or self.frequency_penalty != 0
        )


class TokenEngine(Protocol):
    """What samples: prompt ids in; sampled ids and log-probabilities out.

    `agentgym.policy.engine.engine` is ours, `agentgym.policy.vllm_engine` asks vLLM.
    """

    @property
    def policy(self) -> TokenModel:
        """What the server asks of the model: name, sizes, tokenizer, stop tokens."""

    def submit(self, generation: Generation) -> Generation:
        """Queues a request; returns at once, and calls it back.

        Raises:
            UnknownAdapterError: Its adapter is not loaded.
        """

    @property
    def adapters(self) -> dict[str, Path]:
        """Names and folders of the loaded adapters."""

    def load_adapter(self, name: str, folder: str | Path) -> None:
        """Makes an adapter's folder known by a name, in the place of an older one.

        Args:
            name: What requests ask for; not the model's own name.
            folder: As peft wrote it.

        Raises:
            UsageError: It cannot be served.
            InfraError: What samples does not answer.
        """

    def unload_adapter(self, name: str) -> Future[None]:
        """Forgets an adapter: at once for new requests, those queued still run.

        Returns:
            Done when they are answered and its weights are gone.

        Raises:
            UnknownAdapterError: It is not loaded.
        """

    @property
    def load(self) -> tuple[int, int]:
        """How many requests run, and how many wait."""

    @property
    def trouble(self) -> str | None:
        """Why nothing is sampled, in one sentence; None as long as all is well."""

    def rest(self) -> None:
        """Frees the GPU's memory until `wake`; nothing is asked meanwhile.

        Raises:
            InfraError: It does not.
        """

    def wake(self) -> None:
        """Takes the memory again.

        Raises:
            InfraError: It does not.
        """

    def stop(self) -> None:
        """Cancels everything and ends soon; returns at once."""

    def close(self) -> None:
        """Stops, and waits until it is done."""


class Constraint(Protocol):
    """Says how a reply may go on."""

    @property
    def for_vllm(self) -> Mapping[str, Any]:
        """The same as vLLM's `structured_outputs`."""

    def allowed(self) -> Tensor:
        """True [V] for each token that may come next."""

    def accept(self, token: int) -> None:
        """Takes note of the token that was drawn; never raises."""


class UnknownAdapterError(LookupError):
    """No adapter of this name is loaded."""


@dataclass(eq=False, slots=True)
class Generation:
    """A request in the engine, and its result when `finish_reason` is set."""

    prompt: Sequence[int]
    params: SamplingParams
    adapter: str | None = None
    """Name of a loaded adapter; None: the weights that the engine started with."""
    draw: bytes | None = None
    """Where its random numbers come from, unless it has a seed; None: from nowhere."""
    constraint: Constraint | None = None
    """What its tokens have to fit; its log-probabilities are those without it."""
    on_step: Callable[[Generation], None] | None = None
    """Called in the engine's thread after each token."""
    on_done: Callable[[Generation], None] | None = None
    """Called in the engine's thread at the end, also after an error."""
    token_ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    top_logprobs: list[list[tuple[int, float]]] = field(default_factory=list)
    finish_reason: str | None = None
    """"stop", "length", "cancelled" or "error"."""
    stop_text: str | None = None
    """The stop string that ended it; the text is cut before it."""
    cached_tokens: int = 0
    error: BaseException | None = None
    cancelled: bool = False
    _adapter: Adapter | None = None
    _row: SampledRow | None = None
    _generator: random.Random | None = None

    def cancel(self) -> None:
        """Stops at the next step; harmless when already finished."""
        self.cancelled = True
