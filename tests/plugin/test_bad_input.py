"""Each mistake of a user gets one clear sentence and the right exit code."""

from __future__ import annotations

import re
import sys

import pytest

GOOD = """
    from agentgym import scenario

    @scenario(episodes=2)
    def test_order(agent):
        assert agent.run("look_up=7").called("look_up", order="7")
"""
USAGE, NOTHING, COLLECTION, BELOW = 4, 5, 2, 1


def said(gym, result) -> str:
    """All output of a run; there is never a traceback in it."""
    text = " ".join((result.stdout.str() + result.stderr.str()).split())
    assert "Traceback" not in text
    assert "INTERNALERROR" not in text
    return text


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ("episodes=0", "--agentgym-episodes 0: give a whole number of at least 1"),
        (
            "episodes=many",
            "--agentgym-episodes many: give a whole number of at least 1",
        ),
        ("threshold=1.5", "--agentgym-threshold 1.5: give a number from 0 to 1"),
        ("threshold=-0.1", "--agentgym-threshold -0.1: give a number from 0 to 1"),
        ("threshold=nan", "--agentgym-threshold nan: give a number from 0 to 1"),
        ("concurrency=0", "--agentgym-concurrency 0: give a whole number from 1 to"),
        ("timeout=0", "--agentgym-timeout 0: give a number of at least 0.001"),
        ("max-tool-calls=0", "--agentgym-max-tool-calls 0: give a whole number of"),
        ("infra-retries=-1", "--agentgym-infra-retries -1: give a whole number from"),
        ("seed=x", "--agentgym-seed x: give a whole number of at least 0"),
        ("split=both", "--agentgym-split both: choose held_out or train"),
        ("policy=", "--agentgym-policy is empty: name a model, or leave the option"),
    ],
)
def test_option_values(gym, option, sentence):
    gym.file(GOOD)
    result = gym.run(f"--agentgym-{option}")
    assert result.ret == USAGE
    assert sentence in said(gym, result)


def test_no_scenarios(gym):
    gym.file("def test_ordinary(): ...\n")
    assert "no scenario was run" in said(gym, gym.run())
    result = gym.run("-k", "nothing")
    assert result.ret == NOTHING
    assert "no scenario was run" in said(gym, result)


@pytest.mark.parametrize(
    ("statement", "code", "sentence"),
    [
        ("@scenario(episodes=0)", COLLECTION, "a scenario needs at least 1 episode"),
        ("@scenario(episode=3)", COLLECTION, "no setting 'episode': did you mean epi"),
        ("@scenario(case=3)", COLLECTION, "no setting 'case': did you mean cases?"),
        ("@scenario(hurry=True)", COLLECTION, "no setting 'hurry': it has episodes"),
        ("@scenario(threshold=2)", COLLECTION, "give a share between 0 and 1"),
        ("@scenario(threshold='95')", COLLECTION, "give a share between 0 and 1"),
        ("@scenario(timeout='9')", COLLECTION, "give a positive number of seconds"),
        ("@scenario(cases=[])", COLLECTION, "cases must be a number, a list of values"),
        ("@scenario(split='x')", COLLECTION, "choose 'auto', 'train' or 'held_out'"),
    ],
)
def test_settings(gym, statement, code, sentence):
    gym.file(GOOD.replace("@scenario(episodes=2)", statement))
    result = gym.run()
    assert result.ret == code
    assert sentence in said(gym, result)


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        ("weight(-1)", "weight(-1): "),
        ("weight('x')", "weight('x'): "),
        ("must('')", "must(''): say why"),
        ("weight(n)", "weight(n) is read from the source: write plain values"),
    ],
)
def test_weights(gym, message, sentence):
    gym.file(f"""
        from agentgym import must, scenario, weight

        @scenario
        def test_order(agent):
            assert agent.run("hi").reply, {message}
    """)
    result = gym.run()
    assert result.ret == COLLECTION
    text = said(gym, result)
    assert sentence in text
    assert "test_it.py:6: " in text


def test_a_scenario_without_checks(gym):
    gym.file("""
        from agentgym import scenario

        @scenario
        def test_order(agent):
            agent.run("hi")
    """)
    result = gym.run()
    assert result.ret in (COLLECTION, USAGE)
    assert "check" in said(gym, result)


@pytest.mark.parametrize("play", ["", "def play(self, agent): assert agent"])
def test_a_test_method_in_the_class_form(gym, play):
    gym.file(f"""
        from agentgym import Scenario

        class TestOrders(Scenario):
            {play}
            def test_refund(self, agent):
                assert agent.run("ok").reply
    """)
    result = gym.run()
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(
        ["test_it.py::TestOrders.test_refund is not played: *@scenario before*"]
    )


FORGETFUL = """
from agentgym import scenario

@scenario(episodes=3)
async def test_forgetful(agent):
    run = {call}
    assert {check}
"""


