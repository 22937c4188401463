"""Tokens and money of a run, and limits for them."""

from __future__ import annotations

import pytest

from tests.paying_agent import PAID, PAYING_AGENT


@pytest.fixture
def paying(gym):
    gym.conftest(PAYING_AGENT)
    return gym


def price(model="gpt-4o"):
    return f"--agentgym-price={model}=1/10"


def paid(name="a", episodes=8, message="7"):
    return PAID.format(name=name, episodes=episodes, message=message)


def test_a_run_says_what_it_took(paying):
    paying.file(paid())
    result = paying.run(price())
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "*- cost -*",
            "*in/ep*out/ep*tok/pass*$/ep*$/pass*",
            "  test_a *1000*100*1100*$0.0020*$0.0020",
            "8,000 tokens in, 800 out in 8 episodes: $0.016, $0.0020 per passed *",
        ]
    )
    cost = paying.summary()["cost"]
    assert cost["usd"] == pytest.approx(0.016)
    assert cost["per_passed"] == {
        "input_tokens": 1000,
        "output_tokens": 100,
        "usd": pytest.approx(0.002),
    }
    assert paying.summary()["scenarios"][0]["cost"]["calls"] == 16


def test_the_list_knows_the_price(paying):
    pytest.importorskip("genai_prices")
    paying.file(paid())
    paying.run().stdout.fnmatch_lines(["*in 8 episodes: $0.028, *"])
    assert paying.summary()["cost"]["prices"].startswith("genai-prices ")


def test_nothing_is_imported_for_prices_that_openai_looks_at(paying):
    pytest.importorskip("genai_prices")
    pytest.importorskip("httpx2")
    paying.file(paid() + "\n        import sys; assert 'httpx2' in sys.modules\n")
    assert paying.start().ret == 0


def test_a_price_that_is_not_known(paying):
    paying.conftest(PAYING_AGENT.replace("gpt-4o", "shop-7b"))
    paying.file(paid())
    result = paying.run()
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "8,000 tokens in, 800 out in 8 episodes",
            "the price of shop-7b is not known: tokens only*",
        ]
    )
    assert paying.summary()["cost"]["usd"] is None


def test_tries_that_an_infrastructure_error_ended_are_paid(paying, monkeypatch):
    monkeypatch.setattr("agentgym.playing.play.FIRST_BACKOFF_SECONDS", 0.01)
    paying.file(paid(episodes=2, message="7 down=1"))
    paying.run("--agentgym-infra-retries=2", price())
    # Three tries of 500 and 50 tokens each.
    assert paying.summary()["cost"]["input_tokens"] == 3000
    episode = paying.episodes()[0]
    assert episode["discarded"] == [["gpt-4o", 500, 50]] * 2
    assert 0.005 < episode["attempt_start"] <= episode["duration"]


@pytest.mark.parametrize("workers", [[], ["-n2"]])
@pytest.mark.parametrize(
    ("option", "limit"),
    [("--agentgym-max-cost", 0.01), ("--agentgym-max-tokens", 5500)],
)
def test_a_limit_stops_the_run(paying, workers, option, limit):
    for name in "abc":
        paying.file(paid(name, 40, "7 sleep=0.05"), f"test_{name}.py")
    plugins = ("xdist",) if workers else ()
    result = paying.start(
        f"{option}={limit}",
        price(),
        "--agentgym-concurrency=2",
        *workers,
        plugins=plugins,
    )
    assert result.ret == 2, result.stdout.str()
    summary = paying.summary()
    played = summary["episodes"]["passed"]
    # The limit is reached by the fifth; those in flight are played to their end, and
    # a few more begin until all processes know, on a busy machine.
    assert 5 <= played < 60
    assert len(paying.episodes()) == played
    assert summary["interrupted"]
    assert summary["reliability"]["verdict"] == "UNDECIDED"
    assert f"of {option} {limit} are" in summary["stopped"]
    result.stdout.fnmatch_lines(
        [
            f"reliability 100.0 % ({played}/{played} episodes, *",
            "STOPPED: *",
            "*of what was played, UNDECIDED: *",
        ]
    )
    text = " ".join(result.stdout.str().split())
    assert (
        f"{played} of 120 episodes were played; only complete runs are judged" in text
    )
    result.assert_outcomes(skipped=3)
    assert "gate met" not in text


def test_a_limit_that_only_the_last_episodes_reach_stops_nothing(paying):
    paying.file(paid(episodes=4))
    result = paying.run("--agentgym-max-tokens=4400")
    assert result.ret == 0
    assert paying.summary()["stopped"] is None
    result.stdout.fnmatch_lines(
        ["4,400 of --agentgym-max-tokens 4400 are used, by the last episodes"]
    )
    result.assert_outcomes(passed=1)


