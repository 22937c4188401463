"""The table of call formats, in the order in which they are tried.

A format is written down as the families' own templates render it. Where two could read
the same text, the stricter one comes first.
"""

from __future__ import annotations

import re

from agentgym.policy.chat.formats.found import CallFormat
from agentgym.policy.chat.formats.gemma import GemmaCalls
from agentgym.policy.chat.formats.json_calls import (
    BareObjects,
    MarkedLists,
    MarkedObjects,
)
from agentgym.policy.chat.formats.named_json import NamedJson
from agentgym.policy.chat.formats.pythonic import Pythonic
from agentgym.policy.chat.formats.tagged import TaggedArguments

_TOOL_CALL = ("<tool_call>", "</tool_call>")
_PARAMETER = re.compile(
    r"<parameter=(?P<key>[^>\n]+)>(?P<value>(?:(?!<parameter=).)*?)</parameter>",
    re.DOTALL,
)
_FUNCTION = re.compile(r"<function=(?P<name>[^>\n]+)>")
_DSML = "｜DSML｜"

FORMATS: tuple[CallFormat, ...] = (
    MarkedObjects(name="hermes", vllm_parser="hermes", marks=_TOOL_CALL),
    MarkedObjects(
        name="minimax_m1", vllm_parser=None, marks=("<tool_calls>", "</tool_calls>")
    ),
    *(
        MarkedLists(
            name=name, vllm_parser=None, opening=f"<{mark}>", closing=f"</{mark}>"
        )
        for name, mark in (("nemotron", "TOOLCALL"), ("apriel", "tool_calls"))
    ),
    MarkedLists(
        name="tool_call list",
        vllm_parser="xlam",
        opening=_TOOL_CALL[0],
        closing=_TOOL_CALL[1],
    ),
    TaggedArguments(
        name="qwen3_coder",
        vllm_parser="qwen3_coder",
        marks=_TOOL_CALL,
        head=_FUNCTION,
        item=_PARAMETER,
        tail="</function>",
        stray="<function=",
    ),
    TaggedArguments(
        name="seed_oss",
        vllm_parser="seed_oss",
        marks=("<seed:tool_call>", "</seed:tool_call>"),
        head=_FUNCTION,
        item=_PARAMETER,
        tail="</function>",
        stray="<function=",
    ),
    TaggedArguments(
        name="glm",
        vllm_parser="glm45",
        marks=_TOOL_CALL,
        head=re.compile(r"(?P<name>[^\s<>{}\[\]]+)"),
        item=re.compile(
            r"<arg_key>(?P<key>[^<>]*)</arg_key>\s*"
            r"<arg_value>(?P<value>(?:(?!<arg_key>).)*?)</arg_value>",
            re.DOTALL,
        ),
        trimmed=False,
        single=True,
        known_only=True,
    ),
    TaggedArguments(
        name="minimax_m2",
        vllm_parser="minimax_m2",
        marks=("<minimax:tool_call>", "</minimax:tool_call>"),
        head=re.compile(r'<invoke name="(?P<name>[\w.\-]+)">'),
        item=re.compile(
            r'<parameter name="(?P<key>[^"]+)">'
            r"(?P<value>(?:(?!<parameter ).)*?)</parameter>",
            re.DOTALL,
        ),
        tail="</invoke>",
        trimmed=False,
        known_only=True,
    ),
    *(
        TaggedArguments(
            name=f"deepseek_{version}",
            vllm_parser=f"deepseek_{version}",
            marks=(f"<{_DSML}{block}>", f"</{_DSML}{block}>"),
            head=re.compile(f'<{_DSML}invoke name="(?P<name>[\\w.\\-]+)">'),
            item=re.compile(
                f'<{_DSML}parameter name="(?P<key>[^"]+)" '
                'string="(?:true|(?P<json>false))">'
                f"(?P<value>(?:(?!<{_DSML}parameter ).)*?)</{_DSML}parameter>",
                re.DOTALL,
            ),
            tail=f"</{_DSML}invoke>",
            trimmed=False,
        )
        for version, block in (("v32", "function_calls"), ("v4", "tool_calls"))
    ),
    NamedJson(
        name="mistral",
        vllm_parser="mistral",
        opening="[TOOL_CALLS]",
        begins="[TOOL_CALLS]",
        head=re.compile(
            r"\[TOOL_CALLS\](?P<name>[^\s\[\]{}]+)(?:\[CALL_ID\][^\[\]{}]*)?\[ARGS\]"
        ),
    ),
    MarkedLists(name="mistral list", vllm_parser="mistral", opening="[TOOL_CALLS]"),
    NamedJson(
        name="deepseek_v3",
        vllm_parser="deepseek_v3",
        opening="<｜tool▁calls▁begin｜>",
        closing="<｜tool▁calls▁end｜>",
        begins="<｜tool▁call▁begin｜>",
        head=re.compile(
            r"<｜tool▁call▁begin｜>function<｜tool▁sep｜>(?P<name>[^\n<]+)\n```json\n"
        ),
        tail="\n```<｜tool▁call▁end｜>",
    ),
    NamedJson(
        name="deepseek_v31",
        vllm_parser="deepseek_v31",
        opening="<｜tool▁calls▁begin｜>",
        closing="<｜tool▁calls▁end｜>",
        begins="<｜tool▁call▁begin｜>",
        head=re.compile(r"<｜tool▁call▁begin｜>(?P<name>[^\n<]+)<｜tool▁sep｜>"),
        tail="<｜tool▁call▁end｜>",
    ),
    NamedJson(
        name="kimi_k2",
        vllm_parser="kimi_k2",
        opening="<|tool_calls_section_begin|>",
        closing="<|tool_calls_section_end|>",
        begins="<|tool_call_begin|>",
        head=re.compile(
            r"<\|tool_call_begin\|>\s*functions\.(?P<name>[^\s<:]+):\d+\s*"
            r"<\|tool_call_argument_begin\|>\s*"
        ),
        tail="<|tool_call_end|>",
    ),
    MarkedLists(
        name="cohere",
        vllm_parser="cohere_command3",
        opening="<|START_ACTION|>",
        closing="<|END_ACTION|>",
        name_key="tool_name",
        argument_keys=("parameters",),
        required=("tool_call_id",),
    ),
    MarkedLists(name="granite", vllm_parser="granite", opening="<|tool_call|>"),
    MarkedLists(
        name="phi4_mini", vllm_parser="phi4_mini_json", opening="functools", flat=True
    ),
    Pythonic(
        name="lfm2",
        vllm_parser="lfm2",
        marks=("<|tool_call_start|>", "<|tool_call_end|>"),
    ),
    GemmaCalls(
        name="functiongemma",
        vllm_parser="functiongemma",
        marks=("<start_function_call>", "<end_function_call>"),
        quote="<escape>",
    ),
    GemmaCalls(
        name="gemma4",
        vllm_parser="gemma4",
        marks=("<|tool_call>", "<tool_call|>"),
        quote='<|"|>',
    ),
    BareObjects(name="llama3_json", vllm_parser="llama3_json", prefix="<|python_tag|>"),
    MarkedLists(name="xlam", vllm_parser="xlam", opening=""),
    Pythonic(name="pythonic", vllm_parser="pythonic"),
)
