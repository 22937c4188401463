# ruff: noqa: E501 - the lines of the report are as long as a terminal is wide
from __future__ import annotations

import pytest

from agentgym.recording.blame import Outcome
from agentgym.recording.trajectory import ModelCall, Step, Trajectory
from agentgym.report import terminal
from agentgym.report.transcript import transcript
from agentgym.runs.lines import (
    Heading,
    TableRow,
    duration,
    left,
    middle,
    number,
    percent,
    plain,
    table,
    threshold,
    wrapped,
)
from agentgym.runs.summary import RunSummary
from tests.made_episodes import (
    made_call,
    made_check,
    made_episode,
    made_episodes,
    made_row,
    made_trajectory,
)
from tests.made_run import summarized

# The names that pytest's TerminalWriter knows.
MARKUP = {"bold", "green", "light", "red", "yellow"}


def report(summary, width=80):
    lines = list(terminal.report(summary, width))
    assert all(len(line.text) <= width for line in lines)
    assert all(line.markup.keys() <= MARKUP for line in lines)
    return [
        f"== {line.text}" if isinstance(line, Heading) else line.text for line in lines
    ]


def section(summary, title, width=80):
    lines = report(summary, width)
    start = lines.index(f"== {title}") + 1
    rest = [i for i, line in enumerate(lines) if i >= start and line[:2] == "=="]
    return lines[start : rest[0] if rest else None]


def verdict(summary, width=80):
    lines = list(terminal.verdict(summary, width))
    assert all(len(line.text) <= width for line in lines)
    assert all(line.markup.keys() <= MARKUP for line in lines)
    return [line.text for line in lines]


def test_scenarios():
    summary = summarized(
        made_episodes(
            {"passed": 20, "failed": 12},
            scenario="packs/test_refunds.py::test_damaged_item_is_refunded",
            tokens=1234,
            duration=1.5,
        ),
        made_episodes({"passed": 4}, scenario="packs/test_refunds.py::test_b[x-1]"),
        made_episodes({"infra_error": 1}, scenario="packs/test_a.py::test_down"),
    )
    assert section(summary, "scenarios") == [
        "                                passed   reliability (95 %) reward tok/ep s/ep",
        "packs/test_a.py",
        "  test_down                        0/0                    -      -      -    -",
        "packs/test_refunds.py",
        "  test_b[x-1]                      4/4 100.0 % (39.8-100.0)   1.00      - 0.00",
        "  test_damaged_item_is_refunded  20/32   62.5 % (43.7-78.9)   0.62   1234 1.50",
    ]


def test_scenario_colours_tell_the_gate():
    summary = summarized(
        made_episodes({"passed": 19, "failed": 1}, scenario="a.py::test_good"),
        made_episodes({"passed": 18, "failed": 2}, scenario="a.py::test_bad"),
        made_episodes({"passed": 8, "infra_error": 2}, scenario="a.py::test_lost"),
    )
    colours = {
        line.text.split()[0]: line.markup
        for line in terminal.scenario_table(summary, 80)
    }
    assert colours["test_good"] == {"green": True}
    assert colours["test_bad"] == {"red": True}
    assert colours["test_lost"] == {"yellow": True}


def test_a_share_that_is_not_certified_is_not_green():
    summary = summarized(made_episodes({"passed": 40}, scenario="a.py::test_clean"))
    summary.gate = "certified"
    [row] = [
        line
        for line in terminal.scenario_table(summary, 80)
        if "test_clean" in line.text
    ]
    assert row.markup == {"red": True}


@pytest.mark.parametrize("width", [80, 100, 200])
def test_long_names_get_the_room_there_is(width):
    name = "test_" + "an_order_that_never_came_" * 4 + "[eur-7]"
    lines = section(
        summarized(made_episodes({"passed": 1}, scenario=f"a.py::{name}")),
        "scenarios",
        width,
    )
    assert lines[2].startswith("  test_an_order")
    assert "[eur-7] " in lines[2]
    assert ("…" in lines[2]) is (width < 200)
    assert len(lines[2]) >= min(width, 160) - 2


