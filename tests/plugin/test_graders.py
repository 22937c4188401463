"""An exception out of the user's own code in an assert is told apart from a failure."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from agentgym.report.markdown import markdown
from tests.summary_schema import check_summary

CANNOT_JUDGE = 6

GRADERS = """
    import json

    class Key:
        def __init__(self, rows):
            self.rows = rows

        def row(self, number):
            return self.rows[number]

        def __eq__(self, other):
            raise RuntimeError("the key cannot be compared")

        __hash__ = None

    def grade(reply):
        raise LookupError("the answer key has no row 7")

    async def grade_later(reply):
        raise LookupError("the answer key has no row 7")

    def parse(reply):
        return json.loads(reply)

    def each(function, values):
        return [function(value) for value in values]

    def odd(value):
        raise TypeError("odd() takes numbers")

    def passes(reply):
        assert reply == "never", "the reply is not as it should be"
        return True

    def ask(agent, message):
        return agent.run(message)
"""
SCENARIO = """
    import json
    from pathlib import Path
    from agentgym import scenario, weight
    from graders import *

    @scenario(episodes=2)
    {define} test_graded(agent):
        run = {wait}agent.run("look_up=7")
        assert run.reply
        assert {check}, weight(2)
        assert run.called("look_up")
"""


@pytest.mark.parametrize(
    "check",
    [
        "grade(run.reply)",
        "not grade(run.reply)",
        "run.called('look_up') and grade(run.reply)",
        "parse(run.reply)",
        "Key({}).row(1)",
        "run.reply == Key({})",
        "each(lambda word: word[99], run.reply.split())",
        "all(grade(word) for word in run.reply.split())",
        "run.reply == expected",
        "Path('answers.txt').read_text() == run.reply",
    ],
)
def test_a_grader_that_crashes_errs(gym, check):
    gym.file(GRADERS, name="graders.py")
    gym.file(SCENARIO.format(define="def", wait="", check=check))
    assert gym.run().ret == CANNOT_JUDGE
    assert {e["outcome"] for e in gym.episodes()} == {"harness_error"}
    assert {e["reward"] for e in gym.episodes()} == {0.0}
    judged = [[c["status"] for c in e["checks"]] for e in gym.episodes()]
    assert judged == [["passed", "errored", "passed"]] * 2
    (errored,) = (c for c in gym.summary()["scenarios"][0]["checks"] if c["errored"])
    assert (errored["errored"], errored["crashes"], errored["failed"]) == (2, 2, 0)
    check_summary(gym.summary())


@pytest.mark.parametrize(
    ("check", "status"),
    [
        ("run.calls[5]", "errored"),
        ("run.calls[0].arguments['colour']", "errored"),
        ("run.reply.colour", "errored"),
        ("run.reply + 1", "errored"),
        ("int(run.reply) == 7", "errored"),
        ("json.loads(run.reply)", "errored"),
        ("all(word[99] for word in run.reply.split())", "errored"),
        ("(lambda words: words[99])(run.reply.split())", "errored"),
        ("run.called('look_up', order=odd)", "errored"),
        ("passes(run.reply)", "failed"),
        ("ask(agent, 'raise=KeyError')", "errored"),
        ("agent.run('refund=unknown').reply", "errored"),
        ("run.called('refund')", "failed"),
    ],
)
def test_what_the_agent_did_not_do_is_its_failure(gym, check, status):
    gym.file(GRADERS, name="graders.py")
    gym.file(SCENARIO.format(define="def", wait="", check=check))
    assert gym.run().ret == 1
    assert {e["outcome"] for e in gym.episodes()} == {"failed"}
    assert {e["checks"][1]["status"] for e in gym.episodes()} == {status}


def test_an_awaited_grader(gym):
    gym.file(GRADERS, name="graders.py")
    check = "await grade_later(run.reply)"
    gym.file(SCENARIO.format(define="async def", wait="await ", check=check))
    assert gym.run().ret == CANNOT_JUDGE
    assert {e["outcome"] for e in gym.episodes()} == {"harness_error"}


SOME = """
    from agentgym import rubric, scenario

    def grade(reply, row):
        if row % 2:
            raise LookupError(f"the answer key has no row {row}")
        return row

    @rubric
    def polite(run, row):
        assert grade(run.reply, row)

    @scenario(episodes=4)
    def test_graded(agent, case):
        polite(agent.run("hi"), case.index)
"""


@pytest.mark.parametrize("workers", [False, True])
def test_it_is_shown_before_the_failures(gym, workers):
    gym.file(SOME)
    args = ("--junitxml=junit.xml",)
    xdist = {"plugins": ("xdist",)}
    result = gym.start(*args, "-n2", **xdist) if workers else gym.run(*args)
    assert result.ret == CANNOT_JUDGE
    result.stdout.fnmatch_lines(
        [
            "harness_error test_graded held_out-*: LookupError: the answer key has no*",
            "*- errored checks -*",
            "assert grade(run.reply, row)",
            "  test_it.py:11",
            "  errored in 2 episodes of test_graded, which do not count",
            "E   LookupError: the answer key has no row 1 (test_it.py:6 in grade)",
            "*- commonest failed checks -*",
            "  failed in 1 of 2 episodes of test_graded",
        ]
    )
    summary = gym.summary()
    assert (summary["episodes"]["failed"], summary["episodes"]["harness_error"]) == (
        1,
        2,
    )
    text = markdown(summary)
    assert text.index("### Errored checks") < text.index("### Commonest failed checks")
    assert "errored in 2 episodes, `test_it.py:11`" in text
    assert "failed in 1 of 2 episodes" in text
    xml = ElementTree.parse(gym.pytester.path / "junit.xml").getroot()
    (failure,) = xml.iter("failure")
    assert "2 harness_error: LookupError: the answer key" in (failure.text or "")
    page = (gym.runs[-1] / "report.html").read_text()
    assert "Errored checks" in page


def test_letters_tell_them_apart(gym):
    gym.file(SOME)
    result = gym.run("-q", "--agentgym-concurrency", "1")
    result.stdout.fnmatch_lines(["Fh.h*"])
