"""Agents that keep their state between episodes, and those that only seem to."""

from __future__ import annotations

import pytest

USAGE = 4

ASKING = """
    import pytest
    from agentgym.recording.recorder import current

    diary = []  # of the module, and so of all episodes

    def ask(heard):
        call = current().model_started("m", heard=heard)
        current().model_finished(call, message={{"role": "assistant", "content": "ok"}})
        return "ok"

    @pytest.fixture
    def agent(case):
        def run(message):
            {body}
        return run
"""
SCENARIO = """
    from agentgym import scenario

    @scenario(episodes=8)
    def test_orders(agent, case):
        assert agent.run(f"Where is my order {{{number}}}?").reply == "ok"
"""
DIARY = "diary.append(message); return ask(list(diary))"


@pytest.mark.parametrize("number", ["case.index", "case.index % 2", "7"])
@pytest.mark.parametrize("at_once", [1, 8])
def test_an_agent_that_keeps_its_state_is_told(gym, number, at_once):
    gym.conftest(ASKING.format(body=DIARY))
    gym.file(SCENARIO.format(number=number))
    result = gym.run("--agentgym-concurrency", str(at_once))
    assert result.ret == USAGE
    result.stdout.fnmatch_lines(
        ["*the agent keeps its state between episodes: this episode's model call has*"]
    )


@pytest.mark.parametrize(
    "body",
    [
        "return ask(['Where is my parcel 0?', message])",
        "return ask([message.replace('1?', '0?')])",
        "return ask([message] * (1 + case.index % 2))",
        "return ask(['Where is my parcel?'] * (1 + case.index % 6))",
        "return ask([f'Where is my parcel {{n}}?' for n in range(4)] + [message])",
    ],
    ids=["example", "normalised", "repeated", "up-to-six-times", "examples"],
)
def test_an_agent_that_only_seems_to_is_played(gym, body, request):
    # What the runs of other tests said in this process is not to be met again.
    thing = request.node.callspec.id
    body = body.replace("{{", "{").replace("}}", "}").replace("parcel", thing)
    gym.conftest(ASKING.format(body=body))
    gym.file(
        SCENARIO.format(number="case.index % 2").replace("my order", f"my {thing}")
    )
    assert gym.run().ret == 0
    assert len(gym.episodes()) == 8


@pytest.mark.parametrize(
    ("ini", "args", "code"),
    [
        ("", ["--agentgym-state-check", "off"], 0),
        ("off", [], 0),
        ("on", ["--agentgym-state-check=off"], 0),
        ("off", ["--agentgym-state-check=on"], USAGE),
        ("perhaps", [], USAGE),
        ("", ["--agentgym-state-check=perhaps"], USAGE),
    ],
)
def test_the_check_can_be_switched_off(gym, ini, args, code):
    gym.conftest(ASKING.format(body=DIARY))
    gym.pytester.makeini(f"[pytest]\nagentgym_state_check = {ini}\n")
    gym.file(SCENARIO.format(number="case.index"))
    result = gym.run(*args)
    assert result.ret == code
    if "perhaps" in (ini, *args[0:1]):
        text = result.stdout.str() + result.stderr.str()
        assert "agentgym_state_check perhaps: choose on or off" in text


@pytest.mark.parametrize("how", ["graph", "function", "fresh"])
def test_a_fixed_thread_when_all_episodes_begin_at_once(gym, how):
    pytest.importorskip("langgraph")
    gym.conftest(f"""
        import threading
        import pytest
        from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
        from langchain_core.messages import AIMessage
        from langgraph.checkpoint.memory import InMemorySaver
        from langgraph.graph import MessagesState, StateGraph

        everyone = threading.Barrier(4)

        def compiled():
            def answer(state):
                model = GenericFakeChatModel(messages=iter([AIMessage("ok")]))
                everyone.wait(60)
                return {{"messages": [model.invoke(state["messages"])]}}

            graph = StateGraph(MessagesState).add_node(answer)
            graph.set_entry_point("answer")
            return graph.compile(checkpointer=InMemorySaver())

        shared = compiled()
        config = {{"configurable": {{"thread_id": "1"}}}}

        @pytest.fixture
        def agent():
            graph = compiled() if {how!r} == "fresh" else shared
            if {how!r} != "function":
                return graph.with_config(config)
            def run(message):
                state = graph.invoke({{"messages": [("user", message)]}}, config)
                return state["messages"][-1].content
            return run
    """)
    gym.file(SCENARIO.replace("episodes=8", "episodes=4").format(number="case.index"))
    result = gym.start("--agentgym-concurrency", "4")
    if how == "fresh":
        assert result.ret == 0
        return
    assert result.ret == USAGE
    result.stdout.fnmatch_lines(
        ["*keeps its state between episodes: this episode's conversation (thread_id*"]
    )