def test_tools():
    rows = [
        made_row("find_orders", calls=100, correct=90, raised=10, latencies=[0.0012]),
        made_row(
            "issue_refund",
            calls=7,
            correct=3,
            wrong_arguments=3,
            not_allowed=1,
            missing=2,
            latencies=[1.0, 2.0, 3.0],
        ),
    ]
    assert section(summarized([made_episode(tools=rows)] * 20), "tools") == [
        "                          correct wrong     not",
        "               calls       (95 %)  args allowed missing raised median    p95",
        "  find_orders   2000 90 % (89-91)     0       0       0    200 1.2 ms 1.2 ms",
        "  issue_refund   140 43 % (35-51)    60      20      40      0 2.00 s 3.00 s",
    ]
    assert section(summarized([made_episode(tools=rows)]), "tools")[2:] == [
        "  find_orders     100     90 %      0        0        0      10  1.2 ms  1.2 ms",
        "  issue_refund      7     43 %      3        1        2       0  2.00 s  2.90 s",
    ]


def test_unjudged_calls_get_a_column_where_there_are_any():
    summary = summarized([made_episode(tools=[made_row("a", calls=3, unjudged=3)])])
    lines = section(summary, "tools")
    assert lines[1].split() == [
        *("calls", "(95", "%)", "args", "allowed", "missing", "raised", "judged"),
        *("median", "p95"),
    ]
    assert lines[2].split() == ["a", "3", "-", *"0000", "3", "-", "-"]


def test_no_tools_no_table():
    assert "== tools" not in report(summarized([made_episode()]))


def refused(index=4):
    call = made_call("look_up", arguments={"id": "A1024"}, error="KeyError: 'A1024'")
    return made_episode(
        index,
        "failed",
        checks=[
            made_check(
                "failed", number=0, line=10, text='run.called("look_up", id=order)'
            ),
            made_check(
                "failed",
                number=1,
                line=11,
                text="desk.refunds == [order]",
                must="pay it back",
                message="assert [] == ['A1042']\n  Right contains one more item",
            ),
        ],
        trajectory=made_trajectory(
            call, user="My order A1042 arrived broken.", reply="I am sorry."
        ),
        output="opening the books\n",
    )


def test_failed_checks_with_one_example():
    summary = summarized(
        made_episodes({"passed": 3}, checks=[made_check(number=1, line=11)]),
        [refused()],
    )
    assert section(summary, "commonest failed checks") == [
        'assert run.called("look_up", id=order)',
        "  scenarios/shop/test_refunds.py:10",
        "  failed in 1 of 1 episode of test_refund",
        "  as in episode #4:",
        "    user    My order A1042 arrived broken.",
        "    calls   look_up(id='A1024')",
        "            -> error: KeyError: 'A1024'",
        "    says    I am sorry.",
        "    printed opening the books",
        "",
        'assert run.called("refund")',
        "  scenarios/shop/test_refunds.py:11",
        "  failed in 1 of 4 episodes of test_refund",
        "E   assert [] == ['A1042']",
        "E   Right contains one more item",
        "  as in episode #4 above",
    ]


def test_only_the_beginning_of_a_long_introspection_is_shown():
    message = "assert " + "word " * 500 + "\n" + "line\n" * 50
    episode = made_episode(0, "failed", checks=[made_check("failed", message=message)])
    lines = section(summarized([episode]), "commonest failed checks")
    shown = [line for line in lines if line.startswith("E ")]
    assert len(shown) == 5
    assert shown[0].startswith("E   assert word word")
    assert shown[1].startswith("E     word word")


def test_a_required_check_says_why():
    lines = section(summarized([refused()]), "commonest failed checks")
    assert "  required: pay it back" in lines


def test_the_commonest_checks_come_first_and_not_all_are_shown():
    episodes = [
        made_episode(
            index,
            "failed",
            checks=[
                made_check(
                    "failed" if index < line else "passed",
                    line=line,
                    text=f"check{line}",
                )
                for line in range(1, 8)
            ],
        )
        for index in range(8)
    ]
    lines = section(summarized(episodes), "commonest failed checks")
    shown = [line for line in lines if line.startswith("assert")]
    assert shown == [f"assert check{line}" for line in (7, 6, 5, 4, 3)]
    assert lines[-1] == (
        "and 2 more checks that did not always pass: summary.json has them all"
    )


def test_a_check_in_another_file_is_named_by_its_own_path():
    check = made_check("failed") | {"file": "/home/me/rubrics.py"}
    lines = section(
        summarized([made_episode(0, "failed", checks=[check])]),
        "commonest failed checks",
    )
    assert lines[1] == "  /home/me/rubrics.py:10"


def test_clean_runs_have_no_section_of_failures():
    lines = report(summarized(made_episodes({"passed": 3}, checks=[made_check()])))
    assert [line for line in lines if line.startswith("==")] == ["== scenarios"]