@pytest.mark.parametrize(
    ("call", "method"),
    [
        ("agent.run('look_up=7')", "agent.run()"),
        ("agent.chat('hi', user=lambda reply: None)", "agent.chat()"),
    ],
)
@pytest.mark.parametrize("check", ["run", "run.called('look_up')"])
def test_an_await_that_is_missing(gym, call, method, check):
    gym.file(FORGETFUL.format(call=call, check=check))
    result = gym.start("-Werror")
    assert result.ret == USAGE
    wanted = f"{method} was not awaited, so the agent was never asked: write `await`"
    assert wanted in said(gym, result)
    assert "RuntimeWarning" not in said(gym, result)


def test_runs_that_are_awaited_later_or_by_a_task(gym):
    gym.file("""
        import asyncio
        from agentgym import scenario

        @scenario(episodes=3)
        async def test_later(agent):
            first, second = agent.run("one"), asyncio.create_task(agent.run("two"))
            assert (await first).reply == "one"
            assert (await second).reply == "two"
    """)
    gym.run().assert_outcomes(passed=1)


def test_an_agent_fixture_that_is_missing(gym):
    gym.conftest("")
    gym.file(GOOD)
    result = gym.run()
    assert result.ret == USAGE
    assert "there is no `agent` fixture; write one in conftest.py" in said(gym, result)


@pytest.mark.parametrize("value", ["None", "42", "object", "'gpt'"])
def test_an_agent_fixture_that_returns_no_agent(gym, value):
    gym.conftest(f"""
        import pytest

        @pytest.fixture
        def agent():
            return {value}
    """)
    gym.file(GOOD)
    result = gym.run()
    assert result.ret == USAGE
    text = said(gym, result)
    assert re.search(r"conftest\.py:\d: the `agent` fixture: .* is no agent: ", text)
    assert "give an agent of LangChain, CrewAI, AutoGen, " in text
    assert "an object with run(message) -> reply, or a callable" in text


def test_a_tool_that_raises_is_in_the_report(gym):
    gym.file(GOOD.replace("look_up=7", "refund=unknown"))
    result = gym.run()
    assert result.ret == BELOW
    assert gym.summary()["tools"][0]["raised"] == 2
    assert "KeyError" in said(gym, result)


@pytest.mark.parametrize(
    "value", ["b'\\xff\\xfe'", "'\\ud800'", "'x' * 10_000_000", "object()"]
)
def test_strange_tool_results(gym, value):
    gym.more_conftest(f"""
        @agentgym.tool
        def export():
            return {value}

        @pytest.fixture
        def agent():
            def reply(message):
                export()
                return "done"
            return agentgym.wrap(reply)
    """)
    gym.file(GOOD.replace('called("look_up", order="7")', 'called("export")'))
    result = gym.run()
    assert result.ret == 0
    said(gym, result)
    size = (gym.runs[-1] / "episodes.jsonl").stat().st_size
    assert size < 1_000_000


def test_a_folder_that_cannot_be_written(gym):
    gym.file(GOOD)
    # A file in the way stops root, too; a read-only folder would not.
    (gym.pytester.path / ".agentgym").write_text("")
    result = gym.run()
    assert result.ret == 0
    text = said(gym, result)
    assert "nothing is stored in " in text
    assert "the report is complete all the same" in text
    assert "2/2" in text


def test_a_full_disk(gym):
    gym.file(GOOD)
    command = f"{sys.executable} -m pytest {' '.join(gym.arguments())}"
    result = gym.pytester.run(
        "bash",
        "-c",
        # Coverage, too, would write a file.
        f"(ulimit -f 4; unset COVERAGE_PROCESS_CONFIG; exec {command} "
        "-p no:cacheprovider --agentgym-episodes=30) | cat; exit ${PIPESTATUS[0]}",
    )
    assert result.ret == 0
    assert "episodes are stored in " in said(gym, result)


def test_a_json_path_that_cannot_be_written(gym):
    gym.file(GOOD)
    (gym.pytester.path / "file").write_text("")
    result = gym.run("--agentgym-json=file/out.json")
    assert "--agentgym-json: " in said(gym, result)
    assert "cannot be written" in said(gym, result)


def test_a_syntax_error_in_a_scenario_file(gym):
    gym.file(GOOD + "\n    def broken(:\n")
    result = gym.run()
    assert result.ret == COLLECTION
    result.stdout.fnmatch_lines(['*test_it.py", line 8*', "*SyntaxError: *"])
    result.stdout.no_fnmatch_line("*INTERNALERROR*")


def test_policy_path_and_endpoint(gym):
    gym.file(GOOD.replace("(agent)", "(agent, policy)"))
    result = gym.run("--agentgym-policy=/no/such/model")
    assert result.ret == USAGE
    assert "/no/such/model" in said(gym, result)
    result = gym.run("--agentgym-policy=http://127.0.0.1:9/v1")
    assert result.ret == USAGE
    assert "http://127.0.0.1:9/v1" in said(gym, result)
