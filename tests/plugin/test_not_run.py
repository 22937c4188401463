"""Import modes, other plugins, and what happens without --agentgym."""

from __future__ import annotations

import json

import pytest

MIXED = """
    from agentgym import Scenario, scenario

    @scenario(episodes=2)
    def test_one(agent):
        assert agent.run("hi").called("refund")

    class Two(Scenario):
        def play(self, agent):
            assert agent.run("hi").called("refund")

    def test_ordinary():
        assert True
"""


@pytest.mark.parametrize("args", [[], ["-n2"]])
def test_without_the_option_scenarios_are_not_collected(gym, args):
    gym.file(MIXED)
    run = gym.start if args else gym.run
    result = run(*args, agentgym=False, plugins=("xdist",) if args else ())
    result.assert_outcomes(passed=1)
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        ["agentgym: 2 scenarios not run; add --agentgym to run them"]
    )


def test_one_scenario_not_run_is_singular_and_ordinary_runs_say_nothing(gym):
    gym.file(MIXED.replace("class Two(Scenario)", "class Two"))
    result = gym.run(agentgym=False)
    result.stdout.fnmatch_lines(
        ["agentgym: 1 scenario not run; add --agentgym to run them"]
    )
    gym.file("def test_ordinary(): pass")
    result = gym.run(agentgym=False)
    result.stdout.no_fnmatch_line("*agentgym: *")


def test_p_no_agentgym_removes_everything(gym):
    gym.conftest("")
    gym.file("def test_ordinary(request):\n    assert 1")
    args = ["-p", "no:agentgym"]
    gym.pytester.runpytest_subprocess(*args).assert_outcomes(passed=1)
    result = gym.pytester.runpytest_subprocess(*args, "--agentgym")
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*unrecognized arguments: --agentgym"])


@pytest.mark.parametrize("mode", ["prepend", "importlib"])
def test_import_modes(gym, mode):
    for folder in ("one", "two"):
        gym.file(MIXED, f"{folder}/test_it_{folder}.py")
    gym.run(f"--import-mode={mode}")
    scenarios = gym.summary()["scenarios"]
    assert [s["name"] for s in scenarios] == [
        "one/test_it_one.py::test_one",
        "one/test_it_one.py::Two::play",
        "two/test_it_two.py::test_one",
        "two/test_it_two.py::Two::play",
    ]
    assert all(s["checks"][0]["failed"] for s in scenarios)


def test_pytest_randomly_changes_no_case(gym):
    pytest.importorskip("pytest_randomly")
    gym.file("""
        from agentgym import scenario

        @scenario(episodes=4)
        def test_seed(agent, case):
            assert agent.run(f"look_up={case.rng.randint(0, 999)}").called("look_up")
    """)
    seeds = []
    for args in (["-p", "no:randomly"], ["-p", "randomly"]):
        gym.run(*args, "--agentgym-seed=3").assert_outcomes(passed=1)
        seeds.append([episode["case"]["seed"] for episode in gym.episodes()])
    assert seeds[0] == seeds[1]
    assert len(set(seeds[0])) == 4


def test_xdist_gives_the_same_summary(gym):
    gym.file("""
        import pytest
        from agentgym import scenario

        @pytest.mark.parametrize("limit", [0.2, 0.5, 0.9])
        @scenario(episodes=6)
        def test_luck(agent, case, limit):
            run = agent.run("look_up=7" if case.rng.random() < limit else "refund=7")
            assert run.called("look_up")
            assert not run.called("refund")
    """)
    summaries = []
    for args in ([], ["-n2"]):
        result = gym.start("--agentgym-seed=5", *args, plugins=("xdist",))
        assert result.ret == 1
        summaries.append(gym.summary())
    assert [summary.pop("origin")["workers"] for summary in summaries] == [0, 2]
    assert _steady(summaries[0]) == _steady(summaries[1])
    assert 0 < summaries[0]["episodes"]["failed"] < 18


def _steady(value):
    """What does not differ between two equal runs: no times and no random ids."""
    changing = ("run", "folder", "started", "seconds", "latency", "example", "duration")
    if isinstance(value, dict):
        return {k: _steady(v) for k, v in value.items() if k not in changing}
    if isinstance(value, list):
        return [_steady(part) for part in value]
    return json.loads(json.dumps(value))