def test_errors_of_the_agent():
    episodes = [
        made_episode(
            i,
            "failed",
            error=f"ValueError: no plan {i}",
            details='  File "agent.py", line 3, in plan\n    raise X\n    ^^^^^^^\nValueError: no plan',
        )
        for i in (1, 2)
    ]
    assert section(summarized(episodes), "errors of the agent") == [
        "ValueError: no plan 1",
        "  ended 2 of 2 episodes of test_refund",
        '    File "agent.py", line 3, in plan',
        "      raise X",
        "  as in episode #1:",
        "    (no message and no tool call was recorded)",
        "    error   ValueError: no plan 1",
    ]


def test_only_the_commonest_errors_of_the_agent_are_shown():
    errors = ["ValueError", "KeyError", "OSError", "TypeError", "EpisodeTimeout"]
    episodes = [
        made_episode(10 * rank + i, "failed", error=f"{error}: x")
        for rank, error in enumerate(errors)
        for i in range(10 - rank)
    ]
    lines = section(summarized(episodes), "errors of the agent")
    assert [line for line in lines if line.endswith("Error: x")][::2] == [
        "ValueError: x",
        "KeyError: x",
        "OSError: x",
    ]
    assert lines[-1] == "and 2 more kinds of errors: episodes.jsonl has them all"


def test_smallest_failing_cases():
    summary = summarized([made_episode(0, "failed", case={"value": "{'n': 0}"})])
    assert section(summary, "smallest failing cases") == ["test_refund: {'n': 0}"]


def test_not_counted():
    summary = summarized(
        made_episodes({"infra_error": 2}, error="APIConnectionError: refused"),
        [made_episode(9, "harness_error", error="fixture 'desk': KeyError: 1")],
    )
    assert section(summary, "not counted") == [
        "2 x infra_error: the model's server or network: check that it answers, its rate",
        "  limit and quota, or use a lower --agentgym-concurrency",
        "    APIConnectionError: refused",
        "1 x harness_error: a fixture, the environment or a check's own code:",
        "  --agentgym-episodes 1 --pdb stops there",
        "    fixture 'desk': KeyError: 1",
    ]


def test_every_outcome_that_does_not_count_says_what_to_do():
    lost = [o for o in Outcome if o not in (Outcome.passed, Outcome.failed)]
    lines = section(
        summarized(made_episodes({o.value: 1 for o in lost})), "not counted"
    )
    for outcome in lost:
        assert any(line.startswith(f"1 x {outcome.value}: ") for line in lines)


def test_verdict_unreliable():
    summary = summarized(
        made_episodes({"passed": 200, "failed": 120}, reward=0.71), threshold=0.95
    )
    assert verdict(summary) == [
        "reliability 62.5 % (200/320 episodes, 95 % interval 56.9-67.8 %)",
        "mean reward 0.71",
        "gate not met: the run is below 95 %",
        "UNRELIABLE: at most 67.0 % at 95 % confidence",
    ]


def test_verdict_reliable():
    summary = summarized(
        made_episodes({"passed": 60}, scenario="a.py::test_a"),
        made_episodes({"passed": 60}, scenario="a.py::test_b"),
    )
    assert verdict(summary) == [
        "reliability 100.0 % (120/120 episodes, 95 % interval 97.0-100.0 %)",
        "mean reward 1.00",
        "gate met: the run and each of 2 scenarios reached 95 %",
        "RELIABLE: at least 97.5 % at 95 % confidence",
        "scenarios, together at 95 % confidence: 0 RELIABLE, 0 UNRELIABLE, 2 UNDECIDED",
    ]


def test_scenarios_are_certified_together():
    """0.95 ** 60 is 0.046: enough for one scenario, but not for one of two."""
    groups = [
        made_episodes({"passed": 80}, scenario="a.py::test_a"),
        made_episodes({"passed": 60}, scenario="a.py::test_b"),
        made_episodes({"passed": 5, "failed": 5}, scenario="a.py::test_c"),
    ]
    counts = "1 RELIABLE, 1 UNRELIABLE, 1 UNDECIDED"
    assert verdict(summarized(*groups))[-1].endswith(counts)
    counts = "2 RELIABLE, 0 UNRELIABLE, 0 UNDECIDED"
    assert verdict(summarized(*groups[:2]))[-1].endswith(counts)
    assert len(verdict(summarized(groups[0]))) == 4


