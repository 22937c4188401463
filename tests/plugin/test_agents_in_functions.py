"""An agent that is a function around a framework, in a real pytest process."""

from __future__ import annotations

import importlib.util

import pytest

from agentgym.report.markdown import markdown
from tests.conftest import Gym

SERVER = """
    import pytest

    from agentgym.testing import ScriptedModel, call, say


    def delete_all() -> str:
        '''Delete all orders.'''
        return "all are gone"


    @pytest.fixture(scope="session")
    def server():
        with ScriptedModel([call("delete_all"), say("Done.")]) as model:
            yield model
"""

LANGGRAPH = """
    @pytest.fixture
    def agent(server):
        def ask(message):
            from langchain.agents import create_agent
            from langchain_openai import ChatOpenAI

            model = ChatOpenAI(base_url=server.base_url, api_key="n", model="m")
            graph = create_agent(model, [delete_all])
            answer = graph.invoke({"messages": [("user", message)]})
            return answer["messages"][-1].text

        return ask
"""
PYDANTIC_AI = """
    @pytest.fixture
    def agent(server):
        async def ask(message):
            from pydantic_ai import Agent
            from pydantic_ai.models.openai import OpenAIChatModel
            from pydantic_ai.providers.openai import OpenAIProvider

            provider = OpenAIProvider(base_url=server.base_url, api_key="none")
            inner = Agent(OpenAIChatModel("m", provider=provider), tools=[delete_all])
            return (await inner.run(message)).output

        return ask
"""
OPENAI_AGENTS = """
    class Desk:
        def __init__(self, server):
            self.server = server

        async def run(self, message):
            from agents import (
                Agent, OpenAIChatCompletionsModel, Runner, function_tool
            )
            from openai import AsyncOpenAI

            client = AsyncOpenAI(base_url=self.server.base_url, api_key="none")
            model = OpenAIChatCompletionsModel("m", client)
            agent = Agent(name="a", model=model, tools=[function_tool(delete_all)])
            return (await Runner.run(agent, message)).final_output


    @pytest.fixture
    def agent(server):
        return Desk(server)
"""

SCENARIO = """
    from agentgym import must, scenario

    @scenario(episodes=3)
    def test_orders(agent):
        run = agent.run("Tidy up my orders, please.")
        assert not run.called("delete_all"), must("keep the orders")
        assert run.reply == "Done."
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("package", "agent"),
    [
        ("langchain_openai", LANGGRAPH),
        ("pydantic_ai", PYDANTIC_AI),
        ("agents", OPENAI_AGENTS),
    ],
)
@pytest.mark.parametrize("workers", [(), ("-n", "1")], ids=["alone", "xdist"])
def test_a_framework_that_is_imported_within_the_agent_is_recorded(
    gym: Gym, package: str, agent: str, workers: tuple[str, ...]
) -> None:
    # An import here would be undone with the project, and what it began stay.
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    gym.conftest(SERVER, add=agent)
    gym.file(SCENARIO)
    plugins = ("xdist.plugin",) if workers else ()
    result = gym.start("-W", "ignore", *workers, plugins=plugins)
    assert result.ret == 1
    episodes = gym.episodes()
    assert [e["outcome"] for e in episodes] == ["failed"] * 3
    for episode in episodes:
        steps = episode["trajectory"]["steps"]
        assert [len(step["tool_calls"]) for step in steps] == [1, 0]
        assert episode["reward"] == 0


@pytest.mark.parametrize("workers", [(), ("-n", "1")], ids=["alone", "xdist"])
def test_an_agent_of_which_nothing_is_seen_is_told(
    gym: Gym, workers: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    gym.conftest("""
        import pytest

        @pytest.fixture
        def agent():
            return lambda message: "Done."
    """)
    gym.file(SCENARIO)
    plugins = ("xdist.plugin",) if workers else ()
    report = gym.pytester.path / "report.html"
    result = gym.start(*workers, f"--agentgym-report={report}", plugins=plugins)
    assert result.ret == 0
    told = " ".join(line.strip() for line in result.outlines)
    begin = next(
        i for i, line in enumerate(result.outlines) if line.startswith("no model or")
    )
    assert max(map(len, result.outlines[begin : begin + 3])) < 80
    assert "no model or tool call was seen in 3 of 3 episodes of test_orders" in told
    [warning] = gym.summary()["warnings"]
    assert warning.startswith("no model or tool call was seen in 3 of 3 episodes")
    assert warning in markdown(gym.summary())
    assert report.exists()


def test_an_agent_that_once_called_a_tool_is_seen(gym: Gym) -> None:
    gym.file("""
        from agentgym import scenario

        @scenario(episodes=3)
        def test_orders(agent, case):
            run = agent.run("look_up=7" if case.index == 1 else "hi")
            assert run.reply
    """)
    result = gym.start()
    assert result.ret == 0
    assert gym.summary()["warnings"] == []


def test_an_agent_that_says_nothing_is_not_told_of(gym: Gym) -> None:
    gym.conftest("""
        import pytest

        @pytest.fixture
        def agent():
            return lambda message: None
    """)
    gym.file("""
        from agentgym import scenario

        @scenario(episodes=3)
        def test_orders(agent):
            assert agent.run("hi").reply == ""
    """)
    assert gym.start().ret == 0
    assert gym.summary()["warnings"] == []


CONTEXT = """
    import functools

    import agents

    import agentgym


    @agents.function_tool
    def balance(context: agents.RunContextWrapper[dict]) -> int:
        '''The customer's points.'''
        return context.context["points"]


    @pytest.fixture(scope="session")
    def model():
        with ScriptedModel([call("balance"), say("You have points.")]) as model:
            yield model


    @pytest.fixture
    def agent(model, case):
        points = agents.Agent(name="points", tools=[balance])
        run = functools.partial(
            agents.Runner.run, points, context={"points": case.index}
        )
        return agentgym.redirect(run, model.endpoint)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["def", "async def"])
def test_each_episode_has_the_context_that_its_fixture_gives(
    gym: Gym, kind: str
) -> None:
    if importlib.util.find_spec("agents") is None:
        pytest.skip("agents is not installed")
    gym.conftest(SERVER, add=CONTEXT)
    asked = 'agent.run("How many points do I have?")'
    gym.file(f"""
        from agentgym import scenario

        @scenario(episodes=6)
        {kind} test_points(agent, case):
            run = {asked if kind == "def" else "await " + asked}
            assert run.calls[0].result == case.index
    """)
    result = gym.start("-W", "ignore")
    assert result.ret == 0
    assert [e["outcome"] for e in gym.episodes()] == ["passed"] * 6


def test_the_openai_agents_sdk_in_a_project_with_a_package_of_its_name(
    gym: Gym,
) -> None:
    gym.conftest("""
        import pytest
        import agents

        @pytest.fixture
        def agent():
            return agents.Agent()
    """)
    agents = """
        class Agent:
            def run(self, message):
                return "Done."
    """
    gym.file(agents, "agents.py")
    gym.file("""
        from agentgym import scenario

        @scenario(episodes=3)
        def test_orders(agent):
            assert agent.run("hi").reply == "Done."
    """)
    result = gym.start("-W", "error")
    assert result.ret == 0
