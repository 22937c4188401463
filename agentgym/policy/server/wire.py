"""What goes over the wire: OpenAI's requests and replies, in vLLM's dialect."""

from __future__ import annotations

import hashlib
import secrets
import time
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agentgym.policy.chat.dialect import ParsedReply
from agentgym.policy.engine.generation import Generation, SamplingParams
from agentgym.policy.server.openai_http import BadRequestError

if TYPE_CHECKING:
    from agentgym.policy.chat.chat_template import ChatTemplate

DEFAULT_MAX_TOKENS = 1024
"""Of a reply, where neither the request nor the context sets a limit."""


class StreamOptions(BaseModel):
    """What a stream has beside the deltas."""

    include_usage: bool = False


NOT_HONOURED = (
    *("allowed_token_ids", "bad_words", "best_of", "echo", "function_call"),
    *("functions", "guided_choice", "guided_grammar", "guided_json", "guided_regex"),
    *("length_penalty", "logits_processors", "min_tokens", "prompt_logprobs"),
    *("stop_token_ids", "structured_outputs", "suffix", "truncate_prompt_tokens"),
    *("typical_p", "use_beam_search"),
)
"""Fields that would change a reply, and that nothing here understands."""


class SamplingRequest(BaseModel):
    """What chat and plain completions have in common.

    Fields that say nothing of the reply, such as `user` and `metadata`, are ignored.
    """

    model_config = ConfigDict(extra="allow")

    model: str | None = None
    temperature: float | None = Field(default=None, ge=0, le=10)
    sampling_temperature: float | None = Field(default=None, ge=0, le=10)
    """Wins over `temperature`, which a gateway in between may have set."""
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=-1)
    min_p: float | None = Field(default=None, ge=0, le=1)
    presence_penalty: float | None = Field(default=None, ge=-2, le=2)
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2)
    repetition_penalty: float | None = Field(default=None, gt=0, le=2)
    logit_bias: dict[int, Annotated[float, Field(ge=-100, le=100)]] | None = None
    max_tokens: int | None = Field(default=None, ge=1)
    stop: str | list[str] | None = None
    seed: int | None = None
    n: int | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    return_token_ids: bool | None = None
    ignore_eos: bool = False
    rollout_id: str | None = None
    """Keeps apart the conversations of rollouts that begin alike, and what is drawn for
    them: the same id draws the same replies."""

    def sampling(self, *, room: int, width: int, top_logprobs: int) -> SamplingParams:
        """How the engine is to sample.

        Args:
            room: Tokens that the context has left for the reply.
            width: Logits per token.
            top_logprobs: Alternatives to report per token.

        Raises:
            BadRequestError: It asks for what is not possible.
        """
        if self.n not in (None, 1):
            raise BadRequestError("n must be 1: send one request a reply", param="n")
        for name in NOT_HONOURED:
            # What is off asks for nothing.
            if (self.model_extra or {}).get(name):
                raise BadRequestError(f"{name} is not supported here", param=name)
        unknown = [token for token in self.logit_bias or () if not 0 <= token < width]
        if unknown:
            raise BadRequestError(
                f"logit_bias has the token id {unknown[0]}, outside 0..{width - 1}",
                param="logit_bias",
            )
        stop = [self.stop] if isinstance(self.stop, str) else self.stop or []
        if not all(stop):
            raise BadRequestError("stop holds an empty string", param="stop")
        wanted = self.max_tokens or DEFAULT_MAX_TOKENS
        temperature = self.sampling_temperature
        if temperature is None:
            temperature = self.temperature
        return SamplingParams(
            temperature=1.0 if temperature is None else temperature,
            top_p=1.0 if self.top_p is None else self.top_p,
            top_k=max(self.top_k or 0, 0),
            min_p=self.min_p or 0.0,
            presence_penalty=self.presence_penalty or 0.0,
            frequency_penalty=self.frequency_penalty or 0.0,
            repetition_penalty=self.repetition_penalty or 1.0,
            logit_bias=tuple((self.logit_bias or {}).items()),
            seed=self.seed,
            max_tokens=min(wanted, room),
            stop=tuple(stop),
            top_logprobs=top_logprobs,
            ignore_eos=self.ignore_eos,
        )


class JsonSchema(BaseModel):
    """The schema of a structured reply; it is kept to, strict or not."""

    given: dict[str, Any] = Field(alias="schema")


class ResponseFormat(BaseModel):
    """What form a reply's text has to have."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class ChatRequest(SamplingRequest):
    """POST /v1/chat/completions."""

    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    response_format: ResponseFormat | None = None
    max_completion_tokens: int | None = Field(default=None, ge=1)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    chat_template_kwargs: dict[str, Any] | None = None
    """Variables of the chat template, such as `enable_thinking`."""

    def check_tools(self) -> None:
        """Checks that a tool call's name says which tool is meant.

        Raises:
            BadRequestError: A tool has no name, or another one's.
        """
        names = set()
        for index, tool in enumerate(self.tools or ()):
            function = tool.get("function")
            name = function.get("name") if isinstance(function, dict) else None
            if not isinstance(name, str) or not name:
                raise BadRequestError(
                    f"tools[{index}] has no function.name", param="tools"
                )
            if name in names:
                raise BadRequestError(
                    f"two tools are called {name!r}: give one another name",
                    param="tools",
                )
            names.add(name)

    @property
    def reads_tool_calls(self) -> bool:
        """Whether tool calls in the reply are separated from its text."""
        return bool(self.tools) and self.tool_choice != "none"

    def schema_of_text(self) -> dict[str, Any] | None:
        """The JSON schema that the reply's text has to keep to; None: any text."""
        asked = self.response_format
        if asked is None or asked.type == "text":
            return None
        if asked.type == "json_object":
            return {"type": "object"}
        if asked.json_schema is None:
            raise BadRequestError(
                "response_format.json_schema: Field required",
                param="response_format.json_schema",
            )
        return asked.json_schema.given