def certified(*groups, **fields):
    summary = RunSummary(threshold=0.95, gate="certified", **fields)
    for group in groups:
        for episode in group:
            summary.add(episode)
    return summary


def test_a_gate_that_asks_for_certainty():
    good = made_episodes({"passed": 80}, scenario="a.py::test_a")
    few = made_episodes({"passed": 10}, scenario="a.py::test_b")
    summary = certified(good)
    assert summary.exit_code == 0
    assert verdict(summary)[2:] == [
        "gate met: the run is certified to reach 95 %",
        "RELIABLE: at least 96.3 % at 95 % confidence",
    ]
    summary = certified(few)
    assert summary.exit_code == 1
    assert verdict(summary)[2] == "gate not met: the run is not certified to reach 95 %"
    summary = certified(good, few)
    assert summary.exit_code == 1
    assert verdict(summary)[2:4] == [
        "gate not met: 1 of 2 scenarios is not certified to reach its threshold",
        "  a.py::test_b: 100.0 %, UNDECIDED against 95 %",
    ]
    summary = certified(good, made_episodes({"passed": 90}, scenario="a.py::test_b"))
    assert summary.exit_code == 0
    text = "gate met: the run and each of 2 scenarios are certified to reach 95 %"
    assert verdict(summary)[2] == text


def test_stopped_when_certain():
    groups = [
        made_episodes({"passed": 100}, scenario="a.py::test_a"),
        made_episodes({"passed": 6, "failed": 6}, scenario="a.py::test_b"),
    ]
    summary = certified(*groups, stop="sequential", planned=400)
    assert verdict(summary) == [
        "reliability 75.0 % (mean of 2 scenarios, 106/112 episodes, 95 % interval",
        "55.7-95.8 %)",
        "mean reward 0.95",
        "gate not met: the run is not certified to reach 95 % and 1 of 2 scenarios is not",
        "certified to reach its threshold",
        "  a.py::test_b: 50.0 %, UNRELIABLE against 95 %",
        "UNDECIDED: the mean of the scenarios cannot be distinguished from 95 % at 95 %",
        "confidence",
        "scenarios, together at 95 % confidence: 1 RELIABLE, 1 UNRELIABLE, 0 UNDECIDED",
        "stopped after 112 of at most 400 episodes",
    ]


def test_a_run_that_was_stopped_did_not_end_because_it_was_certain():
    groups = [made_episodes({"passed": 30}, scenario="a.py::test_a")]
    fields = {"stop": "sequential", "planned": 400}
    stopped = certified(
        *groups, **fields, interrupted=(30, 400), stopped="$5 are spent"
    )
    assert not any("stopped after" in line for line in verdict(stopped))
    assert any(
        "stopped after" in line for line in verdict(certified(*groups, **fields))
    )


def test_clean_episodes_when_stopping_early():
    summary = RunSummary(threshold=0.95, stop="sequential", planned=10)
    for episode in made_episodes({"passed": 10}):
        summary.add(episode)
    assert " ".join(verdict(summary)[3:]) == (
        "UNDECIDED: 10 of 10 passed, but 74 clean episodes are needed to certify 95 % at "
        "95 % confidence (--agentgym-episodes 74)"
    )


def test_ten_clean_episodes_certify_nothing():
    assert verdict(summarized(made_episodes({"passed": 10})))[2:] == [
        "gate met: the run reached 95 %",
        "UNDECIDED: 10 of 10 passed, but 59 clean episodes are needed to certify 95 % at",
        "95 % confidence (--agentgym-episodes 59)",
    ]


def test_clean_episodes_are_shared_among_scenarios():
    groups = [
        made_episodes({"passed": 10}, scenario=f"a.py::test_{i}") for i in range(3)
    ]
    assert (
        verdict(summarized(*groups))[-2] == "95 % confidence (--agentgym-episodes 20)"
    )


def test_nothing_certifies_100_percent():
    summary = summarized(made_episodes({"passed": 10}), threshold=1.0)
    assert verdict(summary)[-1] == "UNDECIDED: no number of episodes can certify 100 %"


def test_undecided_says_about_how_many_episodes_would_tell():
    text = " ".join(verdict(summarized(made_episodes({"passed": 47, "failed": 3}))))
    assert "UNDECIDED: 50 episodes cannot tell 94.0 % from 95 % at 95 %" in text
    assert "would, at this rate (--agentgym-episodes " in text


def test_undecided_at_the_threshold_itself():
    text = verdict(summarized(made_episodes({"passed": 95, "failed": 5})))[-1]
    assert text == (
        "UNDECIDED: 100 episodes cannot tell 95.0 % from 95 % at 95 % confidence"
    )


