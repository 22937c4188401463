"""How many episodes are played, on what cases, and within which limits."""

from __future__ import annotations

import pytest

ONE = """
    from agentgym import scenario

    @scenario(episodes=3)
    def test_order(agent, case):
        assert agent.run("{message}").called("look_up", order="7")
"""


def test_the_option_overrides_the_scenarios_own_number(gym):
    gym.file(ONE.format(message="look_up=7"))
    gym.run("--agentgym-episodes=5")
    assert gym.summary()["episodes"]["passed"] == 5
    assert [e["index"] for e in gym.episodes()] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(("concurrency", "most"), [(1, 1), (3, 3)])
def test_concurrency(gym, concurrency, most):
    gym.turns(fixtures="agent", episodes=6, most=most)
    gym.run(f"--agentgym-concurrency={concurrency}").assert_outcomes(passed=2)


def test_live_progress_reaches_the_terminal_and_is_no_captured_output(gym):
    gym.file(ONE.format(message="refund=7"))
    result = gym.start("-q")
    result.stdout.fnmatch_lines(["FFF *100%]"])
    result.stdout.no_fnmatch_line("*Captured stdout*")


def test_an_agent_that_does_not_stop_in_time_failed(gym):
    gym.file(ONE.format(message="look_up=7 sleep=60"))
    result = gym.run("--agentgym-timeout=1", "--agentgym-concurrency=3")
    assert result.ret == 1
    assert result.duration < 20
    assert gym.summary()["episodes"]["failed"] == 3
    for episode in gym.episodes():
        assert episode["error"].startswith("EpisodeTimeout: the agent did not stop")
        assert episode["trajectory"]["steps"], "what it did before is kept"


def test_an_async_agent_that_does_not_stop_in_time_failed(gym):
    gym.file("""
        import asyncio
        from agentgym import scenario

        @scenario(episodes=2, timeout=0.2)
        async def test_slow(agent):
            await asyncio.sleep(60)
            assert (await agent.run("hi")).reply
    """)
    result = gym.run()
    assert result.duration < 20
    assert gym.summary()["episodes"]["failed"] == 2


def test_an_overdue_episode_whose_result_cannot_be_made_ends_the_run(gym):
    gym.file("""
        import pathlib, threading
        from agentgym import Scenario

        class TestStuck(Scenario):
            episodes, timeout = 1, 1

            def play(self, agent):
                assert agent.run("hi").reply
                threading.Event().wait(60)
                pathlib.Path("waited").touch()

            def broadcast_rewards(self, trajectory):
                raise ValueError("what now")
    """)
    result = gym.start()
    assert result.ret == 4
    result.stdout.fnmatch_lines(["*TestStuck.broadcast_rewards() raised *what now"])
    assert not (gym.pytester.path / "waited").exists()


def test_the_limit_on_tool_calls_is_the_agents_failure(gym):
    gym.file(ONE.format(message="look_up=7 " * 5))
    gym.run("--agentgym-max-tool-calls=4")
    assert gym.summary()["episodes"]["failed"] == 3
    gym.run("--agentgym-max-tool-calls=5")
    assert gym.summary()["episodes"]["passed"] == 3


@pytest.mark.parametrize("define", ["def", "async def"])
@pytest.mark.parametrize("raised", ["pytest.fail('no')", "raise SystemExit(3)"])
def test_what_ends_a_body_is_the_agents_failure_in_sync_and_async(gym, define, raised):
    gym.file(f"""
        import pytest
        from agentgym import scenario

        @scenario(episodes=1)
        {define} test_order():
            {raised}
            assert False
    """)
    gym.run()
    assert gym.summary()["episodes"]["failed"] == 1


