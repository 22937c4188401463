"""Two calls at once are two calls, each with its own result, whatever their ids."""

from __future__ import annotations

import pytest

CONFTEST = """
    import threading
    import pytest
    from langchain.agents import create_agent
    from langchain.agents.middleware import wrap_tool_call
    from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
    from langchain_core.messages import AIMessage

    class Model(GenericFakeChatModel):
        def bind_tools(self, tools, **kwargs):
            return self

    def weather(city: str) -> str:
        "The weather."
        return f"sun in {city}"

    @pytest.fixture
    def agent(case):
        begun = threading.Event()

        @wrap_tool_call
        def second_first(request, handler):
            if request.tool_call["args"]["city"] == "Ulm":
                begun.wait(60)
                return handler(request)
            answer = handler(request)
            begun.set()
            return answer

        calls = [
            {"name": "weather", "args": {"city": city}, "id": i}
            for city, i in zip(("Ulm", "Bern"), case.value)
        ]
        said = iter([AIMessage("", tool_calls=calls), AIMessage("done")])
        return create_agent(
            Model(messages=said), [weather], middleware=[second_first]
        )
"""


@pytest.mark.slow  # importing langchain
def test_the_second_call_that_runs_first_keeps_its_result(gym):
    pytest.importorskip("langchain")
    gym.conftest(CONFTEST)
    gym.file("""
        from agentgym import scenario

        IDS = [("a", "b"), ("call_0", "call_0"), ("", "")]

        @scenario(cases=IDS, episodes=3)
        def test_results(agent):
            run = agent.run("How is the weather in Ulm and in Bern?")
            assert [c.arguments["city"] for c in run.calls] == ["Ulm", "Bern"]
            assert [c.result for c in run.calls] == ["sun in Ulm", "sun in Bern"]
            assert all(c.executed for c in run.calls)
    """)
    gym.start()
    assert [episode["outcome"] for episode in gym.episodes()] == ["passed"] * 3
