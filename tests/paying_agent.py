"""The conftest of projects whose agent's model reports its tokens."""

PAYING_AGENT = '''
import time

import agentgym
import pytest
from agentgym.recording.recorder import current

MODEL = "gpt-4o"


@agentgym.tool
def look_up(order):
    """Finds an order."""
    if order == "unknown":
        raise KeyError(order)
    return f"order {order} is paid"


def think(prompt, completion, calls=()):
    """One model call of so many tokens."""
    recorder = current()
    asked = [
        {"id": id, "type": "function", "function": {"name": name, "arguments": raw}}
        for id, name, raw in calls
    ]
    message = {"role": "assistant", "content": None if asked else "done"}
    call = recorder.model_started(MODEL)
    time.sleep(0.002)
    recorder.model_finished(
        call,
        message={**message, "tool_calls": asked} if asked else message,
        prompt_tokens=prompt,
        completion_tokens=completion,
        finish_reason="tool_calls" if asked else "stop",
    )


def pay(message):
    """Asks for one tool call, and answers; 1000 tokens in and 100 out."""
    for word in message.split():
        name, _, value = word.partition("=")
        if name == "sleep":
            time.sleep(float(value))
        elif name == "print":
            print(value)
        elif name == "down":
            think(500, 50)
            raise ConnectionError("no model")
    order = message.split()[0]
    think(400, 40, [("c1", "look_up", '{"order": "%s"}' % order)])
    try:
        look_up(order=order)
    except KeyError:
        pass
    think(600, 60)
    return "done"


@pytest.fixture
def agent():
    return agentgym.wrap(pay)
'''

PAID = """
    from agentgym import scenario

    @scenario(episodes={episodes})
    def test_{name}(agent):
        assert agent.run("{message}").called("look_up", order="7")
"""