class CompletionRequest(SamplingRequest):
    """POST /v1/completions: a prompt as text or token ids."""

    prompt: str | list[int]
    logprobs: int | None = Field(default=None, ge=0, le=20)


class LoadAdapterRequest(BaseModel):
    """POST /v1/load_lora_adapter."""

    lora_name: str = Field(min_length=1)
    lora_path: str = Field(min_length=1)


class UnloadAdapterRequest(BaseModel):
    """POST /v1/unload_lora_adapter."""

    lora_name: str = Field(min_length=1)


R = TypeVar("R", bound=BaseModel)


def read_request(kind: type[R], body: bytes) -> R:
    """Reads and checks a request's body.

    Args:
        kind: What it has to be.
        body: JSON.

    Raises:
        BadRequestError: It is no JSON, or a field is missing or out of range.
    """
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        if first["type"] == "json_invalid":
            raise BadRequestError(f"the body is not JSON: {first['msg']}") from error
        where = ".".join(str(part) for part in first["loc"])
        raise BadRequestError(f"{where}: {first['msg']}", param=where) from error


def new_id(prefix: str) -> str:
    """A random id with OpenAI's kind of prefix."""
    return f"{prefix}{secrets.token_hex(12)}"


def call_id(draw: bytes | None, number: int) -> str:
    """The id of a tool call: templates may show it to the model, as other tokens.

    Args:
        draw: Of the reply that it is in; None for a random id.
        number: Of the call in the reply.
    """
    if draw is None:
        return new_id("call_")
    made = hashlib.blake2b(draw + number.to_bytes(4), digest_size=12)
    return f"call_{made.hexdigest()}"


def assistant_message(reply: ParsedReply, draw: bytes | None = None) -> dict[str, Any]:
    """A reply as an assistant message; arguments stay the model's own text.

    Args:
        reply: What was read of the sampled tokens.
        draw: What they were drawn by.
    """
    message: dict[str, Any] = {"role": "assistant", "content": reply.content}
    if reply.reasoning is not None:
        message["reasoning_content"] = reply.reasoning
    if reply.tool_calls:
        message["tool_calls"] = [
            {
                "id": call_id(draw, number),
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for number, call in enumerate(reply.tool_calls)
        ]
    return message


def finish_reason(generation: Generation, message: dict[str, Any]) -> str:
    """OpenAI's word for how a reply ended.

    Args:
        generation: It has ended.
        message: The assistant's message made of it.
    """
    if generation.finish_reason == "stop" and message.get("tool_calls"):
        return "tool_calls"
    return generation.finish_reason or "stop"


def usage(generation: Generation) -> dict[str, Any]:
    """Counted tokens; forced ones count as prompt."""
    prompt, completion = len(generation.prompt), len(generation.token_ids)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": generation.cached_tokens},
    }


def chat_logprobs(
    generation: Generation, template: ChatTemplate, start: int = 0
) -> dict[str, Any]:
    """Log-probabilities of the sampled tokens, in nats.

    Args:
        generation: The sampled tokens.
        template: Knows the text of each.
        start: The first token that is shown.
    """

    def entry(token: int, logprob: float) -> dict[str, Any]:
        text = template.token_text(token)
        return {"token": text, "logprob": logprob, "bytes": list(text.encode())}

    content = []
    for at in range(start, len(generation.token_ids)):
        top = generation.top_logprobs[at] if generation.top_logprobs else []
        content.append(
            entry(generation.token_ids[at], generation.logprobs[at])
            | {"top_logprobs": [entry(token, logprob) for token, logprob in top]}
        )
    return {"content": content}


def completion_logprobs(
    generation: Generation, template: ChatTemplate
) -> dict[str, Any]:
    """The same in the shape of the older API.

    Args:
        generation: The sampled tokens.
        template: Knows the text of each.
    """
    return {
        "tokens": [template.token_text(token) for token in generation.token_ids],
        "token_logprobs": generation.logprobs,
        "top_logprobs": [
            {template.token_text(token): logprob for token, logprob in top}
            for top in generation.top_logprobs
        ]
        or None,
        "text_offset": [],
    }


def envelope(kind: str, model: str) -> dict[str, Any]:
    """The fields that every reply begins with.

    Args:
        kind: OpenAI's name of the object.
        model: The name that was asked for.
    """
    prefix = "cmpl-" if kind == "text_completion" else "chatcmpl-"
    return {
        "id": new_id(prefix),
        "object": kind,
        "created": int(time.time()),
        "model": model,
    }
