"""Scenarios are collected as pytest users expect."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

TWO = """
    import pytest
    from agentgym import scenario

    @scenario(episodes=3)
    def test_good(agent):
        assert agent.run("look_up=7").called("look_up", order="7")

    @pytest.mark.{mark}
    @scenario(episodes=2)
    def test_bad(agent):
        assert agent.run("look_up=7").called("refund")
"""


def names(gym) -> list[str]:
    """Names of the played scenarios."""
    return [s["name"].partition("::")[2] for s in gym.summary()["scenarios"]]


def test_a_scenario_function_is_one_item_with_many_episodes(gym):
    gym.file(TWO.format(mark="tryfirst"))
    result = gym.run("-v")
    result.assert_outcomes(passed=1, failed=1)
    assert result.ret == 1
    assert names(gym) == ["test_good", "test_bad"]
    assert [s["episodes"] for s in gym.summary()["scenarios"]] == [3, 2]
    result.stdout.fnmatch_lines(
        ["  test_good * 3/3 *100.0 % *", "  test_bad * 0/2 *0.0 % *"]
    )


def test_parametrize_makes_one_item_per_parameter_set(gym):
    gym.file("""
        import pytest
        from agentgym import scenario

        @pytest.mark.parametrize("order", ["7", "8"])
        @scenario(episodes=2)
        def test_order(agent, order):
            assert agent.run("look_up=7").called("look_up", order=order)
    """)
    gym.run().assert_outcomes(passed=1, failed=1)
    assert names(gym) == ["test_order[7]", "test_order[8]"]
    assert [s["passed"] for s in gym.summary()["scenarios"]] == [2, 0]


def test_a_mark_above_or_below_the_decorator(gym):
    gym.file("""
        import pytest
        from agentgym import scenario

        @scenario
        @pytest.mark.skip(reason="not today")
        def test_below(agent): ...

        @pytest.mark.skip(reason="not today")
        @scenario
        def test_above(agent): ...

        @pytest.mark.xfail(reason="known")
        @scenario(episodes=1)
        def test_known(agent):
            assert agent.run("hi").called("refund")
    """)
    result = gym.run()
    result.assert_outcomes(skipped=2, xfailed=1)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*no gate: every scenario was expected to fail*"])


def test_a_scenario_that_is_expected_to_fail_leaves_the_gate(gym):
    gym.file("""
        import pytest
        from agentgym import scenario

        @scenario(episodes=3)
        def test_good(agent):
            assert agent.run("look_up=7").called("look_up")

        @pytest.mark.xfail(reason="known")
        @scenario(episodes=2)
        def test_known(agent):
            assert agent.run("hi").called("refund")
    """)
    result = gym.run()
    result.assert_outcomes(passed=1, xfailed=1)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["  test_known (xfail) *0/2*", "reliability*(3/3 *"])
    assert [s["xfail"] for s in gym.summary()["scenarios"]] == [False, True]


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["-m", "slow"], ["test_bad"]),
        (["-m", "not slow"], ["test_good"]),
        (["-k", "good"], ["test_good"]),
        (["test_it.py::test_bad"], ["test_bad"]),
    ],
)
def test_selection(gym, args, expected):
    gym.pytester.makeini("[pytest]\nmarkers = slow")
    gym.file(TWO.format(mark="slow"))
    gym.run("--strict-markers", *args)
    assert names(gym) == expected


def test_x_stops_after_the_first_scenario_that_fails(gym):
    gym.file("""
        from agentgym import scenario

        @scenario(episodes=1)
        def test_1(agent):
            assert agent.run("hi").called("refund")

        @scenario(episodes=1)
        def test_2(agent):
            assert agent.run("hi").reply
    """)
    result = gym.run("-x")
    assert names(gym) == ["test_1"]
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "gate not met: the run is below 95 % and 1 scenario was not played",
            "  test_it.py::test_2: was not played: stopping after 1 failures",
        ]
    )
    reasons = gym.summary()["decision"]["reasons"]
    assert [reason["kind"] for reason in reasons] == ["below", "not_played"]


def test_last_failed_plays_only_what_failed(gym):
    gym.file(TWO.format(mark="tryfirst"))
    gym.run()
    gym.run("--lf")
    assert names(gym) == ["test_bad"]


def test_junitxml_has_scenarios_and_their_reliability(gym):
    gym.file(TWO.format(mark="tryfirst"))
    gym.run("--junitxml=junit.xml")
    text = (gym.pytester.path / "junit.xml").read_text()
    assert 'tests="2"' in text
    assert 'failures="1"' in text
    assert '<property name="agentgym_reliability" value="1.0"' in text
    assert '<property name="agentgym_verdict" value="UNDECIDED"' in text
    assert "reliability 0.0 % (0 of 2 episodes passed) is below 95 %" in text


AGAIN = """
    import pytest
    from _pytest.runner import runtestprotocol

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(item, nextitem):
        # What pytest-rerunfailures does.
        for last in (False, True):
            item.ihook.pytest_runtest_logstart(
                nodeid=item.nodeid, location=item.location
            )
            item._initrequest()
            for report in runtestprotocol(item, nextitem=nextitem, log=False):
                if last:
                    item.ihook.pytest_runtest_logreport(report=report)
            item.ihook.pytest_runtest_logfinish(
                nodeid=item.nodeid, location=item.location
            )
        return True