@pytest.mark.parametrize(("define", "wait"), [("def", ""), ("async def", "await ")])
def test_an_agent_that_swallows_the_limit_is_ended(gym, define, wait):
    gym.conftest("""
        import pytest
        from agentgym import tool

        @tool
        def look():
            pass

        @pytest.fixture
        def agent():
            def reply(message):
                while True:
                    try:
                        look()
                    except Exception:
                        pass  # the model is told, and tries again
            return reply
    """)
    gym.file(f"""
        from agentgym import scenario

        @scenario(episodes=3)
        {define} test_endless(agent):
            run = {wait}agent.run("go")
            assert run.called("look")
    """)
    gym.run()
    assert gym.summary()["episodes"]["failed"] == 3
    for episode in gym.episodes():
        assert episode["error"] == (
            "ToolCallLimit: the agent made more than 50 tool calls "
            "(--agentgym-max-tool-calls)"
        )


@pytest.mark.parametrize(
    "statement",
    [
        "run = agent.run('raise={error}'); assert run.reply",
        "assert agent.run('raise={error}').reply",
    ],
)
@pytest.mark.parametrize(
    ("error", "outcome", "code"),
    [("InfraError", "infra_error", 6), ("ValueError", "failed", 1)],
)
def test_whose_doing_an_exception_is(gym, statement, error, outcome, code):
    gym.file(f"""
        from agentgym import scenario

        @scenario(episodes=2)
        def test_order(agent):
            {statement.format(error=error)}
    """)
    result = gym.run("--agentgym-infra-retries=0")
    assert gym.summary()["episodes"][outcome] == 2
    assert result.ret == code


def test_infra_errors_are_retried(gym, monkeypatch):
    monkeypatch.setattr("agentgym.playing.play.FIRST_BACKOFF_SECONDS", 0.01)
    gym.file("""
        import pytest
        from agentgym import scenario, wrap

        tries = []

        @pytest.fixture
        def agent(case):
            def unreliable(message):
                tries.append(case.index)
                if tries.count(case.index) < 3:
                    raise ConnectionRefusedError("no model")
                return "done"
            return wrap(unreliable)

        @scenario(episodes=2)
        def test_order(agent):
            run = agent.run("hi")
            assert run.reply == "done"
    """)
    gym.run("--agentgym-infra-retries=1")
    assert gym.summary()["episodes"]["infra_error"] == 2
    gym.run("--agentgym-infra-retries=2").assert_outcomes(passed=1)
    assert [e["attempts"] for e in gym.episodes()] == [3, 3]


def test_output_is_kept_per_episode_and_shown_for_failed_ones(gym):
    gym.file("""
        import logging, time
        from agentgym import scenario

        @scenario(episodes=4)
        def test_order(agent, case):
            print("episode", case.index)
            time.sleep(0.05)
            logging.warning("log %s", case.index)
            assert agent.run(f"print=agent{case.index}").called("refund")
    """)
    result = gym.run("--agentgym-concurrency=4")
    for index, episode in enumerate(gym.episodes()):
        expected = f"episode {index}\nWARNING root: log {index}\nagent{index}\n"
        assert episode["output"] == expected
    result.stdout.fnmatch_lines(["*printed*episode *"])


def test_the_same_seed_gives_the_same_cases(gym):
    gym.file(ONE.format(message="look_up=7"))
    seeds = []
    for seed in (1, 1, 2):
        gym.run(f"--agentgym-seed={seed}")
        seeds.append([e["case"]["seed"] for e in gym.episodes()])
    assert seeds[0] == seeds[1]
    assert not set(seeds[0]) & set(seeds[2])


def test_warnings_fail_no_episode_because_filters_belong_to_the_process(gym):
    gym.file("""
        import warnings
        from agentgym import scenario

        @scenario(episodes=2)
        def test_warned(agent):
            warnings.warn("old", DeprecationWarning)
            assert agent.run("look_up=7").called("look_up")

        def test_ordinary():
            warnings.warn("old", DeprecationWarning)
    """)
    result = gym.run("-W", "error")
    result.assert_outcomes(passed=1, failed=1, warnings=1)
    result.stdout.fnmatch_lines(["FAILED *::test_ordinary - DeprecationWarning: old"])
