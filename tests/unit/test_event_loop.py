"""The loop of async agents, and what it shares with connections that are garbage."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
from typing import Any

import pytest

pytest.importorskip("openai")

from openai import AsyncOpenAI

from agentgym.recording import event_loop
from agentgym.testing import ScriptedModel, say


async def asked(model: ScriptedModel) -> AsyncOpenAI:
    """A client with an idle connection."""
    client = AsyncOpenAI(base_url=model.base_url, api_key="key")
    await client.chat.completions.create(
        model="scripted", messages=[{"role": "user", "content": "hello"}]
    )
    return client


def number_of(client: AsyncOpenAI) -> int:
    """The file number of its connection."""
    transport: Any = client._client._transport
    (connection,) = transport._pool.connections
    stream = connection._connection._network_stream
    found: socket.socket = stream.get_extra_info("socket")
    return found.fileno()


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_client_that_is_garbage_closes_nobody_elses_connection() -> None:
    async def heard(model: ScriptedModel) -> bool:
        client: Any = await asked(model)
        number = number_of(client)
        client._client.of = client  # garbage in a cycle, as agents are
        del client
        gc.collect()
        pair = socket.socketpair()
        assert number in [end.fileno() for end in pair], "the number was not free"
        mine, other = sorted(pair, key=lambda end: end.fileno() != number)
        answered, loop = asyncio.Event(), asyncio.get_running_loop()
        with mine, other:
            loop.add_reader(mine, answered.set)
            await asyncio.sleep(0.2)
            other.send(b"answer")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(answered.wait(), 30)
            loop.remove_reader(mine)
        return answered.is_set()

    with ScriptedModel(lambda request: say("hello")) as model:
        assert event_loop.run(heard(model))
