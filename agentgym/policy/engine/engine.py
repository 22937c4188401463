"""Continuous batching: requests join and leave the running batch between steps.

One adapter is in the model's weights at a time. A request for another one waits until
all before it are answered; then the weights are switched. Requests are admitted in the
order they came, so none waits for ever.
"""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from agentgym.errors import UsageError
from agentgym.policy.engine.adapter import AdaptedWeights, Adapter, read_adapter
from agentgym.policy.engine.generation import (
    Generation,
    SamplingParams,
    UnknownAdapterError,
)
from agentgym.policy.engine.kv.cache_choice import choose_cache
from agentgym.policy.engine.loading import SMALL, LoadedPolicy
from agentgym.policy.engine.penalties import reshape
from agentgym.policy.engine.sampling import sample
from agentgym.policy.engine.sequence import SampledRow
from agentgym.policy.engine.token_model import TokenModel


@dataclass(eq=False, slots=True)
class _Unload:
    """Waits among the requests until those before it are answered."""

    done: Future[None] = field(default_factory=Future)


class Engine:
    """Samples many requests at a time on one model, in one thread."""

    def __init__(
        self,
        policy: LoadedPolicy,
        *,
        max_rows: int = 64,
        step_tokens: int = 1024,
        threads: int | None = None,
        adapter: str | Path | None = None,
    ) -> None:
        """Prepares the model for sampling and starts the thread.

        Args:
            policy: The model; the engine takes over its attention.
            max_rows: The most requests that run at a time; more wait.
            step_tokens: The most prompt tokens read in one step, so that a long prompt
                does not hold up the requests that are being answered.
            threads: Threads of torch; by default 1 for a small model, whose products
                are too small to share, and all cores but one for others.
            adapter: Folder of an adapter for the requests that name none.

        Raises:
            UsageError: The adapter does not fit the model.
        """
        self.policy: TokenModel = policy
        self._max_rows = max_rows
        self._step_tokens = step_tokens
        size = sum(p.numel() for p in policy.model.parameters())
        self._threads = threads or (
            1 if size < SMALL else max(1, torch.get_num_threads() - 1)
        )
        self._weights = AdaptedWeights(policy.model, name=policy.name)
        self._adapters: dict[str, Adapter] = {}
        self._default = None if adapter is None else self._read(adapter)
        torch.set_num_threads(self._threads)
        self._cache = choose_cache(policy)
        self._forbidden: Tensor | None = None
        if policy.forbidden_ids:
            forbidden_V = torch.zeros(policy.width, dtype=torch.bool)
            forbidden_V[sorted(policy.forbidden_ids)] = True
            self._forbidden = forbidden_V.to(policy.model.device)
        self._running: dict[SampledRow, Generation] = {}
        self._waiting: deque[Generation | _Unload] = deque()
        self._inbox: deque[Generation | _Unload] = deque()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(
            target=self._run, name="agentgym-engine", daemon=True
        )
        self._thread.start()

    def submit(self, generation: Generation) -> Generation:
        """Queues a request; returns at once.

        Raises:
            UnknownAdapterError: Its adapter is not loaded.
        """
        if self._stopping:
            raise RuntimeError("the engine is closed")
        with self._lock:
            # From here on it has its adapter, whatever becomes of the name.
            generation._adapter = self._find(generation.adapter)
            self._inbox.append(generation)
        self._wake.set()
        return generation

    def load_adapter(self, name: str, folder: str | Path) -> None:
        """Makes an adapter's folder known by a name, in the place of an older one.

        Args:
            name: What requests ask for; not the model's own name.
            folder: As peft wrote it.

        Raises:
            UsageError: It is no LoRA adapter for this model, or the name is no good.
        """
        if not name or name == self.policy.name:
            raise UsageError(f"{name!r} cannot be an adapter's name: choose another")
        self._adapters[name] = self._read(folder)

    def unload_adapter(self, name: str) -> Future[None]:
        """Forgets an adapter: at once for new requests, those queued still run.

        Returns:
            Done when they are answered and its weights are gone.

        Raises:
            UnknownAdapterError: It is not loaded.
        """
        item = _Unload()
        with self._lock:
            self._find(name)
            del self._adapters[name]
            self._inbox.append(item)
        self._wake.set()
        return item.done

    @property
    def adapters(self) -> dict[str, Path]:
        """Names and folders of the loaded adapters."""
        return {name: adapter.path for name, adapter in [*self._adapters.items()]}

    def generate(
        self,
        prompt: Sequence[int],
        params: SamplingParams | None = None,
        adapter: str | None = None,
    ) -> Generation:
        """Samples one reply and waits for it.

        Args:
            prompt: Token ids [T].
            params: How to sample; by default at temperature 1.
            adapter: Name of a loaded adapter; None: the weights of the start.
        """
        return self.generate_all([prompt], params, adapter)[0]

    def generate_all(
        self,
        prompts: Sequence[Sequence[int]],
        params: SamplingParams | None = None,
        adapter: str | None = None,
    ) -> list[Generation]:
        """Samples a reply to each prompt, all in flight together.

        Args:
            prompts: Token ids of each.
            params: How to sample all of them; by default at temperature 1.
            adapter: Name of a loaded adapter; None: the weights of the start.

        Returns:
            The finished requests, in the order of the prompts.
        """
        params = params or SamplingParams()
        futures: list[Future[Generation]] = [Future() for _ in prompts]
        for prompt, future in zip(prompts, futures, strict=True):
            self.submit(Generation(prompt, params, adapter, on_done=future.set_result))
        done = [future.result() for future in futures]
        for generation in done:
            if generation.error is not None:
                raise generation.error
        return done

    @property
    def load(self) -> tuple[int, int]:
        """How many requests run, and how many wait."""
        return len(self._running), len(self._waiting) + len(self._inbox)

    @property
    def trouble(self) -> str | None:
        """None: what fails in this process fails with its request."""
        return None

    def rest(self) -> None:
        """Nothing: the trainer finds room beside what it holds."""

    def wake(self) -> None:
        """Nothing, as `rest`."""

    def stop(self) -> None:
        """Cancels everything and ends after the current step; returns at once."""
        self._stopping = True
        self._wake.set()

    def close(self) -> None:
        """Stops, and waits until it is done."""
        self.stop()
        self._thread.join()

    def _read(self, folder: str | Path) -> Adapter:
        adapter = read_adapter(folder)
        self._weights.check(adapter)
        return adapter

    def _find(self, name: str | None) -> Adapter | None:
        if name is None:
            return self._default
        adapter = self._adapters.get(name)
        if adapter is None:
            raise UnknownAdapterError(f"the adapter {name!r} is not loaded")
        return adapter

    # The engine's thread.

    def _run(self) -> None:
        torch.set_num_threads(self._threads)
        with torch.inference_mode():
            while not self._stopping:
                try:
                    self._turn()
                except Exception as error:  # noqa: BLE001
                    self._fail(error)
            # Whoever uses the model next finds it as it was.
            self._weights.use(None)
        for item in [*self._running.values(), *self._waiting, *self._inbox]:
            if isinstance(item, _Unload):
                item.done.set_exception(RuntimeError("the engine is closed"))
            else:
                self._finish(item, "cancelled")

    def _turn(self) -> None:
        self._wake.clear()
        while self._inbox:
            self._waiting.append(self._inbox.popleft())
        for row, generation in list(self._running.items()):
            if generation.cancelled:
                self._leave(row, "cancelled")
        self._admit()
        if not self._running:
            if not self._waiting and not self._inbox:
                self._wake.wait()
            return
        counts = self._plan()
        logits = self._cache.forward(counts)
        ready = [(i, row) for i, row in enumerate(self._cache.rows) if row.pending == 0]
        if ready:
            self._extend(ready, logits)

    def _admit(self) -> None:
        later: deque[Generation] = deque()
        while self._waiting and len(self._running) < self._max_rows:
            generation = self._waiting[0]
            if not self._switch_for(generation):
                break
            self._waiting.popleft()
            if isinstance(generation, _Unload):
                generation.done.set_result(None)
                continue
            if generation.cancelled or generation.error is not None:
                reason = "cancelled" if generation.cancelled else "error"
                self._finish(generation, reason, generation.error)
                continue
            row = generation._row or SampledRow(generation.prompt)
            generation._row = row
            if self._cache.blocked(row):
                later.append(generation)
                continue
            try:
                generation.cached_tokens = self._cache.admit(row)
            except Exception as error:  # noqa: BLE001
                # Too little memory, say: this request fails, and the others go on.
                if row in self._cache.rows:
                    self._cache.release(row, keep=False)
                self._finish(generation, "error", error)
                continue
            seed = generation.params.seed
            # Its own: what it draws does not depend on what the batch holds.
            generation._generator = random.Random(  # noqa: S311
                generation.draw if seed is None else seed
            )
            self._running[row] = generation
        self._waiting.extendleft(reversed(later))

    def _switch_for(self, first: Generation | _Unload) -> bool:
        """Gets the weights ready for the first in the queue; False: not yet."""
        active = self._weights.active
        if isinstance(first, _Unload):
            known = (self._default, *self._adapters.values())
            wanted = active if active in known else self._default
        elif first.cancelled:
            return True
        else:
            wanted = first._adapter
        if wanted is active:
            return True
        if self._running:
            return False
        self._cache.clear()
        try:
            self._weights.use(wanted)
        except Exception as error:  # noqa: BLE001
            # Out of memory, say: the request fails, and the base weights are back.
            if isinstance(first, Generation):
                first.error = error
        return True

    def _plan(self) -> list[int]:
        """How many tokens each row runs: prompts share what the step allows."""
        left = self._step_tokens
        counts = []
        for row in self._cache.rows:
            count = 1 if row.pending == 1 else min(row.pending, left)
            left -= count if row.pending > 1 else 0
            counts.append(count)
        return counts

    def _extend(self, ready: list[tuple[int, SampledRow]], logits: Tensor) -> None:
        if len(ready) < len(logits):
            logits = logits[[i for i, _ in ready]]
        generations = [self._running[row] for _, row in ready]
        draws = sample(
            logits,
            [g.params for g in generations],
            [g._generator for g in generations if g._generator],
            self._forbidden,
            [self._allowed(g) for g in generations],
            {
                i: reshape(logits[i], g.params, g.prompt, g.token_ids)
                for i, g in enumerate(generations)
                if g.params.reshapes
            },
        )
        for (_, row), generation, draw in zip(ready, generations, draws, strict=True):
            row.sampled.append(draw.token)
            generation.token_ids.append(draw.token)
            generation.logprobs.append(draw.logprob)
            if generation.params.top_logprobs:
                generation.top_logprobs.append(draw.top)
            if generation.constraint is not None:
                generation.constraint.accept(draw.token)
            reason = self._reason_to_stop(generation, row)
            if reason:
                self._leave(row, reason)
            elif generation.on_step is not None:
                generation.on_step(generation)

    def _allowed(self, generation: Generation) -> Tensor | None:
        if generation.constraint is None:
            return None
        try:
            return generation.constraint.allowed()
        except Exception as error:  # noqa: BLE001
            # This request fails after the step, and the others go on.
            generation.error = error
            return None

    def _reason_to_stop(self, generation: Generation, row: SampledRow) -> str | None:
        params = generation.params
        if generation.error is not None:
            return "error"
        if generation.token_ids[-1] in self.policy.stop_ids and not params.ignore_eos:
            return "stop"
        if params.stop and self._hit_stop(generation):
            return "stop"
        if len(generation.token_ids) >= params.max_tokens:
            return "length"
        return "length" if row.length >= self.policy.context else None

    def _hit_stop(self, generation: Generation) -> bool:
        # A token is at least a byte, but for special ones: this tail is long enough.
        longest = max(len(stop.encode()) for stop in generation.params.stop)
        tail = generation.token_ids[-longest - 4 :]
        text = self.policy.tokenizer.decode(tail, skip_special_tokens=False)
        for stop in generation.params.stop:
            if stop in text:
                generation.stop_text = stop
                return True
        return False

    def _leave(self, row: SampledRow, reason: str) -> None:
        generation = self._running.pop(row)
        self._cache.release(row)
        self._finish(generation, reason, generation.error)

    def _finish(
        self, generation: Generation, reason: str, error: BaseException | None = None
    ) -> None:
        generation.finish_reason = reason
        generation.error = error
        generation._row = generation._generator = None
        if generation.on_done is not None:
            generation.on_done(generation)

    def _fail(self, error: BaseException) -> None:
        """A step failed (out of memory, say): its requests fail, the engine goes on."""
        for row, generation in list(self._running.items()):
            del self._running[row]
            if row in self._cache.rows:
                self._cache.release(row, keep=False)
            self._finish(generation, "error", error)
