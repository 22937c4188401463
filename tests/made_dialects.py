"""Chat templates that write calls as each known family does, and tokenizers for them.

They are written for these tests: as short as a template can be that shows tools, calls
and results. What public packages ship is tried by `benchmarks/families.py`.
"""

import re
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from agentgym.policy.chat.dialect import Dialect
from agentgym.policy.chat.probe import find_dialect

FRAME = """\
{%%- for tool in tools or [] %%}<|system|>{{ tool | tojson }}<|end|>{%% endfor %%}
{%%- for m in messages %%}
{%%- if m.role == 'assistant' -%%}
<|assistant|>{%% if m.reasoning_content %%}<think>{{ m.reasoning_content }}</think>
{%%- endif %%}{{ m.content or '' }}%s<|end|>
{%%- elif m.role == 'tool' -%%}<|tool|>{{ m.content }}<|end|>
{%%- else -%%}<|{{ m.role }}|>{{ m.content }}<|end|>
{%%- endif %%}
{%%- endfor %%}
{%%- if add_generation_prompt %%}<|assistant|>{%% endif %%}"""

EACH = "{% for c in m.tool_calls or [] %}%s{% endfor %}"
OBJECT = (
    '{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments|tojson }}}'
)
PARAMETERS = "{% for key, value in c.function.arguments | items %}%s{% endfor %}"
TEXT = "{{ value if value is string else value | tojson }}"


def _each(call: str) -> str:
    return FRAME % EACH.replace("%s", call)


def _list(opening: str, call: str, closing: str = "") -> str:
    return FRAME % (
        "{% if m.tool_calls %}"
        + opening
        + "[{% for c in m.tool_calls %}"
        + call
        + "{% if not loop.last %}, {% endif %}{% endfor %}]"
        + closing
        + "{% endif %}"
    )


def _once(opening: str, call: str, closing: str) -> str:
    return FRAME % (
        "{% if m.tool_calls %}"
        + opening
        + "{% for c in m.tool_calls %}"
        + call
        + "{% endfor %}"
        + closing
        + "{% endif %}"
    )


def _parameters(item: str) -> str:
    return PARAMETERS.replace("%s", item)


NAME = "{{ c.function.name }}"
JSON = "{{ c.function.arguments | tojson }}"
XML = (
    f"<function={NAME}>\n"
    + _parameters("<parameter={{ key }}>\n" + TEXT + "\n</parameter>\n")
    + "</function>"
)
DSML = (
    f'<｜DSML｜invoke name="{NAME}">\n'
    + _parameters(
        '<｜DSML｜parameter name="{{ key }}" '
        "string=\"{{ 'true' if value is string else 'false' }}\">"
        + TEXT
        + "</｜DSML｜parameter>\n"
    )
    + "</｜DSML｜invoke>\n"
)
PYTHON = (
    NAME + "({% for key, value in c.function.arguments | items %}"
    "{{ key }}={{ value | tojson }}"
    "{% if not loop.last %}, {% endif %}{% endfor %})"
)


def _gemma(quote: str) -> str:
    text = f"{quote}{{{{ value }}}}{quote}"
    return (
        f"call:{NAME}" + "{{ '{' }}"
        "{% for key, value in c.function.arguments | items %}{{ key }}:"
        "{% if value is string %}" + text + "{% else %}{{ value | tojson }}{% endif %}"
        "{% if not loop.last %},{% endif %}{% endfor %}{{ '}' }}"
    )


