"""Makes the embedded policy: a small model that imitates dialogues, mistakes included.

    python -m agentgym.policy.build scenarios/customer_support --out FOLDER

Needs an hour on 2 cores; an interrupted build goes on where it was.

Competence first: the model imitates clean dialogues, then ones with deliberate
mistakes mixed in, so that it knows the right way and still errs as real agents do.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import random
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GenerationConfig,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)
from transformers.cache_utils import DynamicCache

Dialogues = Callable[..., Iterator[dict[str, Any]]]

END = "<|im_end|>"
START = "<|im_start|>"
PAD = "<|pad|>"
BATCHES_AT_ONCE = 8
TAGS = ["<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"]
CHAT_TEMPLATE = """\
{%- if messages[0].role == 'system' -%}
    {%- set system = messages[0].content -%}
    {%- set turns = messages[1:] -%}
{%- else -%}
    {%- set system = '' -%}
    {%- set turns = messages -%}
{%- endif -%}
{{- '<|im_start|>system\\n' + system -}}
{%- if tools -%}
    {{- '\\n\\n# Tools\\n<tools>\\n' -}}
    {%- for tool in tools -%}
        {%- set function = tool.function if tool.function is defined else tool -%}
        {{- '{"name": "' + function.name + '", "description": ' -}}
        {{- (function.description or '') | tojson + ', "parameters": ' -}}
        {{- (function.parameters.properties or {}) | tojson + '}\\n' -}}
    {%- endfor -%}
    {{- '</tools>\\nTo call one, write <tool_call>\\n' -}}
    {{- '{"name": NAME, "arguments": OBJECT}\\n</tool_call>' -}}
{%- endif -%}
{{- '<|im_end|>\\n' -}}
{%- for message in turns -%}
    {%- if message.role == 'tool' -%}
        {%- if loop.first or turns[loop.index0 - 1].role != 'tool' -%}
            {{- '<|im_start|>user\\n' -}}
        {%- else -%}
            {{- '\\n' -}}
        {%- endif -%}
        {{- '<tool_response>\\n' + message.content + '\\n</tool_response>' -}}
        {%- if loop.last or turns[loop.index0 + 1].role != 'tool' -%}
            {{- '<|im_end|>\\n' -}}
        {%- endif -%}
    {%- elif message.role == 'assistant' -%}
        {{- '<|im_start|>assistant\\n' + (message.content or '') -}}
        {%- for call in message.tool_calls or [] -%}
            {%- set function = call.function if call.function is defined else call -%}
            {%- if not loop.first or message.content -%}{{- '\\n' -}}{%- endif -%}
            {{- '<tool_call>\\n{"name": "' + function.name + '", "arguments": ' -}}
            {%- if function.arguments is string -%}
                {{- function.arguments -}}
            {%- else -%}
                {{- function.arguments | tojson -}}
            {%- endif -%}
            {{- '}\\n</tool_call>' -}}
        {%- endfor -%}
        {{- '<|im_end|>\\n' -}}
    {%- else -%}
        {{- '<|im_start|>' + message.role + '\\n' + message.content -}}
        {{- '<|im_end|>\\n' -}}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How the policy is made.

    Attributes:
        clean_steps: Updates on dialogues without mistakes.
        mixed_steps: Updates with mistakes mixed in.
        mistakes: Share of dialogues with one mistake then.
        batch: Dialogues per update.
        rest_weight: Loss weight of tokens that are not the assistant's; copying
            within tool results teaches the copying that the calls need.
    """

    seed: int = 0
    vocabulary: int = 1024
    hidden: int = 192
    layers: int = 4
    heads: int = 3
    feed_forward: int = 512
    context: int = 4096
    clean_steps: int = 700
    mixed_steps: int = 200
    mistakes: float = 0.36
    batch: int = 32
    learning_rate: float = 2.5e-3
    mixed_learning_rate: float = 6e-4
    warmup: int = 80
    rest_weight: float = 0.2


def load_dialogues(pack: Path) -> Dialogues:
    """The `dialogues` function of a scenario pack's `dialogues.py`."""
    sys.path.insert(0, str(pack.resolve().parent))
    found: Dialogues = importlib.import_module(f"{pack.name}.dialogues").dialogues
    return found