"""


@pytest.mark.parametrize("workers", [False, True])
@pytest.mark.parametrize("again", [False, True])
def test_properties_are_there_once_and_as_in_the_summary(gym, workers, again):
    """Also with xdist, in which reports cross processes, and when items run again."""
    gym.file("""
        import pytest
        from agentgym import scenario

        @pytest.mark.parametrize("order", ["7", "8"])
        @scenario(episodes=90)
        def test_order(agent, order, record_property):
            record_property("mine", order)
            assert agent.run("look_up=7").called("look_up", order=order)
    """)
    if again:
        gym.more_conftest(AGAIN)
    args = ["-n2"] if workers else []
    plugins = ("xdist",) if workers else ()
    gym.start("--junitxml=junit.xml", *args, plugins=plugins)
    root = ElementTree.parse(gym.pytester.path / "junit.xml").getroot()
    cases = {
        case.get("name"): [
            (p.get("name"), p.get("value")) for p in case.iter("property")
        ]
        for case in root.iter("testcase")
    }
    assert sorted(cases) == ["test_order[7]", "test_order[8]"]
    for scenario in gym.summary()["scenarios"]:
        found = cases[scenario["name"].partition("::")[2]]
        ours = [(n, v) for n, v in found if n.startswith("agentgym_")]
        told = dict(ours)
        assert len(ours) == len(told) == 8
        share = scenario["reliability"]
        same = {
            "reliability": share["value"],
            "threshold": share["threshold"],
            "verdict": share["verdict"],
            "mean_reward": scenario["mean_reward"],
        }
        # The episodes of both times count in the summary.
        runs = 2 if again else 1
        if not again:
            same |= {end: round(share[end], 4) for end in ("low", "high")}
        for name, value in same.items():
            assert told[f"agentgym_{name}"] == str(value)
        assert int(told["agentgym_episodes"]) * runs == scenario["episodes"]
        assert int(told["agentgym_passed"]) * runs == scenario["passed"]
        assert ("mine", scenario["name"][-2]) in found


@pytest.mark.parametrize("stop", ["fixed", "sequential"])
@pytest.mark.parametrize("workers", [False, True])
def test_verdicts_are_corrected_together(gym, workers, stop):
    """Holm certifies 80, 80 and 65 clean episodes; Bonferroni not the last of them."""
    for name, episodes in (("a", 80), ("b", 80), ("c", 65)):
        gym.file(
            f"""
            from agentgym import scenario

            @scenario(episodes={episodes})
            def test_{name}(agent):
                assert agent.run("look_up=7").called("look_up")
            """,
            f"test_{name}.py",
        )
    gym.file("def test_ordinary(): ...\n", "test_ordinary.py")
    args = ["-n2"] if workers else []
    plugins = ("xdist",) if workers else ()
    args += ["--junitxml=junit.xml", f"--agentgym-stop={stop}"]
    assert gym.start(*args, plugins=plugins).ret == 0
    told = {
        scenario["name"].partition("::")[2]: scenario["reliability"]
        for scenario in gym.summary()["scenarios"]
    }
    verdict = "RELIABLE" if stop == "fixed" else "UNDECIDED"
    assert [one["verdict"] for one in told.values()] == [verdict] * 3
    root = ElementTree.parse(gym.pytester.path / "junit.xml").getroot()
    for case in root.iter("testcase"):
        found = {p.get("name"): p.get("value") for p in case.iter("property")}
        one = told.get(case.get("name") or "")
        if one is None:
            assert found == {}
            continue
        assert found["agentgym_verdict"] == one["verdict"]
        for end in ("low", "high"):
            assert found[f"agentgym_{end}"] == str(round(one[end], 4))


def test_collect_only_plays_nothing(gym):
    gym.file(TWO.format(mark="tryfirst"))
    result = gym.run("--collect-only", "-q")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["test_it.py::test_good", "test_it.py::test_bad"])
    # Nobody has asked for a report.
    result.stdout.no_fnmatch_line("*agentgym*")
    assert not gym.runs


@pytest.mark.parametrize(
    "imports",
    [
        "from agentgym import scenario as sc",
        "import agentgym as ag",
        "import agentgym",
        "from agentgym.scenarios.scenario import scenario as sc",
    ],
)
def test_aliased_imports_are_seen(gym, imports):
    name = "sc" if imports.startswith("from") else f"{imports.split()[-1]}.scenario"
    gym.file(f"""
{imports}

@{name}(episodes=1)
def test_both(agent):
    assert agent.run("hi").called("refund")
    assert agent.run("hi").called("look_up")
""")
    gym.run().assert_outcomes(failed=1)
    checks = gym.summary()["scenarios"][0]["checks"]
    assert [c["failed"] for c in checks] == [1, 1]


def test_a_check_that_rewards_doing_nothing_is_warned_of_once(gym):
    gym.file("""
        import pytest
        from agentgym import scenario

        @pytest.mark.parametrize("order", ["7", "8"])
        @scenario(episodes=1)
        def test_order(agent, order):
            run = agent.run(f"look_up={order}")
            assert run.called("look_up")
            assert not run.called("refund")
    """)
    result = gym.run("-W", "default")
    result.assert_outcomes(passed=2, warnings=1)
    result.stdout.fnmatch_lines(
        ["*RewardsIdleness: *.py:10: an agent that does nothing*"]
    )
