"""What came of each case, and pass^k and pass@k per case, through a real pytest."""

from __future__ import annotations

import pytest

from tests.summary_schema import check_summary

HALF = """
    import pytest
    from agentgym import given, scenario, Scenario

    @pytest.fixture
    def agent(case):
        return lambda message: str(case.value)

    @scenario({settings})
    def test_half({arguments}):
        assert {check}
"""
# In each of these one half of the cases always passes, and the other never.
HALVES = {
    "listed": (
        'cases=["yes", "no"], episodes=16',
        "agent",
        "agent.run('').reply == 'yes'",
    ),
    "generated": ("cases=4, episodes=32", "case", "case.index % 2"),
    "asked for by a fixture": ("cases=2, episodes=16", "odd", "odd"),
}
ODD = """
    @pytest.fixture
    def odd(request):
        return request.getfixturevalue("case").index
"""


def summary_of(gym, *args, workers=False):
    if workers:
        gym.start("-n2", *args, plugins=("xdist",))
    else:
        gym.run(*args)
    found = gym.summary()
    check_summary(found)
    return found


@pytest.mark.parametrize("workers", [False, True])
@pytest.mark.parametrize("kind", HALVES)
def test_half_of_the_cases_always_pass(gym, kind, workers):
    settings, arguments, check = HALVES[kind]
    source = HALF.format(settings=settings, arguments=arguments, check=check)
    gym.file(source + ODD)
    [found] = summary_of(gym, workers=workers)["scenarios"]
    half = {"1": 0.5, "2": 0.5, "4": 0.5, "8": 0.5}
    assert found["pass_hat_k"] == half
    assert found["pass_at_k"] == half
    assert set(found["pass_k_left_out"].values()) == {0}
    counts = [(one["passed"], one["failed"]) for one in found["case_results"]]
    assert sorted(set(counts)) == [(0, 8), (8, 0)]
    assert counts[0] == (0, 8)


ALIKE = """
    import itertools
    from agentgym import Scenario, scenario

    numbers = itertools.count()

    @scenario(episodes=8)
    def test_alike(agent):
        agent.run("hi")
        assert next(numbers) % 2
"""


@pytest.mark.parametrize("workers", [False, True])
def test_who_asks_for_no_case_repeats_one(gym, workers):
    """C(4, k) / C(8, k): its episodes are repeats of the same task."""
    gym.file(ALIKE)
    [found] = summary_of(gym, workers=workers)["scenarios"]
    assert found["pass_hat_k"] == {"1": 0.5, "2": 0.214286, "4": 0.014286, "8": 0.0}
    assert found["pass_at_k"] == {"1": 0.5, "2": 0.785714, "4": 0.985714, "8": 1.0}
    assert found["case_results"] == [
        {"case": None, "passed": 4, "failed": 4, "other": 0}
    ]


ONCE = {
    "by name": "def test_once(case):\n        assert case.seed >= 0",
    "by request": "def test_once(request):\n        assert request.case.seed >= 0",
    "by a fixture": "def test_once(order):\n        assert order >= 0",
}
ORDER = """
    import pytest
    from agentgym import scenario

    @pytest.fixture
    def order(request):
        return request.getfixturevalue("case").seed

    @scenario(episodes=4)
    {body}
"""


@pytest.mark.parametrize("how", ONCE)
def test_a_case_that_is_played_once_has_no_more_than_one(gym, how):
    gym.file(ORDER.format(body=ONCE[how]))
    result = gym.run("--agentgym-k=1,3")
    [found] = gym.summary()["scenarios"]
    assert found["pass_hat_k"] == {"1": 1.0, "3": None}
    assert found["pass_k_cases"] == {"1": 4, "3": 0}
    assert found["pass_k_left_out"] == {"1": 0, "3": 4}
    assert [one["case"] for one in found["case_results"]] == [
        f"held_out-{index}" for index in range(4)
    ]
    result.stdout.fnmatch_lines(
        [
            "test_once: pass^1 100.0 %; pass@1 100.0 % (4 cases); no case has the *",
            "no case was played twice: for repeats of a case write @scenario(cases=N)*",
        ]
    )


def test_a_class_sets_its_case(gym):
    gym.file("""
        from agentgym import Scenario

        class Order(Scenario):
            episodes = 4

            def play(self, agent):
                assert self.case.seed >= 0
    """)
    [found] = summary_of(gym)["scenarios"]
    assert found["pass_hat_k"] == {"1": 1.0}


FAMILY = """
    import pytest
    from agentgym import scenario

    @pytest.mark.parametrize("word", ["yes", "no", "[no]::[]", "yes, too"])
    @scenario(episodes=6)
    def test_words(word):
        assert "yes" in word

    @scenario(episodes=2)
    def test_alone():
        assert True

    class TestMore:
        @pytest.mark.parametrize("word", ["yes", "no"])
        @scenario(cases=2, episodes=6)
        def test_words(self, word, case):
            assert "yes" in word or case.index
"""