def test_scenarios_below_their_thresholds_are_named():
    summary = summarized(
        made_episodes({"passed": 400}, scenario="a.py::test_good"),
        made_episodes({"passed": 18, "failed": 2}, scenario="a.py::test_bad"),
        made_episodes({"passed": 1, "failed": 1}, scenario="a.py::test_worse"),
    )
    assert verdict(summary)[2:-2] == [
        "gate not met: 2 of 3 scenarios are below 95 %",
        "  a.py::test_worse: 50.0 %, needs 95 %",
        "  a.py::test_bad: 90.0 %, needs 95 %",
    ]


def test_own_thresholds_are_told():
    summary = summarized(
        made_episodes({"passed": 400}, scenario="a.py::test_good"),
        made_episodes({"passed": 1, "failed": 1}, scenario="a.py::test_easy"),
    )
    summary.scenario("a.py::test_easy", 0.5)
    assert verdict(summary)[2:-2] == [
        "gate met: the run reached 95 %, and each of 2 scenarios its threshold",
    ]
    summary.scenario("a.py::test_easy", 0.6)
    assert verdict(summary)[2:4] == [
        "gate not met: 1 of 2 scenarios is below its threshold",
        "  a.py::test_easy: 50.0 %, needs 60 %",
    ]


def test_run_and_scenarios_below():
    groups = [
        made_episodes({"failed": 2}, scenario=f"a.py::test_{i}") for i in range(7)
    ]
    lines = verdict(summarized(*groups))
    assert lines[2] == (
        "gate not met: the run is below 95 % and 7 of 7 scenarios are below 95 %"
    )
    assert lines[8] == "  and 2 more"


def test_cannot_judge():
    summary = summarized(made_episodes({"passed": 18, "infra_error": 2}))
    assert verdict(summary)[2:] == [
        "CANNOT JUDGE: 2 of 20 episodes do not count; at most 5 % of the run and of each",
        "scenario may be left uncounted",
    ]


def test_cannot_judge_one_scenario():
    summary = summarized(
        made_episodes({"passed": 400}, scenario="a.py::test_good"),
        made_episodes({"passed": 8, "infra_error": 2}, scenario="a.py::test_lost"),
    )
    text = " ".join(verdict(summary)[2:])
    assert text == (
        "CANNOT JUDGE: 2 of 410 episodes do not count, too many of them in 1 scenario; "
        "at most 5 % of the run and of each scenario may be left uncounted   "
        "a.py::test_lost: 2 of 10 episodes do not count"
    )


def test_cannot_judge_nothing():
    assert verdict(RunSummary(threshold=0.5)) == ["no gate: no scenario was played"]


def told(episode, width=80):
    return [line.text for line in transcript(episode, width, "")]


def test_transcript_of_a_tool_that_never_ran():
    trajectory = made_trajectory(made_call("fly", executed=False))
    assert told(made_episode(trajectory=trajectory))[1:3] == [
        "calls   fly()",
        "        -> (was not executed)",
    ]
    trajectory.messages.insert(
        2, {"role": "tool", "tool_call_id": "c1", "content": "fly is no tool"}
    )
    assert "        -> fly is no tool" in told(made_episode(trajectory=trajectory))


def test_transcript_of_an_agent_whose_model_is_not_seen():
    trajectory = Trajectory(
        steps=[Step(tool_calls=[made_call("look_up", result=7)])],
        messages=[
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Bye"},
        ],
    )
    assert told(made_episode(trajectory=trajectory)) == [
        "user    Hi",
        "calls   look_up()",
        "        -> 7",
        "says    Bye",
    ]


def test_transcript_of_several_turns_keeps_the_order():
    said = {"role": "assistant", "content": "One moment.", "tool_calls": []}
    last = {"role": "assistant", "content": [{"type": "text", "text": "Done."}]}
    trajectory = Trajectory(
        steps=[
            Step(model=ModelCall(message=said), tool_calls=[made_call("look_up")]),
            Step(model=ModelCall(message=last)),
            Step(model=ModelCall(error="APIError: x")),
        ],
        messages=[
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "One"},
            said,
            {"role": "user", "content": "Two"},
            last,
        ],
    )
    assert told(made_episode(trajectory=trajectory)) == [
        "user    One",
        "says    One moment.",
        "calls   look_up()",
        "        ->",
        "user    Two",
        "says    Done.",
    ]


