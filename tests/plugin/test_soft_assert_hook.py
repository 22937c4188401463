"""Asserts of scenario files are checks; everything else about them is as usual."""

from __future__ import annotations

import marshal
import sys

import pytest

SCENARIO = """\
from agentgym import must, rubric, scenario, weight


@rubric
def polite(run):
    assert "hi" in run.reply, weight(2)


@scenario(episodes=2)
def test_order(agent):
    run = agent.run("look_up=7")
    assert run.called("refund"), must("pay back")
    assert run.reply == "done"
    assert len(run.calls) == 1
    polite(run)
    if run.calls:
        assert run.called("look_up", order="7")
"""


def checks(gym) -> list[dict]:
    """The checks of the only scenario, in the order of their lines."""
    (scenario,) = gym.summary()["scenarios"]
    return sorted(scenario["checks"], key=lambda check: check["line"])


def test_all_checks_are_judged_after_one_failed(gym):
    path = gym.file(SCENARIO)
    gym.run()
    assert [(c["line"], c["passed"], c["failed"]) for c in checks(gym)] == [
        (6, 0, 2),
        (12, 0, 2),
        (13, 0, 2),
        (14, 2, 0),
        (17, 2, 0),
    ]
    assert {c["file"] for c in checks(gym)} == {str(path)}
    assert [c["weight"] for c in checks(gym)] == [2, 1, 1, 1, 1]
    assert checks(gym)[1]["must"] == "pay back"


@pytest.mark.parametrize("colour", ["no", "yes"])
def test_introspection_is_pytests_own(gym, colour):
    gym.file(SCENARIO)
    gym.run(f"--color={colour}")
    message = checks(gym)[2]["message"].splitlines()
    assert message[0] == "assert 'look_up=7' == 'done'"
    assert [line.strip() for line in message[-2:]] == ["- done", "+ look_up=7"]


def test_assert_plain_judges_without_introspection(gym):
    gym.file(SCENARIO)
    gym.run("--assert=plain")
    assert [c["failed"] for c in checks(gym)] == [2, 2, 2, 0, 0]
    assert checks(gym)[2]["message"] == "assert run.reply == 'done'"


def test_line_numbers_in_tracebacks(gym):
    gym.file(SCENARIO.replace("    polite(run)", "    polite(run); 1 / 0"))
    gym.run()
    for episode in gym.episodes():
        assert episode["error"] == "ZeroDivisionError: division by zero"
        assert 'test_it.py", line 15, in test_order' in episode["details"]


def test_an_expression_that_raises_is_an_errored_check(gym):
    gym.file(SCENARIO.replace("len(run.calls) == 1", "run.calls[5]"))
    gym.run()
    assert [c["errored"] for c in checks(gym)] == [0, 0, 0, 2, 0]
    assert checks(gym)[3]["message"].startswith("IndexError: ")


def test_cov_counts_the_lines(gym):
    pytest.importorskip("pytest_cov")
    gym.file(SCENARIO + "    if not run.calls:\n        print('never')\n")
    result = gym.start("--cov=.", "--cov-report=term-missing", plugins=("pytest_cov",))
    result.stdout.fnmatch_lines(["test_it.py * 15 * 1 * 93% * 19"])


def test_pdb_lands_at_the_failed_assert(gym):
    gym.file(SCENARIO)
    command = [sys.executable, "-m", "pytest", *gym.arguments("--pdb")]
    result = gym.pytester.run(*command, stdin=b"p 'reply is', run.reply\nq\n")
    result.stdout.fnmatch_lines(
        [
            "> *test_it.py(12)test_order()",
            '-> assert run.called("refund"), must("pay back")',
            "*'reply is', 'look_up=7'*",
        ]
    )


def test_ordinary_files_and_conftests_are_left_alone(gym):
    gym.more_conftest("""
        def helper(value):
            assert value == 1, "from the conftest"
    """)
    gym.file(
        "import agentgym\n"
        "def test_ordinary():\n"
        "    assert [1] == [2]\n"
        "    raise RuntimeError('not reached')\n",
        "test_ordinary.py",
    )
    result = gym.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E*assert *1* == *2*", "test_ordinary.py:3: *"])
    result.stdout.no_fnmatch_line("*not reached*")
    assert not list(gym.pytester.path.rglob("*agentgym*.pyc"))


def test_ordinary_tests_beside_scenarios_stop_at_their_first_failure(gym):
    gym.file(SCENARIO + "\ndef test_plain():\n    assert [1] == [2]\n    1 / 0\n")
    result = gym.run("-k", "plain")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E*assert [[]1] == [[]2]"])


@pytest.fixture
def cached(gym, monkeypatch):
    """A project whose first run has written the cache."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    gym.file(SCENARIO)
    gym.run()
    (path,) = (gym.pytester.path / "__pycache__").glob("test_it.agentgym-*.pyc")
    return path


def test_the_cache_has_a_name_of_its_own_and_is_used(gym, cached):
    stamp, code, rows = marshal.loads(cached.read_bytes())
    rows[0] = [
        tuple((k, "cached" if k == "text" else v) for k, v in row) for row in rows[0]
    ]
    cached.write_bytes(marshal.dumps((stamp, code, rows)))
    gym.run()
    assert "cached" in {c["text"] for c in checks(gym)}


@pytest.mark.parametrize("content", [b"", b"junk", marshal.dumps(1), b"\xff" * 99])
def test_a_corrupt_cache_is_ignored_and_written_anew(gym, cached, content):
    cached.write_bytes(content)
    gym.run()
    assert [c["failed"] for c in checks(gym)] == [2, 2, 2, 0, 0]
    assert len(marshal.loads(cached.read_bytes())) == 3


def test_a_changed_file_is_read_anew(gym, cached):
    gym.file(SCENARIO.replace('== "done"', '== "look_up=7"'))
    gym.run()
    assert [c["failed"] for c in checks(gym)] == [2, 2, 0, 0, 0]


def test_plain_runs_share_no_cache_with_measured_ones(gym, cached):
    gym.file(SCENARIO + "\ndef test_plain(): ...\n")
    gym.run(agentgym=False).assert_outcomes(passed=1)
    gym.run()
    assert [c["failed"] for c in checks(gym)] == [2, 2, 2, 0, 0]