TEMPLATES: dict[str, str] = {
    "hermes": _each(f"\n<tool_call>\n{OBJECT}\n</tool_call>"),
    "minimax_m1": _each(f"\n<tool_calls>\n{OBJECT}\n</tool_calls>"),
    "nemotron": _list("<TOOLCALL>", OBJECT, "</TOOLCALL>"),
    "apriel": _list("<tool_calls>", OBJECT, "</tool_calls>"),
    "tool_call list": _list("<tool_call>", OBJECT, "</tool_call>"),
    "qwen3_coder": _each(f"\n<tool_call>\n{XML}\n</tool_call>"),
    "seed_oss": _each(f"<seed:tool_call>\n{XML}\n</seed:tool_call>"),
    "glm": _each(
        f"\n<tool_call>{NAME}\n"
        + _parameters(
            "<arg_key>{{ key }}</arg_key>\n<arg_value>" + TEXT + "</arg_value>\n"
        )
        + "</tool_call>"
    ),
    "minimax_m2": _once(
        "<minimax:tool_call>\n",
        f'<invoke name="{NAME}">\n'
        + _parameters('<parameter name="{{ key }}">' + TEXT + "</parameter>\n")
        + "</invoke>\n",
        "</minimax:tool_call>",
    ),
    "deepseek_v32": _once(
        "<｜DSML｜function_calls>\n", DSML, "</｜DSML｜function_calls>"
    ),
    "deepseek_v4": _once("<｜DSML｜tool_calls>\n", DSML, "</｜DSML｜tool_calls>"),
    "mistral": _each(f"[TOOL_CALLS]{NAME}[ARGS]{JSON}"),
    "mistral list": _list("[TOOL_CALLS]", OBJECT),
    "deepseek_v3": _once(
        "<｜tool▁calls▁begin｜>",
        f"<｜tool▁call▁begin｜>function<｜tool▁sep｜>{NAME}\n```json\n{JSON}\n```"
        "<｜tool▁call▁end｜>",
        "<｜tool▁calls▁end｜>",
    ),
    "deepseek_v31": _once(
        "<｜tool▁calls▁begin｜>",
        f"<｜tool▁call▁begin｜>{NAME}<｜tool▁sep｜>{JSON}<｜tool▁call▁end｜>",
        "<｜tool▁calls▁end｜>",
    ),
    "kimi_k2": _once(
        "<|tool_calls_section_begin|>",
        "<|tool_call_begin|>{{ c.id }}<|tool_call_argument_begin|>"
        f"{JSON}<|tool_call_end|>",
        "<|tool_calls_section_end|>",
    ),
    "cohere": _list(
        "<|START_ACTION|>",
        f'{{"tool_call_id": "0", "tool_name": "{NAME}", "parameters": {JSON}}}',
        "<|END_ACTION|>",
    ),
    "granite": _list("<|tool_call|>", OBJECT),
    "phi4_mini": _list("functools", OBJECT),
    "lfm2": _list("<|tool_call_start|>", PYTHON, "<|tool_call_end|>"),
    "functiongemma": _each(
        f"<start_function_call>{_gemma('<escape>')}<end_function_call>"
    ),
    "gemma4": _each("<|tool_call>" + _gemma('<|"|>') + "<tool_call|>"),
    "llama3_json": _each(
        f'{{"name": "{NAME}", "parameters": {JSON}}}'
        "{% if not loop.last %}; {% endif %}"
    ),
    "xlam": _list("", OBJECT),
    "pythonic": _list("", PYTHON),
    "harmony": """\
{%- for tool in tools or [] %}<|start|>developer<|message|>{{ tool | tojson }}<|end|>
{%- endfor %}
{%- for m in messages %}
{%- if m.role == 'assistant' %}
{%- if m.thinking %}<|start|>assistant<|channel|>analysis<|message|>{{ m.thinking -}}
<|end|>{% endif %}
{%- for c in m.tool_calls or [] %}<|start|>assistant to=functions.{{ c.function.name -}}
<|channel|>commentary json<|message|>{{ c.function.arguments | tojson }}<|call|>
{%- endfor %}
{%- if m.content %}<|start|>assistant<|channel|>final<|message|>{{ m.content -}}
{% if loop.last %}<|return|>{% else %}<|end|>{% endif %}{% endif %}
{%- elif m.role == 'tool' %}<|start|>functions to=assistant<|channel|>commentary
{{- '<|message|>' }}{{ m.content }}<|end|>
{%- else %}<|start|>{{ m.role }}<|message|>{{ m.content }}<|end|>
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}<|start|>assistant{% endif %}""",
}
"""A template of each format, by the format's name."""

SPECIAL = re.compile(
    r"<\|[^\s<>'{}]+\|?>|<[^\s<>'{}|/]+\|>|<｜[^\s<>]+｜>|<escape>"
    r"|\[e~\[|\]~!?b[\]\[]"
    r"|\[/?(?:TOOL_CALLS|ARGS|CALL_ID|THINK)\]|</?(?:start|end)_function_call>"
)
PLAIN = ("<tool_call>", "</tool_call>", "<think>", "</think>")


def made_tokenizer(template: Any) -> Any:
    """A tokenizer of single bytes, and of what the template marks.

    Args:
        template: Jinja, or several of it by name.
    """
    texts = template.values() if isinstance(template, dict) else [template]
    text = " ".join(texts)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE({c: i for i, c in enumerate(alphabet)}, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(
        add_prefix_space=False, use_regex=False
    )
    made.decoder = decoders.ByteLevel()
    # vLLM's parser for Llama wants the first one, which not each template names.
    special = {"<|python_tag|>", "<|end|>", "<|pad|>", *SPECIAL.findall(text)}
    made.add_special_tokens([AddedToken(t, special=True) for t in sorted(special)])
    plain = [token for token in PLAIN if token in text]
    made.add_tokens([AddedToken(token, normalized=False) for token in plain])
    build: Any = PreTrainedTokenizerFast
    tokenizer = build(tokenizer_object=made, eos_token="<|end|>", pad_token="<|pad|>")
    tokenizer.chat_template = template
    return tokenizer


def made_dialect(template: Any) -> Dialect:
    """The dialect of a template.

    Args:
        template: Jinja, or several of it by name.
    """
    return find_dialect(made_tokenizer(template), "the model")