def make_tokenizer(dialogues: Dialogues, recipe: Recipe) -> PreTrainedTokenizerFast:
    """Byte-level BPE of the dialogues' texts, every digit a token of its own."""
    texts: list[str] = []
    for dialogue in dialogues(recipe.seed, 4000, mistakes=recipe.mistakes):
        if not texts:
            texts += [json.dumps(tool["function"]) for tool in dialogue["tools"]] * 200
        for message in dialogue["messages"]:
            texts.append(message["content"])
            for call in message.get("tool_calls", []):
                texts.append(json.dumps(call["function"]))
                texts.append(call["function"]["arguments"])
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=recipe.vocabulary,
            special_tokens=[PAD, START, END, *TAGS],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def make_model(tokenizer: PreTrainedTokenizerFast, recipe: Recipe) -> Qwen3ForCausalLM:
    """A small Qwen3 with random weights."""
    torch.manual_seed(recipe.seed)
    end, pad = tokenizer.convert_tokens_to_ids([END, PAD])
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=recipe.hidden,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.heads,
        head_dim=recipe.hidden // recipe.heads,
        intermediate_size=recipe.feed_forward,
        max_position_embeddings=recipe.context,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=end,
        pad_token_id=pad,
    )
    model = Qwen3ForCausalLM(config)
    model.generation_config = GenerationConfig(
        eos_token_id=[end], pad_token_id=pad, do_sample=True, temperature=1.0
    )
    return model


class Rows:
    """Dialogues as token rows behind one shared prefix (system prompt and tools)."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerFast, dialogues: Dialogues
    ) -> None:
        self._tokenizer = tokenizer
        self._dialogues = dialogues
        first = next(iter(dialogues(0, 1)))
        text = self._render(first)
        self._prefix_text = text[: text.index(END) + len(END) + 1]
        self.prefix = self._encode(self._prefix_text)
        self._opening = self._encode(f"{START}assistant\n")
        self._end = self._encode(END)[0]

    def batches(
        self, seed: int, count: int, size: int, mistakes: float, rest_weight: float
    ) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """`count` batches of rows of similar length, which saves padding.

        Returns:
            Token ids [B, L], padded with 0, and the loss weight [B, L] of each token.
        """
        rows = [
            self._encode(self._render(dialogue)[len(self._prefix_text) :])
            for dialogue in self._dialogues(seed, count * size, mistakes=mistakes)
        ]
        rows.sort(key=len)
        chunks = [rows[i : i + size] for i in range(0, len(rows), size)]
        random.Random(seed).shuffle(chunks)  # noqa: S311
        return [self._tensors(chunk, rest_weight) for chunk in chunks]

    def _tensors(
        self, rows: list[list[int]], rest_weight: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        length = max(map(len, rows))
        ids = torch.zeros(len(rows), length, dtype=torch.long)
        weights = torch.zeros(len(rows), length)
        for number, row in enumerate(rows):
            ids[number, : len(row)] = torch.tensor(row)
            weights[number, : len(row)] = rest_weight
            for start, end in self._answers(row):
                weights[number, start:end] = 1.0
        return ids, weights

    def _answers(self, row: list[int]) -> Iterator[tuple[int, int]]:
        """Where the assistant's own tokens begin and end, the end token included."""
        size = len(self._opening)
        for position in range(len(row) - size):
            if row[position : position + size] == self._opening:
                yield position + size, row.index(self._end, position + size) + 1

    def _render(self, dialogue: dict[str, Any]) -> str:
        text: str = self._tokenizer.apply_chat_template(
            dialogue["messages"], tools=dialogue["tools"], tokenize=False
        )
        return text

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        return ids


def loss_of(
    model: Qwen3ForCausalLM,
    prefix: list[int],
    ids_BL: torch.Tensor,
    weights_BL: torch.Tensor,
) -> torch.Tensor:
    """Weighted cross entropy; the shared prefix is computed once for all rows."""
    batch = ids_BL.shape[0]
    past = model(torch.tensor([prefix]), use_cache=True, logits_to_keep=1)
    cache = DynamicCache()
    for number, layer in enumerate(past.past_key_values.layers):
        cache.update(
            layer.keys.expand(batch, -1, -1, -1),
            layer.values.expand(batch, -1, -1, -1),
            number,
        )
    # Padding is on the right and carries no weight: a causal mask is enough.
    logits = model(ids_BL, past_key_values=cache).logits
    losses = torch.nn.functional.cross_entropy(
        logits[:, :-1].transpose(1, 2), ids_BL[:, 1:], reduction="none"
    )
    return (losses * weights_BL[:, 1:]).sum() / weights_BL[:, 1:].sum()


