"""Replies that keep to a JSON schema: only tokens that fit it can be drawn."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from agentgym.distribution import install_command

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer
    from numpy.typing import NDArray

    from agentgym.policy.engine.token_model import TokenModel

# A small model that has lost its way would write blanks until its tokens are used up.
_GAP = r" |\n[ \t]{0,32}"

Forms = Literal["answer", "answer or calls", "rest of calls"]
_STARTS = {"answer or calls": "answer | call more", "rest of calls": "inner more"}
_MORE = "more: (GAP? call)* GAP?\nGAP: /[ \\n]{1,4}/"


class SchemaError(ValueError):
    """A schema that no reply can be held to; the text is one clear sentence."""

    param = "response_format"


class SchemaConstraint:
    """Holds one reply to a grammar, token by token.

    Args:
        matcher: Where the reply stands in the grammar.
        usable_V: True for the tokens that are ever drawn.
        for_vllm: The same as vLLM's `structured_outputs`.
    """

    def __init__(
        self,
        matcher: LLMatcher,
        usable_V: NDArray[np.bool_],
        for_vllm: Mapping[str, Any],
    ) -> None:
        self._matcher = matcher
        self._usable_V = usable_V
        self.for_vllm = for_vllm

    def allowed(self) -> Tensor:
        """True for each token that may come next.

        Raises:
            SchemaError: No token can go on, or the schema takes too long to follow.
        """
        if self._matcher.is_error():
            raise SchemaError(_refusal(self._matcher.get_error()))
        bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        fitting = np.unpackbits(bits, bitorder="little")[: len(self._usable_V)]
        allowed_V = fitting.astype(np.bool_) & self._usable_V
        if not allowed_V.any():
            raise SchemaError(_refusal("this model has no tokens to write it with"))
        return torch.from_numpy(allowed_V)

    def accept(self, token: int) -> None:
        """Takes note of the token that was drawn; never raises."""
        self._matcher.consume_token(token)


class StructuredOutput:
    """Makes the constraints of one policy's replies; llguidance loads when needed."""

    def __init__(self, policy: TokenModel) -> None:
        self._policy = policy
        self._usable_V = np.ones(policy.width, dtype=np.bool_)
        self._usable_V[sorted(policy.forbidden_ids)] = False
        self._lock = threading.Lock()
        self._matcher = lru_cache(maxsize=64)(self._compile)

    def constraint(
        self, schema: Mapping[str, Any], forms: Forms, *, thinking: bool = False
    ) -> SchemaConstraint:
        """A constraint for one reply; the first with a schema takes its time.

        Args:
            schema: The JSON schema.
            forms: What the reply may be. Of a tool call only the marks around it are
                ensured: what is called, and how, a policy is measured and trained by,
                so its mistakes stay its own.
            thinking: Whether the reply begins within a thought, which is free.

        Raises:
            SchemaError: The schema is no good, or asks for what cannot be ensured.
        """
        # The properties of an object come in the schema's order.
        text = json.dumps({**schema, "x-guidance": {"whitespace_pattern": _GAP}})
        with self._lock:
            matcher = self._matcher(text, forms, thinking).deep_copy()
        for_vllm: dict[str, Any] = {"json": dict(schema)}
        if thinking or forms != "answer":
            for_vllm = {"grammar": self._lark(text, forms, thinking)}
        return SchemaConstraint(matcher, self._usable_V, for_vllm)

    def _compile(self, schema: str, forms: Forms, thinking: bool) -> LLMatcher:
        # First of all: it says whether llguidance is installed.
        tokenizer = self._tokenizer
        from llguidance import LLMatcher, LLParserLimits

        limits = LLParserLimits(verbose_errors=False)
        grammar = LLMatcher.grammar_from_json_schema(schema)
        matcher = LLMatcher(tokenizer, grammar, log_level=0, limits=limits)
        if (thinking or forms != "answer") and not matcher.is_error():
            lark = self._lark(schema, forms, thinking)
            grammar = LLMatcher.grammar_from_lark(lark)
            matcher = LLMatcher(tokenizer, grammar, log_level=0, limits=limits)
        if matcher.is_error():
            raise SchemaError(_refusal(matcher.get_error()))
        return matcher

    @cached_property
    def _tokenizer(self) -> LLTokenizer:
        try:
            from llguidance.hf import from_tokenizer
        except ImportError as error:
            raise SchemaError(
                f"response_format needs llguidance ({error}): run "
                f"{install_command('policy')} where the policy is served"
            ) from error
        policy = self._policy
        try:
            return from_tokenizer(
                policy.tokenizer,
                n_vocab=max(policy.width, len(policy.tokenizer)),
                eos_token=sorted(policy.stop_ids),
            )
        except Exception as error:
            raise SchemaError(
                f"response_format does not work with the tokenizer of {policy.name!r}: "
                f"{_one_line(error)}"
            ) from error

    def _lark(self, schema: str, forms: Forms, thinking: bool) -> str:
        """A grammar of replies that are more than a text of the schema."""
        start = _STARTS.get(forms, "answer")
        rules = [f"answer: %json {schema}"]
        if forms != "answer":
            marks = self._policy.dialect.calls.marks
            if marks is None:
                raise SchemaError(
                    "response_format cannot be kept to together with tools: "
                    f"{self._policy.name!r} writes calls without marks around them, "
                    "so they cannot be told from the answer"
                )
            opening, inner = self._mark(marks[0]), self._until(marks[1], "inner")
            rules += [f"call: {opening} inner", inner, _MORE]
        if thinking:
            start = f"thought ({start})"
            closing = self._policy.dialect.channels.closing
            rules += [self._until(closing, "thought"), "GAP_AFTER: /\\s{0,4}/"]
            start = start.replace("thought ", "thought GAP_AFTER ", 1)
        return "\n".join([f"start: {start}", *rules])

    def _until(self, mark: str, rule: str) -> str:
        """A rule for any text up to a mark, the mark included."""
        if self._special(mark) is None:
            return f"{rule}[suffix={json.dumps(mark)}]: /(.|\\n)*/"
        text = f"TEXT_{rule.upper()}"
        return f"{rule}: {text} {self._mark(mark)}\n{text}: /(.|\\n)*/"

    def _mark(self, mark: str) -> str:
        """A mark in the grammar: a special token or plain text."""
        token = self._special(mark)
        return json.dumps(mark) if token is None else f"<[{token}]>"

    def _special(self, mark: str) -> int | None:
        ids = self._policy.tokenizer(mark, add_special_tokens=False)["input_ids"]
        special = len(ids) == 1 and self._tokenizer.is_special_token(ids[0])
        return ids[0] if special else None


def _refusal(reason: object) -> str:
    return f"response_format: the schema cannot be kept to: {_one_line(reason)}"


def _one_line(text: object) -> str:
    return " ".join(str(text).split())
