"""What the exit code asks for, when a scenario ends, and what both would take."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest

from tests.summary_schema import check_summary

USAGE = 4

SCENARIOS = """
    from agentgym import scenario

    @scenario(episodes=400)
    def test_good(agent):
        assert agent.run("look_up=7").called("look_up")

    @scenario(episodes=400)
    def test_bad(agent, case):
        run = agent.run("look_up=7" if case.index % 2 else "")
        assert run.called("look_up")
"""
ONE = """
    from agentgym import scenario

    @scenario(episodes={episodes})
    def test_one(agent):
        assert agent.run("look_up=7").called("look_up")
"""


@pytest.mark.parametrize(("episodes", "code"), [(58, 1), (59, 0)])
def test_a_certified_gate_asks_for_59_clean_episodes(gym, episodes, code):
    gym.file(ONE.format(episodes=episodes))
    result = gym.run("--agentgym-gate", "certified")
    assert result.ret == code
    verdict = "not met: the run is not" if code else "met: the run is"
    result.stdout.fnmatch_lines([f"gate {verdict} certified to reach 95 %"])
    result.assert_outcomes(passed=1 - code, failed=code)
    if code:
        result.stdout.fnmatch_lines(
            ["*100.0 % (58 of 58 episodes passed) is not certified to reach 95 %*"]
        )
    assert gym.summary()["gate"] == "certified"
    assert gym.run().ret == 0


def test_what_is_certified_alone_fails_with_the_others(gym):
    gym.file(ONE.format(episodes=60))
    gym.file(ONE.format(episodes=60) + "\n    def test_ordinary(): ...", "test_more.py")
    result = gym.start("--agentgym-gate=certified", "--junitxml=j.xml")
    assert result.ret == 1
    result.assert_outcomes(passed=1, failed=2)
    text = "certified by itself, but not together with the run's other scenarios: "
    result.stdout.fnmatch_lines([f"{text}100.0 %, UNDECIDED against 95 %", "FAILED *"])
    suite = ElementTree.parse(gym.pytester.path / "j.xml").find("testsuite")
    assert (suite.get("tests"), suite.get("failures")) == ("3", "2")
    failures = [len(list(case.iter("failure"))) for case in suite.iter("testcase")]
    assert sorted(failures) == [0, 1, 1]
    again = gym.run("--agentgym-gate=certified", "--agentgym-episodes=73", "--lf")
    again.assert_outcomes(passed=2)
    assert again.ret == 0


def test_the_verdict_is_shown_whatever_the_gate(gym):
    gym.file(ONE.format(episodes=10))
    result = gym.run()
    assert result.ret == 0
    result.stdout.fnmatch_lines(["UNDECIDED: 10 of 10 passed, but 59 clean *"])


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
def test_scenarios_end_when_certain(gym, workers):
    gym.file(SCENARIOS)
    # One of two may be kept waiting while the other plays: 147 clean ones make up for
    # that. Of more, all but one could be, and quick ones would be over before they go
    # on.
    args = ("--agentgym-stop", "sequential", "--agentgym-concurrency", "2")
    plugins = ("xdist.plugin",) if workers else ()
    begin = gym.start if workers else gym.run
    result = begin(*args, *workers, plugins=plugins)
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "reliability *mean of 2 scenarios*",
            "scenarios, together at 95 % confidence: 1 RELIABLE, 1 UNRELIABLE, 0 *",
            "stopped after * of at most 800 episodes",
        ]
    )
    summary = gym.summary()
    assert (summary["stop"], summary["planned"]) == ("sequential", 800)
    good, bad = summary["scenarios"]
    # Half of the episodes fail: two of one verdict take fewer than one in 20 runs.
    assert good["reliability"]["verdict"] == "RELIABLE"
    assert bad["reliability"]["verdict"] == "UNRELIABLE"
    # 89 clean ones certify one of two scenarios; no more than what is in flight, and
    # what begins while a batch is on its way, comes after them.
    assert 89 <= good["passed"] < 400
    assert 0 < bad["episodes"] < 200
    indices = [e["index"] for e in gym.episodes() if "good" in e["scenario"]]
    assert indices == list(range(good["passed"]))


HOPELESS = """
    import pytest
    from agentgym import scenario

    @scenario(episodes=400)
    def test_bad(agent):
        assert agent.run("sleep=0.002").called("look_up")

    @pytest.mark.parametrize("order", range(3))
    @scenario(episodes=400)
    def test_good(agent, order):
        assert agent.run("look_up=7 sleep=0.2").called("look_up")

    @pytest.mark.skip(reason="not now")
    @scenario(episodes=400)
    def test_skipped(agent): ...