def train(
    model: Qwen3ForCausalLM, rows: Rows, recipe: Recipe, checkpoint: Path
) -> float:
    """Imitates clean dialogues, then ones with mistakes; returns the last loss.

    An interrupted run goes on from `checkpoint`.
    """
    phases = [
        ("clean", recipe.clean_steps, 0.0, recipe.rest_weight),
        ("mixed", recipe.mixed_steps, recipe.mistakes, 0.0),
    ]
    state = torch.load(checkpoint) if checkpoint.exists() else None
    shown = 0.0
    for phase, steps, mistakes, rest_weight in phases:
        if state is not None and state["phase"] != phase:
            continue
        optimizer = torch.optim.AdamW(
            model.parameters(), betas=(0.9, 0.98), weight_decay=0.05
        )
        first = 0
        if state is not None:
            model.load_state_dict(state["model"])
            if state["optimizer"] is not None:
                optimizer.load_state_dict(state["optimizer"])
            first, state = state["step"], None
        queue: list[tuple[torch.Tensor, torch.Tensor]] = []
        for step in range(first, steps):
            if not queue:
                seed = (recipe.seed * 1_000_003 + step) * 2 + (phase == "mixed") + 1
                queue = rows.batches(
                    seed, BATCHES_AT_ONCE, recipe.batch, mistakes, rest_weight
                )
            rate = learning_rate(phase, step, recipe)
            for group in optimizer.param_groups:
                group["lr"] = rate
            loss = loss_of(model, rows.prefix, *queue.pop())
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            shown = 0.95 * shown + 0.05 * loss.item() if shown else loss.item()
            if step % 20 == 19 or step == steps - 1:
                now = time.strftime("%H:%M:%S")
                print(f"{now} {phase} {step + 1}/{steps} loss {shown:.4f}", flush=True)
            if (step + 1) % (BATCHES_AT_ONCE * 10) == 0:
                _save_state(checkpoint, phase, step + 1, model, optimizer)
        if phase == "clean":
            _save_state(checkpoint, "mixed", 0, model, None)
            _save_state(checkpoint.with_suffix(".clean"), "mixed", 0, model, None)
    return shown


def _save_state(
    path: Path,
    phase: str,
    step: int,
    model: Qwen3ForCausalLM,
    optimizer: torch.optim.Optimizer | None,
) -> None:
    state = {
        "phase": phase,
        "step": step,
        "model": model.state_dict(),
        "optimizer": None if optimizer is None else optimizer.state_dict(),
    }
    partial = path.with_name(path.name + ".partial")
    torch.save(state, partial)
    partial.replace(path)


def learning_rate(phase: str, step: int, recipe: Recipe) -> float:
    """Warm-up, then a cosine to a twentieth, in each phase."""
    if phase == "clean":
        peak, length = recipe.learning_rate, recipe.clean_steps
    else:
        peak, length = recipe.mixed_learning_rate, recipe.mixed_steps
    warm = min(1.0, (step + 1) / recipe.warmup)
    return peak * warm * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * step / length)))


def save_policy(
    model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path
) -> None:
    """Writes a Hugging Face model folder in half precision."""
    weights = {name: value.half() for name, value in model.state_dict().items()}
    if model.config.tie_word_embeddings:
        weights.pop("lm_head.weight", None)
    model.config.dtype = torch.float16
    model.save_pretrained(folder, state_dict=weights)
    tokenizer.save_pretrained(folder)


def main(arguments: list[str] | None = None) -> int:
    """Command line: see the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m agentgym.policy.build")
    parser.add_argument("pack", type=Path, help="scenario pack with a dialogues.py")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    for name, default in asdict(Recipe()).items():
        parser.add_argument(
            f"--{name.replace('_', '-')}", type=type(default), default=default
        )
    options = vars(parser.parse_args(arguments))
    pack, out = options.pop("pack"), options.pop("out")
    recipe = Recipe(**options)
    torch.use_deterministic_algorithms(True)
    begun = time.monotonic()
    dialogues = load_dialogues(pack)
    tokenizer = make_tokenizer(dialogues, recipe)
    model = make_model(tokenizer, recipe)
    rows = Rows(tokenizer, dialogues)
    count = sum(p.numel() for p in model.parameters())
    print(f"{count:,} parameters, prefix of {len(rows.prefix)} tokens", flush=True)
    checkpoint = out.with_name(f"{out.name}.checkpoint")
    loss = train(model, rows, recipe, checkpoint)
    checkpoint.unlink(missing_ok=True)
    save_policy(model, tokenizer, out)
    record = {
        "recipe": asdict(recipe),
        "parameters": count,
        "loss": round(loss, 4),
        "minutes": round((time.monotonic() - begun) / 60, 1),
        "versions": {"torch": torch.__version__},
    }
    (out / "build.json").write_text(json.dumps(record, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
