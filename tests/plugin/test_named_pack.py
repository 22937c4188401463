"""`--agentgym-scenario NAME`: a pack that is installed is run where the user is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.made_distribution import make_distribution, make_pack


@pytest.fixture
def installed(gym, tmp_path_factory, monkeypatch) -> Path:
    """An empty project, and a pack of another distribution."""
    (gym.pytester.path / "conftest.py").unlink()
    site = tmp_path_factory.mktemp("environment") / "site-packages"
    make_distribution(site, {"parcels": "post.parcels"})
    make_pack(site / "post" / "parcels")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", f"{site}:{Path(__file__).parents[2]}")
    return site / "post" / "parcels"


@pytest.mark.parametrize("workers", [(), ("-n2",)])
def test_it_is_run_where_the_user_is(gym, installed, workers):
    plugins = ("xdist",) if workers else ()
    result = gym.start("--agentgym-scenario=parcels", *workers, plugins=plugins)
    result.assert_outcomes(passed=1, failed=1)
    named = {scenario["name"]: scenario for scenario in gym.summary()["scenarios"]}
    as_class = "parcels/test_parcels.py::TestAsAClass::play"
    one = "parcels/test_parcels.py::test_one_is_sent"
    assert sorted(named) == [as_class, one]
    first, *_ = [each for each in gym.episodes() if each["scenario"] == one]
    # A rubric of another file of the pack is made of checks, too.
    texts = [check["text"] for check in first["checks"]]
    assert texts == ["parcels == ['a book']", "'please' in run.reply"]
    assert [check["status"] for check in first["checks"]] == ["passed", "failed"]
    assert not list(installed.rglob(".agentgym"))


def test_the_agent_of_the_project_takes_the_place_of_the_packs(gym, installed):
    gym.conftest("""
        import pytest, agentgym

        @pytest.fixture
        def agent(parcels):
            return agentgym.wrap(lambda message: parcels.append(message) or "please")
    """)
    gym.file("def test_of_the_project(): pass", "tests/test_own.py")
    result = gym.start("--agentgym-scenario=parcels", "-k", "one_is_sent")
    result.assert_outcomes(passed=1, deselected=1)


def test_files_of_it_that_cannot_be_collected(gym, installed):
    (installed / "test_broken.py").write_text("from agentgym import scenario\n1 / 0\n")
    result = gym.start("--agentgym-scenario=parcels")
    assert result.ret == 2
    reasons = gym.summary()["gate"]["reasons"] if gym.runs else []
    assert "parcels/test_broken.py" in result.stdout.str(), reasons


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ("--agentgym", "--agentgym-scenario=parcel"),
            "--agentgym-scenario parcel: there is no scenario pack 'parcel': did you "
            "mean parcels?",
        ),
        (
            ("--agentgym-scenario=parcels",),
            "--agentgym-scenario parcels names scenarios for agentgym to run: add "
            "--agentgym",
        ),
        (
            ("--agentgym", "--agentgym-scenario=parcels", "tests"),
            "--agentgym-scenario parcels runs a pack by itself: leave out tests, or "
            "copy the pack into the project with: agentgym scenarios copy parcels",
        ),
    ],
)
def test_misuse(gym, installed, arguments, sentence):
    gym.pytester.mkdir("tests")
    result = gym.start(*arguments, agentgym=False)
    assert result.ret == 4
    assert result.stderr.lines[0] == f"ERROR: {sentence}"
    assert not gym.runs
