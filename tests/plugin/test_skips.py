"""A skip in one case leaves out that case only, and is counted and said."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from agentgym.report.markdown import markdown
from tests.paying_agent import PAYING_AGENT
from tests.summary_schema import check_summary

SCENARIO = """
    from unittest import SkipTest
    import pytest
    from agentgym import Scenario, scenario

    @pytest.fixture
    def account(case):
        if case.value > {most}:
            {skip}
        return case.value

    @scenario(cases=[1, 2, 3, 4, 5, 6], episodes=6)
    {define} test_account(agent, account):
        assert ({wait}agent.run("look_up=7")).called("look_up")

    @scenario(episodes=2)
    def test_plain(agent):
        assert agent.run("look_up=7").called("look_up")
"""
SKIP = 'pytest.skip("no such account")'
WHY = "2 of 6 episodes of test_account were skipped: no such account"


def scenario(most=4, skip=SKIP, define="def", wait=""):
    return SCENARIO.format(most=most, skip=skip, define=define, wait=wait)


@pytest.mark.parametrize("workers", [False, True])
@pytest.mark.parametrize(
    "source",
    [
        scenario(),
        scenario(define="async def", wait="await "),
        scenario(skip='raise SkipTest("no such account")'),
        scenario(most=9).replace(
            "        assert (",
            f"        if account > 4:\n            {SKIP}\n        assert (",
        ),
    ],
    ids=["fixture", "async", "unittest", "body"],
)
def test_only_that_case_is_left_out(gym, source, workers):
    gym.file(source)
    xdist = {"plugins": ("xdist",)}
    result = gym.start("-n2", **xdist) if workers else gym.run()
    assert result.ret == 0
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*- skipped -*", WHY])
    assert len(gym.episodes()) == 6
    summary = gym.summary()
    check_summary(summary)
    assert summary["episodes"]["passed"] == 6
    assert summary["skipped"] == [
        {
            "name": "test_it.py::test_account",
            "skipped": 2,
            "planned": 6,
            "reasons": {"no such account": 2},
        }
    ]
    assert "Skipped: 2 of 6 episodes of `test_account`, `no such account`." in markdown(
        summary
    )


@pytest.mark.parametrize("verbosity", [[], ["-q"], ["-v"], ["--pdb"]])
def test_however_it_is_shown(gym, verbosity):
    gym.file(scenario())
    result = gym.run(*verbosity)
    assert result.ret == 0
    result.stdout.fnmatch_lines([WHY])
    if not verbosity:
        result.stdout.fnmatch_lines(["*test_account: 4/4 passed, 2 of 6 skipped*"])


def test_a_scenario_that_skips_each_of_its_cases_is_skipped(gym):
    gym.file(scenario(most=0))
    result = gym.run("--junitxml=junit.xml", "-rs")
    assert result.ret == 0
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.fnmatch_lines(
        [
            "6 of 6 episodes of test_account were skipped: no such account",
            "gate met: *",
            "SKIPPED * no such account",
        ]
    )
    xml = ElementTree.parse(gym.pytester.path / "junit.xml").getroot()
    assert len(list(xml.iter("skipped"))) == 1
    names = [one["name"] for one in gym.summary()["scenarios"]]
    assert names == ["test_it.py::test_plain"]


@pytest.mark.parametrize("stop", ["sequential", "grouped"])
def test_a_skip_does_not_hold_up_a_verdict(gym, stop):
    gym.file("""
        import pytest
        from agentgym import scenario

        @scenario(episodes=400)
        def test_hopeless(agent, case):
            if case.index % 2:
                pytest.skip("no such account")
            assert agent.run("hi").called("look_up")
    """)
    gym.run("--agentgym-stop", stop, "--agentgym-concurrency", "4")
    # No more than two batches and what is in flight then, which holds 64 each.
    assert len(gym.episodes()) < 200
    assert gym.summary()["decision"]["reasons"][0]["kind"] == "below"


def test_a_failure_beside_it_is_one(gym):
    source = scenario().replace('("look_up=7")).called("look_up")', '("hi")).calls')
    gym.file(source)
    result = gym.run()
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        ["*reliability 0.0 % (0 of 4 episodes passed) is below*", WHY]
    )


def test_tokens_are_shared_out_to_what_was_played(gym):
    gym.conftest(PAYING_AGENT)
    gym.file("""
        import pytest
        from agentgym import scenario

        @scenario(episodes=4)
        def test_paid(agent, case):
            if case.index % 2:
                pytest.skip("no such account")
            assert agent.run("30").reply
    """)
    result = gym.run()
    result.stdout.fnmatch_lines(
        ["*test_paid: 2/2 passed, 2 of 4 skipped, 1100 tok/ep*", "  test_paid * 1100 *"]
    )