@pytest.mark.parametrize("workers", [False, True])
def test_parameter_sets_are_one_family(gym, workers):
    gym.file(FAMILY)
    found = summary_of(gym, workers=workers)
    first, second = sorted(found["families"], key=lambda one: -len(one["name"]))
    assert (first["name"], first["scenarios"]) == (
        "test_it.py::TestMore::test_words",
        2,
    )
    assert first["pass_hat_k"] == {"1": 0.75, "2": 0.75}
    assert first["pass_k_cases"] == {"1": 4, "2": 4}
    assert (second["name"], second["scenarios"]) == ("test_it.py::test_words", 4)
    assert (second["passed"], second["counted"]) == (12, 24)
    assert second["pass_hat_k"] == second["pass_at_k"] == {"1": 0.5, "2": 0.5, "4": 0.5}
    # (4 * 1/2 + 1 + 4 * 3/4) / 9, and the case of two episodes has no four.
    assert found["k_episodes"]["pass_hat_k"] == {"1": 0.666667, "2": 0.666667, "4": 0.5}
    assert found["k_episodes"]["pass_k_left_out"] == {"1": 0, "2": 0, "4": 5}


def test_the_terminal_says_what_was_asked_for(gym):
    gym.file(FAMILY)
    lines = gym.run("--agentgym-k", "2,4").stdout.str()
    text = " ".join(lines.split())
    assert "pass^k and pass@k of a case" in text
    assert (
        "all scenarios: pass^2 66.7 %, pass^4 50.0 %; pass@2 66.7 %, pass@4 50.0 % "
        "(9 cases); k = 4 leaves out 5 cases with fewer" in text
    )
    assert (
        "test_words (4 parameter sets): pass^2 50.0 %, pass^4 50.0 %; pass@2 50.0 %, "
        "pass@4 50.0 % (4 cases)" in text
    )
    assert "test_alone: pass^2 100.0 %; pass@2 100.0 % (1 case); no case has" in text
    assert "no case was played twice" not in text
    assert "pass^k" not in gym.run().stdout.str()


def test_what_does_not_count_is_no_repeat(gym):
    gym.file("""
        from agentgym import scenario

        @scenario(cases=2, episodes=8)
        def test_down(agent, case):
            agent.run("raise=InfraError" if case.index else "hi")
            assert True
    """)
    [found] = summary_of(gym, "--agentgym-infra-retries=0")["scenarios"]
    assert found["pass_hat_k"] == {"1": 1.0, "2": 1.0, "4": 1.0}
    assert found["pass_k_left_out"] == {"1": 1, "2": 1, "4": 1}
    assert found["case_results"][1] == {
        "case": "held_out-1",
        "passed": 0,
        "failed": 0,
        "other": 4,
    }


def test_an_ini_file_asks_and_the_option_comes_first(gym):
    gym.file(ALIKE)
    gym.pytester.makeini("[pytest]\nagentgym_k = 3, 5")
    assert summary_of(gym)["scenarios"][0]["pass_hat_k"].keys() == {"3", "5"}
    assert summary_of(gym, "--agentgym-k=7")["scenarios"][0]["pass_hat_k"] == {"7": 0.0}
    gym.pytester.makeini("[pytest]\nagentgym_k = many")
    result = gym.run()
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*agentgym_k = many: give up to 10 whole numbers*"])


@pytest.mark.parametrize("text", ["", "0", "1,x", "2.5", "1001", "-1"])
def test_an_option_that_is_none(gym, text):
    result = gym.run(f"--agentgym-k={text}")
    assert result.ret == 4
    result.stderr.fnmatch_lines(
        [f"*--agentgym-k {text}: give up to 10 whole numbers from 1 to 1000, *"]
    )


def test_the_page_and_the_markdown_have_both(gym, tmp_path):
    """Of 300 cases that failed, a summary lists 256, the Markdown 10."""
    from agentgym.commands.main import main
    from tests.html_page import Page

    gym.file("""
        from agentgym import scenario

        @scenario(cases=300, episodes=600)
        def test_never(case):
            assert case.index < 0
    """)
    gym.run()
    summary = gym.summary()
    [found] = summary["scenarios"]
    assert len(found["case_results"]) == 256
    assert found["case_results_left_out"] == 44
    assert found["pass_hat_k"] == {"1": 0.0, "2": 0.0}
    page = Page(gym.runs[-1] / "report.html")
    assert page.report["summary"]["scenarios"][0]["case_results"]
    main(["report", str(gym.runs[-1]), "--markdown", str(tmp_path / "report.md")])
    told = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "| `test_never` | 300 | 0.0 % | 0.0 % | 0.0 % | 0.0 % |" in told
    assert told.count("| `held_out-") == 10
    assert "and 290 more cases" in told