@pytest.fixture
def swept(paying, monkeypatch):
    """A project whose runs lose their temporary folder, as to something that cleans."""
    temporary = paying.pytester.mkdir("temporary")
    monkeypatch.setenv("TMPDIR", str(temporary))
    paying.conftest(
        PAYING_AGENT,
        add="""
        import pathlib, shutil, tempfile

        @pytest.hookimpl(tryfirst=True)
        def pytest_agentgym_episode_finished():
            for folder in pathlib.Path(tempfile.gettempdir()).glob("agentgym-*"):
                shutil.rmtree(folder)
        """,
    )
    return paying


def test_a_limit_is_kept_without_a_file_that_says_so(swept):
    for name in "ab":
        swept.file(paid(name, 40), f"test_{name}.py")
    result = swept.start("--agentgym-max-tokens=1000", "--agentgym-concurrency=1")
    assert result.ret == 2
    assert {e["scenario"] for e in swept.episodes()} == {"test_a.py::test_a"}
    assert swept.summary()["stopped"].endswith("--agentgym-max-tokens 1000 are used")


def test_a_limit_that_workers_cannot_know_ends_the_run(swept):
    swept.file(paid(episodes=40, message="7 sleep=1"))
    args = ["-n1", "--agentgym-max-tokens=1000", "--agentgym-concurrency=1"]
    result = swept.start(*args, plugins=("xdist",))
    assert result.ret == 2
    result.stdout.fnmatch_lines(
        ["*1,100 of --agentgym-max-tokens 1000 are used: pytest-xdist's workers *"]
    )
    assert len(swept.episodes()) < 40
    for lines in (result.stdout, result.stderr):
        lines.no_fnmatch_line("*INTERNALERROR*")
        lines.no_fnmatch_line("*Traceback*")


def test_ordinary_tests_go_on_after_a_limit(paying):
    paying.file(paid(episodes=40) + "\n    def test_z():\n        assert True\n")
    result = paying.run("--agentgym-max-tokens=1000", "--agentgym-concurrency=1")
    result.assert_outcomes(skipped=1, passed=1)
    assert result.ret == 2


def test_a_limit_on_money_needs_prices(paying):
    paying.conftest(PAYING_AGENT.replace("gpt-4o", "shop-7b"))
    paying.file(paid(episodes=400, message="7 sleep=0.02"))
    result = paying.run("--agentgym-max-cost=5", "--agentgym-concurrency=2")
    assert result.ret == 4
    text = " ".join(result.stdout.str().split())
    mistake = "--agentgym-max-cost cannot be kept: the price of shop-7b is not"
    assert text.count(mistake) == 1
    # Quick ones are told in batches of 64.
    assert len(paying.episodes()) < 200
    summary = paying.summary()
    assert (summary["exit_code"], summary["decision"]["exit_code"]) == (4, 4)
    kinds = [reason["kind"] for reason in summary["decision"]["reasons"]]
    assert kinds == ["usage", "stopped"]
    assert mistake in summary["decision"]["sentence"]


def test_a_limit_needs_tokens(paying):
    paying.conftest(
        PAYING_AGENT.replace("=prompt,", "=None,").replace("=completion,", "=None,")
    )
    paying.file(paid(episodes=40, message="7 sleep=0.02"))
    result = paying.run("--agentgym-max-tokens=500", "--agentgym-concurrency=2")
    assert result.ret == 4
    text = " ".join(result.stdout.str().split())
    mistake = "max-tokens cannot be kept: the agent's model calls do not report their"
    assert text.count(mistake) == 1


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--agentgym-price=gpt-4o", "give MODEL=IN/OUT"),
        ("--agentgym-price=gpt-4o=cheap/dear", "give MODEL=IN/OUT"),
        ("--agentgym-max-cost=0", "give an amount of US dollars above 0"),
        ("--agentgym-max-cost=much", "give an amount of US dollars above 0"),
        ("--agentgym-max-tokens=1.5", "give a whole number of at least 1"),
    ],
)
def test_bad_values(gym, option, words):
    gym.file("")
    result = gym.start(option)
    assert result.ret == 4
    result.stderr.fnmatch_lines([f"ERROR: {option.replace('=', ' ', 1)}: {words}*"])
    assert "Traceback" not in result.stderr.str()


def test_a_training_has_limits_of_its_own(gym):
    result = gym.start("--train", "--agentgym-max-cost=5")
    assert result.ret == 4
    result.stderr.fnmatch_lines(["ERROR: --agentgym-max-cost has no place beside *"])
