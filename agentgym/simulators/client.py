"""Asks a model for an answer in JSON."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agentgym.endpoint import Endpoint, without_secrets
from agentgym.errors import SimulatorError
from agentgym.recording.plain import shorten, token_count
from agentgym.recording.trajectory import Message
from agentgym.simulators.role import Role

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI

RETRIES = 5
"""New attempts after 429, 5xx or no connection; about 15 s in all, or as the server
asks for."""
TIMEOUT_SECONDS = 120.0
"""For one attempt."""
Usage = tuple[int | None, int | None]
_OPTIONAL = ("response_format", "temperature", "seed")
_REFUSED = (400, 422)
_NAMES = {"judge": "the judge", "user": "the simulated user"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a model answered.

    Attributes:
        objects: The JSON objects in its text, in order.
        text: The whole text.
        usage: Prompt and completion tokens, as far as the server gives them.
    """

    objects: list[dict[str, Any]]
    text: str
    usage: Usage


class ChatModel:
    """The model of a judge or of a simulated user; for one event loop.

    A server that refuses an optional parameter (a JSON schema, a temperature, a seed)
    is asked without it from then on.

    Args:
        role: Whose model it is.
        endpoint: Where it is.
    """

    def __init__(self, role: Role, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        where = without_secrets(endpoint.base_url)
        self.name = f"{_NAMES[role]} {endpoint.model} at {where}"
        self._role = role
        self._door = threading.Lock()
        self._client: AsyncOpenAI | None = None
        self._refused: set[str] = set()

    async def ask(
        self,
        messages: Sequence[Message],
        schema: dict[str, Any],
        *,
        temperature: float | None = None,
        seed: int | None = None,
    ) -> Answer:
        """The model's answer to these messages.

        Args:
            messages: The conversation so far.
            schema: JSON schema of the answer.
            temperature: Of the sampling; None for the server's own.
            seed: Of the sampling.

        Raises:
            SimulatorError: There is none: the server is down, refuses, or is too slow.
        """
        # Its import takes a second, which the loop must not wait for.
        client = self._client
        if client is None:
            client = await asyncio.to_thread(self._open)
        import openai

        asked = {
            "temperature": temperature,
            "seed": seed,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": self._role, "schema": schema, "strict": True},
            },
        }
        options = {name: value for name, value in asked.items() if value is not None}
        create: Any = client.chat.completions.create
        while True:
            kept = {k: v for k, v in options.items() if k not in self._refused}
            try:
                completion = await create(
                    model=self.endpoint.model, messages=list(messages), **kept
                )
            except openai.APIStatusError as exc:
                if exc.status_code not in _REFUSED or not self._give_way(exc, kept):
                    raise self._failed(exc) from exc
            except (openai.OpenAIError, ValueError) as exc:
                raise self._failed(exc) from exc
            else:
                return self._read(completion)

    async def close(self) -> None:
        """Closes the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    @property
    def is_open(self) -> bool:
        """Whether there may be connections."""
        return self._client is not None

    def _open(self) -> AsyncOpenAI:
        from openai import AsyncOpenAI

        with self._door:
            if self._client is None:
                self._client = AsyncOpenAI(
                    base_url=self.endpoint.base_url,
                    api_key=self.endpoint.api_key,
                    max_retries=RETRIES,
                    timeout=TIMEOUT_SECONDS,
                )
            return self._client

    def _give_way(self, exc: APIStatusError, given: dict[str, Any]) -> bool:
        """Leaves out what the server refused; False if nothing is left to leave out."""
        refusal = str(exc.message) + json.dumps(exc.body, default=str)
        named = {name for name in _OPTIONAL if name in given and name in refusal}
        if not named and "response_format" in given:
            # Few servers name it: they speak of schemas, grammars, or nothing.
            named = {"response_format"}
        self._refused |= named
        return bool(named)

    def _failed(self, exc: Exception) -> SimulatorError:
        import openai

        if isinstance(exc, openai.APITimeoutError):
            problem = f"gave no answer within {TIMEOUT_SECONDS:g} s"
        elif isinstance(exc, openai.APIConnectionError):
            problem = f"is not reachable: {exc.__cause__ or exc}"
        elif isinstance(exc, openai.APIStatusError):
            problem = f"answered {exc.status_code}: {shorten(_message(exc), 200)}"
        else:
            problem = f"gave no answer that can be read: {type(exc).__name__}: {exc}"
        return SimulatorError(f"{self.name} {without_secrets(problem)}")

    def _read(self, completion: Any) -> Answer:
        # Some servers answer 200 with an error, or with no choice at all.
        choices = getattr(completion, "choices", None)
        if not choices:
            raise SimulatorError(f"{self.name} gave an answer without a message")
        text = choices[0].message.content or ""
        usage = completion.usage
        return Answer(
            objects=list(json_objects(text)),
            text=text,
            usage=(
                token_count(getattr(usage, "prompt_tokens", None)),
                token_count(getattr(usage, "completion_tokens", None)),
            ),
        )

    def no_answer(self, answer: Answer, wanted: str) -> SimulatorError:
        """The error for an answer that is not what was asked for.

        Args:
            answer: What the model said.
            wanted: What was asked for, in a word.
        """
        said = repr(shorten(answer.text, 120)) if answer.text else "nothing"
        return SimulatorError(f"{self.name} gave no {wanted}, but said {said}")


def json_objects(text: str) -> Iterator[dict[str, Any]]:
    """The JSON objects in a text, whatever stands around them.

    Servers without structured output write them into fences, or behind their thoughts.
    """
    decoder = json.JSONDecoder()
    place = text.find("{")
    while place >= 0:
        try:
            value, end = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            end = place + 1
        else:
            yield value
        place = text.find("{", end)


def _message(exc: APIStatusError) -> str:
    body = exc.body
    text = body.get("message") if isinstance(body, dict) else None
    return str(text or exc.message)