"""


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
def test_a_run_that_cannot_be_saved_ends(gym, workers):
    """The first scenario never passes: five have a mean of 80 % at most."""
    gym.file(HOPELESS)
    args = ("--agentgym-stop", "sequential", "--agentgym-concurrency", "4")
    plugins = ("xdist.plugin",) if workers else ()
    result = gym.start(*args, "--junitxml=junit.xml", "-rs", *workers, plugins=plugins)
    assert result.ret == 1
    summary = gym.summary()
    check_summary(summary)
    assert (summary["exit_code"], summary["interrupted"]) == (1, False)
    assert summary["stopped"] is None
    assert summary["reliability"]["verdict"] == "UNRELIABLE"
    # Two processes play the first two at the same time.
    left = {s["name"].partition("::")[2]: s for s in summary["not_played"]}
    every = {f"test_good[{order}]" for order in range(3)}
    assert len(left) >= 2
    assert left.keys() == every if not workers else left.keys() <= every
    assert sum(s["played"] == 0 for s in left.values()) >= 3 - len(workers)
    assert all(s["planned"] == 400 for s in left.values())
    text = " ".join(result.stdout.str().split())
    assert f"even if the {len(left)} scenarios that were not played to the end" in text
    result.stdout.fnmatch_lines(
        [
            "gate not met: the run is below 95 %*",
            "UNRELIABLE: at most * at 95 % confidence, *",
            "not played: *test_good*",
            "stopped after * of at most 2000 episodes",
        ]
    )
    result.assert_outcomes(failed=1, skipped=len(left) + 1, passed=3 - len(left))
    junit = (gym.pytester.path / "junit.xml").read_text()
    why = "0 of 400 episodes were played: whatever this one does, the run is UNRELIABLE"
    assert junit.count(f'message="{why}"') == sum(
        not s["played"] for s in left.values()
    )
    assert junit.count('message="not now"') == 1


def test_only_what_is_certain_of_the_run_ends_it(gym):
    """A scenario that was expected to fail is none of its business."""
    args = ("--agentgym-stop", "sequential", "--agentgym-gate", "certified")
    gym.file("""
        import pytest
        from agentgym import scenario

        @pytest.mark.xfail
        @scenario(episodes=200)
        def test_known(agent): assert agent.run("").called("look_up")

        @scenario(episodes=200)
        def test_good(agent): assert agent.run("look_up=7").called("look_up")
    """)
    assert gym.run(*args, "test_it.py").ret == 0
    assert gym.summary()["not_played"] == []


def test_slow_failures_decide_no_less_than_quick_successes(gym):
    """The first four fail, and take longest."""
    gym.file("""
        import time
        from agentgym import scenario

        @scenario(episodes=60)
        def test_slow(agent, case):
            slow = case.index < 4
            assert agent.run("sleep=0.6" if slow else "look_up=7").called("look_up")
    """)
    result = gym.run("--agentgym-stop", "sequential", "--agentgym-concurrency", "8")
    assert result.ret == 1
    [scenario] = gym.summary()["scenarios"]
    # In the order of their arrival, 56 quick passes come before the failures.
    assert scenario["reliability"]["verdict"] == "UNRELIABLE"
    assert scenario["outcomes"]["failed"] == 4


def test_one_slow_episode_keeps_no_scenario_going(gym):
    """It may yet pass: one of the others must make up for that.

    It goes on until no other one begins.
    """
    gym.file("""
        import time
        import pytest
        from agentgym import scenario

        begun = 0

        @pytest.mark.parametrize("good", [True, False])
        @scenario(episodes=2000)
        def test_slow(agent, case, good):
            global begun
            begun += 1
            time.sleep(0.02)
            seen, quiet = begun, 0
            # Many short looks: a process that gets no time for a while has none.
            while case.index == 0 and quiet < 30:
                time.sleep(0.1)
                seen, quiet = begun, (quiet + 1 if seen == begun else 0)
            run = agent.run("look_up=7" if good and case.index else "")
            assert run.called("look_up")
    """)
    result = gym.run("--agentgym-stop", "sequential", "--agentgym-concurrency", "4")
    assert result.ret == 1
    good, bad = gym.summary()["scenarios"]
    assert bad["reliability"]["verdict"] == "UNRELIABLE"
    assert good["reliability"]["verdict"] == "RELIABLE"
    assert bad["episodes"] < 600
    # 147 clean episodes and one in flight certify one of two scenarios.
    assert 147 < good["episodes"] < 600


def test_async_scenarios_and_a_debugger_stop_early_too(gym):
    gym.file("""
        from agentgym import scenario

        @scenario(episodes=300)
        async def test_it(agent):
            assert (await agent.run("look_up=7")).called("look_up")
    """)
    result = gym.run("--agentgym-stop", "sequential", "--agentgym-concurrency", "4")
    assert result.ret == 0
    assert 74 <= gym.summary()["scenarios"][0]["passed"] < 300
    result = gym.start("--agentgym-stop", "sequential", "--pdb")
    assert result.ret == 0
    assert gym.summary()["scenarios"][0]["passed"] == 74


def test_sequentially_certified(gym):
    gym.file(ONE.format(episodes=300))
    args = ("--agentgym-stop", "sequential", "--agentgym-gate", "certified")
    result = gym.run(*args)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["RELIABLE: at least 9*"])
    result = gym.run(*args, "--agentgym-episodes", "73")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["UNDECIDED: 73 of 73 passed, but 74 clean *"])


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
def test_scenarios_are_looked_at_after_each_tenth(gym, workers):
    gym.file(SCENARIOS)
    args = ("--agentgym-stop", "grouped", "--agentgym-concurrency", "1")
    plugins = ("xdist.plugin",) if workers else ()
    begin = gym.start if workers else gym.run
    result = begin(*args, *workers, plugins=plugins)
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "scenarios, together at 95 % confidence: 1 RELIABLE, 1 UNRELIABLE, 0 *",
            "stopped after * of at most 800 episodes",
        ]
    )
    summary = gym.summary()
    check_summary(summary)
    assert summary["stop"] == "grouped"
    good, bad = summary["scenarios"]
    assert good["reliability"]["verdict"] == "RELIABLE"
    assert bad["reliability"]["verdict"] == "UNRELIABLE"
    # What begins while a batch is on its way counts, too.
    assert 40 <= bad["episodes"] < 400
    assert 120 <= good["passed"] < 400


def test_certified_in_groups(gym):
    gym.file(ONE.format(episodes=300))
    args = ("--agentgym-stop", "grouped", "--agentgym-gate", "certified")
    assert gym.run(*args, "--agentgym-concurrency=1").ret == 0
    [one] = gym.summary()["scenarios"]
    # What begins while a batch is on its way counts, too.
    assert 120 <= one["passed"] < 300
    assert one["planned"] == 300
    assert gym.run(*args, "--agentgym-episodes=59").ret == 0
    result = gym.run(*args, "--agentgym-episodes=58")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["UNDECIDED: 58 of 58 passed, but 59 clean *"])


def test_a_plan_plays_nothing(gym):
    gym.file(ONE.format(episodes=10))
    result = gym.run("--agentgym-plan")
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "*episodes that certify 95 % in 1 scenario*",
            "*fixed,*sequential,*grouped,*",
            "*each*at most*mean*at most*mean",
            "  truly 96 % * 2,698 *",
            "  truly 97 % *601 *1,250 *675 *670 *480",
            "  truly 100 % *59 *74 *74 *59 *59",
            "no earlier run in .agentgym/runs knows the tokens of an episode",
        ]
    )
    assert gym.runs == []
    result.stdout.no_fnmatch_line("*verdict*")


def test_a_plan_knows_what_an_earlier_run_cost(gym):
    path = gym.file(SCENARIOS)
    gym.run("--agentgym-episodes", "2")
    file = gym.runs[-1] / "summary.json"
    data = json.loads(file.read_text())
    for scenario in data["scenarios"]:
        scenario["tokens"] = 1000.0
    file.write_text(json.dumps(data))
    result = gym.start("--agentgym-plan", "-n", "2", path, plugins=("xdist.plugin",))
    assert result.ret == 0
    # Two scenarios of 72 (89 at most) episodes and 1,000 tokens each.
    result.stdout.fnmatch_lines(
        [
            "*certify 95 % in 2 scenarios*",
            "*truly 100 %*72*89*89*72*72*59",
            "*tokens,*tokens,*tokens,",
            "*truly 100 %*144k*178k*144k",
            "in 80 % of runs all 2 scenarios are certified by then, *",
        ]
    )
    for scenario in data["scenarios"]:
        # Of two episodes.
        scenario["cost"]["total"]["usd"] = 0.5
    file.write_text(json.dumps(data))
    result = gym.run("--agentgym-plan")
    result.stdout.fnmatch_lines(["*$,*$,", "*truly 100 %*$36.00*$44.50*$36.00"])
    data["scenarios"][0]["cost"]["total"]["usd"] = None
    file.write_text(json.dumps(data))
    result = gym.run("--agentgym-plan")
    result.stdout.fnmatch_lines(["*truly 100 %*144k*178k*144k"])
    assert len(gym.runs) == 1


def test_a_plan_of_own_and_of_extreme_thresholds(gym):
    gym.file("""
        from agentgym import scenario

        @scenario(threshold=1)
        def test_a(agent): assert agent.run("")

        @scenario(threshold=0.5)
        def test_b(agent): assert agent.run("")
    """)
    result = gym.run("--agentgym-plan")
    result.stdout.fnmatch_lines(
        ["*certify 50 % in 1*", "*truly 60 %*", "*certify 100 %*", "no number can*"]
    )


def test_a_plan_without_scenarios(gym):
    gym.file("def test_ordinary(): ...\n")
    result = gym.run("--agentgym-plan")
    result.stdout.fnmatch_lines(["agentgym: there is no scenario to plan for"])


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ("gate=maybe", "--agentgym-gate maybe: choose point, tolerant or certified"),
        ("stop=early", "--agentgym-stop early: choose fixed, sequential or grouped"),
    ],
)
def test_option_values(gym, option, sentence):
    gym.file(ONE.format(episodes=1))
    result = gym.run(f"--agentgym-{option}")
    assert result.ret == USAGE
    result.stderr.fnmatch_lines([f"*{sentence}*"])


@pytest.mark.parametrize("option", ["stop=fixed", "plan"])
def test_a_training_has_its_own(gym, option):
    gym.file(ONE.format(episodes=1))
    result = gym.run("--train", f"--agentgym-{option}")
    assert result.ret == USAGE
    name = option.partition("=")[0]
    result.stderr.fnmatch_lines([f"*--agentgym-{name} has no place beside --train: *"])


MANY = """
    import itertools
    import pytest
    from agentgym import scenario

    numbers = itertools.count()

    @pytest.mark.parametrize("kind", range(17))
    @scenario(episodes=32)
    def test_good(kind):
        assert True

    @scenario(episodes=32)
    def test_other():
        assert next(numbers) >= {failed}
