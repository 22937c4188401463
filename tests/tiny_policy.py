"""A tiny random model with a Hermes chat template, made in a second."""

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GPT2Config,
    LlamaConfig,
    PretrainedConfig,
    PreTrainedTokenizerFast,
    Qwen3Config,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from tests.made_tools import made_tool

TEMPLATE = """\
{%- if tools %}<|im_start|>system
{% if messages[0].role == 'system' %}{{ messages[0].content }}

{% endif %}# Tools
{% for tool in tools %}{{ tool | tojson }}
{% endfor %}<|im_end|>
{% elif messages[0].role == 'system' %}<|im_start|>system
{{ messages[0].content }}<|im_end|>
{% endif %}
{%- for m in messages %}
{%- if m.role == 'user' or (m.role == 'system' and not loop.first) -%}
<|im_start|>{{ m.role }}
{{ m.content }}<|im_end|>
{% elif m.role == 'assistant' %}<|im_start|>assistant
{{ m.content or '' }}
{%- for call in m.tool_calls or [] %}
{%- if m.content or not loop.first %}
{% endif %}<tool_call>
{%- set arguments = call.function.arguments %}
{"name": "{{ call.function.name }}", "arguments": {{ '' }}
{%- if arguments is string %}{{ arguments }}{% else %}{{ arguments | tojson }}
{%- endif %}}
</tool_call>
{%- endfor %}<|im_end|>
{% elif m.role == 'tool' %}<|im_start|>tool
<tool_response>{{ m.content }}</tool_response><|im_end|>
{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""

TOOLS = [
    made_tool(name, f"Does {name.replace('_', ' ')} for the customer.")
    for name in ("lookup_order", "issue_refund", "cancel_order")
]

SYSTEM = "You are the support agent of a shop. " * 8


def conversation(text: str = "Where is my order A17?") -> list[dict[str, object]]:
    """A short conversation that begins as all others do."""
    return [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": text},
    ]


def _tokenizer() -> PreTrainedTokenizerFast:
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    special = ["<|pad|>", "<|im_start|>", "<|im_end|>", "<tool_call>", "</tool_call>"]
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator([SYSTEM, json.dumps(TOOLS)] * 3, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<|pad|>", eos_token="<|im_end|>"
    )
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def make_tiny(
    folder: Path,
    architecture: str = "llama",
    *,
    hidden: int = 32,
    layers: int = 2,
    context: int = 2048,
) -> Path:
    """Writes a random model of one of three architectures to a folder."""
    tokenizer = _tokenizer()
    common = {
        "vocab_size": len(tokenizer) + 8,
        "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": None,
        "pad_token_id": tokenizer.pad_token_id,
    }
    config: PretrainedConfig
    if architecture == "gpt2":
        config = GPT2Config(
            n_embd=hidden, n_layer=layers, n_head=4, n_positions=context, **common
        )
    else:
        kind = {"llama": LlamaConfig, "qwen3": Qwen3Config}[architecture]
        config = kind(
            hidden_size=hidden,
            intermediate_size=2 * hidden,
            num_hidden_layers=layers,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=hidden // 4,
            max_position_embeddings=context,
            tie_word_embeddings=True,
            **common,
        )
    config.initializer_range = 0.3
    torch.manual_seed(0)
    model = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)](config)
    model.half().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