def test_transcript_is_cut():
    calls = [made_call("a", f"c{i}", result="word " * 500) for i in range(40)]
    episode = made_episode(
        trajectory=made_trajectory(*calls, user="word " * 5000),
        output="\n".join(f"line {i}" for i in range(100)),
    )
    lines = told(episode)
    assert len(lines) < 60
    assert "        (68 more turns are in episodes.jsonl)" in lines
    assert lines[-6:] == [
        "printed …",
        *(f"        line {i}" for i in range(95, 100)),
    ]


def test_nothing_can_steer_the_terminal():
    trajectory = made_trajectory(user="\x1b[2Jred\x07 \u202etxt", reply="a\tb\r\nc")
    assert told(made_episode(trajectory=trajectory)) == [
        "user    red? ?txt",
        "says    a b c",
    ]


@pytest.mark.parametrize(
    ("share", "limit", "text"),
    [
        (None, None, "-"),
        (0.624, None, "62.4 %"),
        (1.0, 0.95, "100.0 %"),
        (0.9999, 0.95, "99.99 %"),
        (0.0001, 0.95, "0.01 %"),
        (0.9496, 0.95, "94.96 %"),
        (0.95, 0.95, "95.0 %"),
        (2 / 3, 0.95, "66.7 %"),
    ],
)
def test_percent_never_looks_like_another_number(share, limit, text):
    assert percent(share, limit) == text


@pytest.mark.parametrize(
    ("share", "text"), [(0.95, "95 %"), (0.999, "99.9 %"), (1, "100 %"), (0.0, "0 %")]
)
def test_threshold(share, text):
    assert threshold(share) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0.0, "0.00"),
        (1.5, "1.50"),
        (12.34, "12.3"),
        (812.4, "812"),
        (12_345, "12.3k"),
        (123_456, "123k"),
    ],
)
def test_number(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0.00085, "0.8 ms"),
        (0.000012, "12 us"),
        (0.0123, "12 ms"),
        (1.25, "1.25 s"),
        (75, "75.0 s"),
    ],
)
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_shortening():
    assert middle("abcdefghij", 10) == "abcdefghij"
    assert middle("abcdefghij", 5) == "ab…ij"
    assert left("abcdefghij", 5) == "…ghij"
    assert plain(" a\n\tb ") == "a b"


def test_table_uses_the_room():
    rows = [TableRow("a" * 30, ["1"]), TableRow("title")]
    wide = [line.text for line in table(["n"], rows, 80)]
    narrow = [line.text for line in table(["n"], rows, 20)]
    assert wide == [" " * 34 + "n", "  " + "a" * 30 + "  1", "title"]
    assert narrow[1] == f"  {'a' * 8}…{'a' * 7} 1"


def test_wrapped_text_is_cut_at_the_last_line():
    lines = [
        line.text for line in wrapped("word " * 50, 30, "- ", hanging="  ", most=2)
    ]
    assert lines == ["- word word word word word", "  word word word word word …"]


def repeated(name, *counts):
    """Episodes of cases which passed and failed so often."""
    found = []
    for index, (passed, failed) in enumerate(counts):
        case = {"index": index, "seed": 1, "split": "held_out", "value": None}
        found += made_episodes(
            {"passed": passed, "failed": failed}, scenario=name, case=case
        )
    return found


def test_repeated_cases():
    summary = summarized(
        repeated("a.py::test_alike", (3, 1), (3, 1), (3, 1)),
        repeated("a.py::test_apart", (4, 0), (4, 0), (0, 4), (4, 0)),
        repeated("a.py::test_clean", (4, 0), (4, 0)),
        repeated("a.py::test_single", (1, 0), (0, 1)),
    )
    lines = " ".join(section(summary, "repeated cases"))
    assert lines == (
        "test_apart: 4 cases, 4 episodes each; 1.9-100.0 % for other cases of their kind"
        "     (intra-case correlation 1.00); they differ: more cases would tell more, more"
        "     repeats of these hardly anything "
        "test_alike: 3 cases, 4 episodes each; 42.8-94.5 % for other cases of their kind"
        "     (intra-case correlation 0.00); they are much alike: more repeats tell about"
        "     as much as more cases"
    )


def test_what_does_not_count_is_bounded():
    summary = summarized(made_episodes({"passed": 90, "failed": 5, "infra_error": 5}))
    assert section(summary, "not counted")[-1] == (
        "reliability would be 90.0 % if all of these had failed, 95.0 % if all had passed"
    )