"""


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
def test_a_tolerant_gate_of_many_scenarios(gym, workers):
    """Two failures of 32 are chance, 12 are none."""
    args = {"plugins": ("xdist",) if workers else ()}
    begin = gym.start if workers else gym.run
    gym.file(MANY.format(failed=2))
    result = begin(*workers, **args)
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "gate not met: 1 of 18 scenarios is below 95 %",
            "that may be chance: an agent of 99 % in every scenario misses a gate*",
            "*in 53 % of runs; --agentgym-gate tolerant fails only*",
        ]
    )
    assert "that may be chance" in gym.summary()["gate_odds"]
    result = begin("--agentgym-gate", "tolerant", *workers, **args)
    assert result.ret == 0
    result.assert_outcomes(passed=18)
    result.stdout.fnmatch_lines(
        [
            "gate met: neither the run nor one of 18 scenarios is certain to be *",
            "a gate of this size sees a scenario of 73.0 % or less and a run of*",
        ]
    )
    check_summary(gym.summary())
    gym.file(MANY.format(failed=12))
    result = begin("--agentgym-gate", "tolerant", *workers, **args)
    assert result.ret == 1
    result.assert_outcomes(passed=17, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*62.5 % (20 of 32 episodes passed) is certain to be below 95 %*",
        ]
    )
    result.stdout.fnmatch_lines(
        [
            "gate not met: 1 of 18 scenarios is certain to be below 95 %",
            "  test_it.py::test_other: 62.5 %, certainly below 95 %",
        ]
    )
    found = gym.summary()
    assert found["decision"]["reasons"][0]["kind"] == "certainly_below"
    assert found["gate_odds"] is None
    # What is certain is no chance, whichever gate.
    assert "that may be chance" not in begin(*workers, **args).stdout.str()


def test_a_tolerant_gate_plays_all_episodes(gym):
    gym.file(ONE.format(episodes=4))
    result = gym.run("--agentgym-gate=tolerant", "--agentgym-stop=sequential")
    assert result.ret == USAGE
    result.stderr.fnmatch_lines(["*--agentgym-gate tolerant looks at all episodes*"])
    result = gym.run("--agentgym-gate=lenient")
    assert result.ret == USAGE
    result.stderr.fnmatch_lines(["*choose point, tolerant or certified*"])
    result = gym.run("--agentgym-gate=tolerant")
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "gate met: the run is not certain to be below 95 %",
            "a gate of this size sees an agent of * or less in 80 % of runs",
        ]
    )
