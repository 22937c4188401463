"""The HTML report as its reader has it: in a real browser, from the disk."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentgym.recording.trajectory import ModelCall, Step, Trajectory
from agentgym.report.html import write_html
from agentgym.runs.prices import Price, Prices
from agentgym.testing import ScriptedModel
from tests.browser import Browser, needs_chromium
from tests.made_episodes import (
    made_call,
    made_check,
    made_episode,
    made_row,
    made_trajectory,
)
from tests.made_run import made_run
from tests.paying_agent import PAYING_AGENT
from tests.summary_schema import check_summary

pytestmark = [pytest.mark.slow, needs_chromium]

SHOP, HELP = "shop/test_shop.py::test_refund", "shop/test_help.py::test_help"
HOSTILE = (
    "<img src=x onerror='window.hacked=1'></script><script>hacked=2</script>\u2028"
)
REAL = """
from agentgym import judge, scenario

@scenario(episodes=300)
def test_paid(agent):
    run = agent.run("ORDER")
    assert run.called("look_up", order="7")
    assert judge(run, "the agent is kind")
"""
CHANGED = "#baseline .changed:not(:empty)"
COUNT = "document.querySelectorAll(arguments[0]).length"


def episodes() -> Iterator[object]:
    """200 of each scenario; what is special about some is asserted below."""
    for index in range(200):
        failed = index % 4 == 0
        call = made_call(
            "refund",
            arguments={"order": f"A{index}", "amount": 12.5},
            result={"paid": True},
            start=1.5,
            duration=0.25,
        )
        yield made_episode(
            index,
            "failed" if failed else "passed",
            id=f"shop-{index}",
            scenario=SHOP,
            case={"index": index, "seed": 1, "split": "held_out", "value": None},
            checks=[
                made_check(
                    "failed" if failed else "passed",
                    text="run.called('refund', amount=3)",
                    message="assert called refund(amount=3): no" if failed else None,
                ),
                made_check(number=1, text="shop.open"),
            ],
            tools=[
                made_row(
                    "refund",
                    calls=1,
                    wrong_arguments=int(failed),
                    correct=int(not failed),
                )
            ],
            trajectory=made_trajectory(
                call, user=f"Refund A{index} please", reply="It is paid."
            ),
            duration=2.0,
        )
    for index in range(200):
        yield made_episode(
            index,
            "infra_error" if index == 7 else "passed",
            id=f"help-{index}",
            scenario=HELP,
            error="ConnectError: refused" if index == 7 else None,
            trajectory=made_trajectory(
                user=f"Question {index}", reply="Ünïcode answer"
            ),
        )


def simulated(**fields: Any) -> dict[str, Any]:
    """What a judge and a simulated user did in an episode."""
    said = {"pass": True, "cached": False, "reason": "It looked.", **fields}
    no = {"criterion": "it is rude", "pass": False, "cached": True, "reason": "It is."}
    model = fields.get("model", "wise")
    return {
        "judge": {
            "model": model,
            "verdicts": [{"criterion": "it looks", **said}, no],
            "tokens": 1_100,
            "calls": [[1_000, 100]],
        },
        "user": {"model": "shy", "messages": 2, "done": True, "tokens": 0, "calls": []},
        "declared": True,
    }


def difference(value: float, low: float, high: float) -> dict[str, Any]:
    shares = {"before": 0.9, "after": 0.9 + value, "paired": True, "episodes": 24}
    return {**shares, "value": value, "low": low, "high": high}


def changed(scenario: str, episode: str, index: int = 3) -> dict[str, Any]:
    return {
        "scenario": scenario,
        "case": {"index": index, "seed": 1, "split": "held_out", "value": None},
        "before": {"passed": 1, "counted": 1},
        "after": {"passed": 0, "counted": 1},
        "episodes": ["old", episode],
    }


def against(scenario: str, episodes: list[str]) -> dict[str, Any]:
    """`baseline` of a summary, in which the scenario became worse."""
    counts = {"passed": 9, "counted": 10}
    worse = difference(-0.04, -0.081, -0.002)
    shared = {"before": counts, "after": counts}
    return {
        "confidence": 0.95,
        "before": {"run": "20260101-old", "policy": None, "seed": 0},
        "after": {"run": "new", "policy": None, "seed": 0},
        "difference": worse,
        "scenarios": [
            {"name": HELP, **shared, "difference": difference(0.03, 0.01, 0.05)},
            {"name": scenario, **shared, "difference": worse},
            {"name": "of nothing", **shared, "difference": None},
        ],
        "tools": [],
        "newly_failing": [
            changed(scenario, name, index) for index, name in enumerate(episodes)
        ],
        "newly_fixed": [changed(HELP, "help-9")],
        "only_before": [],
        "only_after": [],
        "max_drop": {
            "limit": 0.01,
            "verdict": "EXCEEDED",
            "run": False,
            "scenarios": [scenario],
        },
        "notes": ["3 episodes without a partner in the other run left out"],
    }


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that ended early, was judged, was paid for, and became worse."""
    folder = tmp_path_factory.mktemp("compared")
    call = ModelCall(model="m", prompt_tokens=500, completion_tokens=50)
    told = made_run(
        folder,
        [
            made_episode(
                index,
                "failed" if index < 5 else "passed",
                id=f"shop-{index}",
                scenario=SHOP,
                trajectory=Trajectory(steps=[Step(model=call)]),
                simulators=simulated(),
            )
            for index in range(20)
        ],
        prices=Prices({"m": Price(10, 10), "wise": Price(1, 1)}, listed=False),
    )
    names = [f"shop-{index}" for index in range(4)]
    told |= {"stop": "sequential", "planned": 1200, "usage_errors": [], "folder": None}
    told["scenarios"][0]["planned"] = 1200
    told["baseline"] = against(SHOP, [*names, *["not-here"] * 8])
    check_summary(told)
    write_html(folder, folder / "report.html", told)
    return folder / "report.html"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.driver.quit()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    told = made_run(folder, episodes(), training=True)  # type: ignore[arg-type]
    write_html(folder, folder / "report.html", told)
    return folder / "report.html"


def one(folder: Path, baseline: dict[str, Any] | None = None, **fields: object) -> Path:
    """The report of a run of one failed episode."""
    fields = {"id": "one", "scenario": SHOP, **fields}
    told = made_run(folder, [made_episode(0, "failed", **fields)])
    if baseline is not None:
        told["baseline"] = baseline
    write_html(folder, folder / "report.html", told)
    return folder / "report.html"


def test_the_page_tells_the_run(browser: Browser, report: Path) -> None:
    browser.open(report)
    assert browser.text(".figure") == "87.5 %"
    assert "349 of 399 episodes passed" in browser.text(".hero")
    below = "Gate not met: the run is below 90 % and 1 of 2 scenarios is below 90 %"
    assert browser.text("#gate").endswith(below)
    assert browser.texts("#scenarios tbody th") == ["test_refund", "test_help"]
    assert browser.js(f"return {COUNT}", "#scenarios tbody svg .spread") == 2
    assert browser.js(f"return {COUNT}", "#learning svg .batch") == 4
    assert "+24.0 points" in browser.text("#learning")
    assert browser.js(
        "return [...document.querySelectorAll('#learning .name')]"
        ".map(n => n.textContent)"
    ) == ["before 72.0 %", "after 96.0 %"]
    assert browser.texts("#signs li") == [
        "test_refund (one form for all cases, since update 3): 32 of 32 passed "
        'episodes have the same reply, "<b>Done.</b>".'
    ]
    assert browser.text("#tools .heat button") == "50"
    assert "infra error" in browser.text(".facts")
    assert browser.complaints() == []


def test_the_calls_of_an_episode_are_alike(browser: Browser, tmp_path: Path) -> None:
    told = made_run(
        tmp_path,
        (
            made_episode(
                index,
                "failed" if index % 2 else "passed",
                tools=[made_row("refund", calls=20, correct=20 * (1 - index % 2))],
            )
            for index in range(10)
        ),
    )
    write_html(tmp_path, tmp_path / "report.html", told)
    browser.open(tmp_path / "report.html")
    (row,) = browser.texts("#tools tbody tr")
    # Not that of 200 independent calls, 42.9-57.1 %.
    rate = told["tools"][0]["correct_rate"]
    shown = f"50.0 % {100 * rate['low']:.1f}\u2013{100 * rate['high']:.1f} %"
    assert shown in " ".join(row.split())


def test_nothing_is_fetched(browser: Browser, report: Path) -> None:
    browser.open(report)
    browser.keys("refund", "#filter-q")
    browser.shows("200 of 400 episodes", ".status")
    assert browser.requests() == [report.as_uri()]
    assert browser.js("return performance.getEntriesByType('resource').length") == 0


def test_a_scenario_that_ended_early(browser: Browser, compared: Path) -> None:
    browser.open(compared)
    assert "Stopped after 20 of at most 1,200 episodes: a" in browser.text(".hero")
    assert browser.texts("#scenarios .tag") == [
        "ended after 20 of 1,200",
        "judged by wise",
        "user: shy",
    ]


def test_a_run_that_no_scenario_could_save(browser: Browser, tmp_path: Path) -> None:
    other = SHOP.replace("refund", "other")
    played = [made_episode(0, "failed", scenario=name) for name in (SHOP, other)]
    told = made_run(tmp_path, played)
    left = [
        {"name": SHOP, "played": 1, "planned": 9},
        {"name": HELP, "played": 0, "planned": 9},
    ]
    told |= {"stop": "sequential", "planned": 18, "not_played": left}
    (cut,) = [s for s in told["scenarios"] if s["name"] == SHOP]
    cut["planned"] = 9
    write_html(tmp_path, tmp_path / "report.html", told)
    browser.open(tmp_path / "report.html")
    assert "Mean of 2 scenarios; 0 of 2 episodes passed." in browser.text(".hero")
    assert (
        "Stopped after 2 of at most 18 episodes: the run is certain to be below its "
        "threshold, whatever 2 scenarios that did not end would do."
    ) in browser.text(".hero")
    assert browser.texts("#scenarios .tag") == ["cut short after 1 of 9"]


def test_what_a_run_took(browser: Browser, compared: Path, report: Path) -> None:
    browser.open(compared)
    assert (
        "The agent took 10,000 tokens in, 1,000 out, $0.11 ($0.0073 per passed "
        "episode). Judges and simulated users took 20,000 tokens in, 2,000 out, "
        "$0.022. Together: $0.13."
    ) in browser.text("#cost")
    assert browser.texts("#cost td") == ["500", "50", "733", "$0.0055", "$0.0073"]
    assert "cost\n$0.13" in browser.text(".facts")
    # Without tokens there is nothing to say.
    browser.open(report)
    assert browser.text("#cost") == ""
    assert "cost" not in browser.text(".facts")


def test_a_comparison_with_the_baseline(browser: Browser, compared: Path) -> None:
    browser.open(compared)
    told = browser.text("#baseline")
    assert "\u22124.0 points (\u22128.1 to \u22120.2), 24 pairs: 90.0 % in run " in told
    assert browser.text("#drop") == "✕ drop exceeded: at most 1 point allowed"
    assert browser.texts("#baseline tbody th") == [
        "test_refunddrop exceeded",
        "test_help",
    ]
    assert browser.texts("#baseline tbody strong") == ["\u22124.0", "+3.0"]
    assert browser.js(f"return {COUNT}", "#baseline .spread.bad") == 1
    assert browser.js(f"return {COUNT}", "#baseline .spread.good") == 1
    assert browser.texts(".changed h3") == [
        "Newly failing: 12 cases",
        "Newly fixed: 1 case",
    ]
    assert "and 2 more: agentgym compare shows them" in browser.text(CHANGED)
    assert browser.texts(".changed li")[2].endswith("held_out-2 passed 1/1, now 0/1")
    # Only what is in this page can be shown.
    assert browser.js(f"return {COUNT}", ".changed button") == 4
    assert "3 episodes without a partner" in browser.text("#baseline")
    assert browser.complaints() == []


def test_a_changed_case_leads_to_its_episode(browser: Browser, compared: Path) -> None:
    browser.open(compared)
    browser.choose("outcome", "passed")
    browser.shows("15 of 20 episodes", ".status")
    browser.js("document.querySelectorAll('.changed button')[2].focus()")
    browser.driver.switch_to.active_element.send_keys("\ue007")  # Enter
    browser.shows("test_refund #2", ".detail")
    browser.shows("20 of 20 episodes", ".status")
    assert browser.js("return location.hash") == "#episode=shop-2"
    assert browser.js("return document.activeElement.className") == "list"
    # The same once more, from another episode.
    browser.keys("j")
    browser.shows("test_refund #3", ".detail")
    browser.click(".changed li:nth-child(3) button")
    browser.shows("test_refund #2", ".detail")
    browser.open(compared, width=360)
    browser.click(".changed li:nth-child(3) button")
    browser.shows("test_refund #2", ".reading .detail")


def test_what_a_judge_said(browser: Browser, compared: Path) -> None:
    browser.open(compared, "#episode=shop-2")
    browser.shows("wise judged 2 criteria", ".detail")
    assert browser.texts(".verdicts li") == [
        "yes\nit looks\nIt looked.",
        "no\nit is rude\nIt is.\nknown from before",
    ]
    assert "The user was played by shy: 2 messages, then it was done." in (
        browser.text(".detail")
    )
    facts = browser.text(".facts")
    assert "judge\nwise, 40 verdicts, 20 cached" in facts
    assert "simulated user\nshy, 40 messages" in facts
    browser.keys("it looked.", "#filter-q")
    browser.shows("20 of 20 episodes", ".status")


def test_the_page_of_a_real_run(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(PAYING_AGENT)
    verdict = json.dumps({"reason": "I say so.", "pass": True})
    with ScriptedModel(lambda _: verdict, name="wise") as model:
        command = [
            *(sys.executable, "-m", "pytest", "-p", "agentgym", "--agentgym"),
            *("--agentgym-price=*=1/1", "--rootdir", str(tmp_path), str(tmp_path)),
            f"--agentgym-judge={model.base_url}#wise",
            f"--agentgym-report={tmp_path / 'report.html'}",
            "--agentgym-stop=sequential",
        ]
        for order, code, more in (
            ("7", 0, []),
            ("8", 1, ["--agentgym-baseline=latest", "--agentgym-max-drop=0.1"]),
        ):
            (tmp_path / "test_it.py").write_text(REAL.replace("ORDER", order))
            ended = subprocess.run(
                [*command, *more],
                cwd=tmp_path,
                env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
                capture_output=True,
                text=True,
            )
            assert ended.returncode == code, ended.stdout
    browser.open(tmp_path / "report.html")
    assert "Stopped after " in browser.text(".hero")
    assert browser.text("#drop") == "✕ drop exceeded: at most 10 points allowed"
    assert browser.texts("#scenarios .tag")[1] == "judged by wise"
    assert "Judges and simulated users took" in browser.text("#cost")
    assert browser.text(".changed h3").startswith("Newly failing: ")
    browser.click(".changed button")
    browser.shows("wise judged 1 criterion", ".detail")
    assert browser.text(".verdicts li") == ""
    browser.click(".checks:has(.verdicts) summary")
    browser.shows("the agent is kind", ".verdicts")
    assert browser.complaints() == []


def test_filters(browser: Browser, report: Path) -> None:
    browser.open(report)
    browser.shows("400 of 400 episodes", ".status")
    browser.choose("scenario", SHOP)
    browser.shows("200 of 400 episodes", ".status")
    browser.choose("outcome", "failed")
    browser.shows("50 of 400 episodes", ".status")
    browser.click("#reset")
    browser.shows("400 of 400 episodes", ".status")
    browser.choose("tool", "refund")
    browser.shows("200 of 400 episodes", ".status")
    browser.choose("fault", "wrong_arguments")
    browser.shows("50 of 400 episodes", ".status")
    browser.choose("fault", "missing")
    browser.shows("No episode is like that.", ".list")
    browser.click("#reset")
    browser.choose("check", "0")
    browser.shows("50 of 400 episodes", ".status")
    browser.choose("outcome", "passed")
    browser.shows("0 of 400 episodes", ".status")


def test_rows_of_the_tables_lead_to_their_episodes(
    browser: Browser, report: Path
) -> None:
    browser.open(report)
    for selector, sentence in (
        ("#scenarios tbody tr:nth-child(2) button", "200 of 400 episodes"),
        ("#tools .heat button", "50 of 400 episodes"),
        ("#checks tbody button", "50 of 400 episodes"),
    ):
        browser.click("#reset")
        browser.shows("400 of 400 episodes", ".status")
        browser.click(selector)
        browser.shows(sentence, ".status")


def test_search(browser: Browser, report: Path) -> None:
    browser.open(report)
    # In a call's arguments, which no row of the list has; in the other case, too.
    browser.keys("a199", "#filter-q")
    browser.shows("1 of 400 episodes", ".status")
    browser.shows("Refund A199 please", ".detail")
    browser.click("#reset")
    browser.keys("ÜNÏCODE answer", "#filter-q")
    browser.shows("200 of 400 episodes", ".status")
    browser.choose("outcome", "infra_error")
    browser.shows("1 of 400 episodes", ".status")


def test_a_link_to_an_episode(browser: Browser, report: Path) -> None:
    browser.open(report, "#episode=help-42")
    browser.shows("Question 42", ".detail")
    assert browser.js(
        "return document.querySelector('.detail').getBoundingClientRect().top < 800"
    )
    # The row is in sight, and marked.
    assert "Question 42" in browser.text(".row[aria-selected=true]")
    browser.open(report, "#episode=shop-8&scenario=" + SHOP.replace(":", "%3A"))
    browser.shows("Refund A8 please", ".detail")
    browser.shows("200 of 400 episodes", ".status")
    assert browser.js("return document.getElementById('filter-scenario').value") == SHOP
    browser.open(report, "#episode=nobody")
    browser.shows("There is no episode nobody in this report.", ".detail")


def test_the_address_follows_the_reader(browser: Browser, report: Path) -> None:
    browser.open(report)
    browser.choose("outcome", "failed")
    browser.click(".row:nth-child(3)")
    browser.until(lambda: "episode=" in browser.js("return location.hash"))
    link = browser.js("return location.hash")
    said = browser.text(".detail .turn.user")
    browser.open(report, link)
    browser.shows("50 of 400 episodes", ".status")
    browser.shows(said, ".detail")


def test_keyboard(browser: Browser, report: Path) -> None:
    browser.open(report)

    def selected() -> str:
        return str(browser.text(".row[aria-selected=true] .row-said"))

    browser.until(selected)
    first = selected()
    browser.keys("j")
    second = browser.until(lambda: selected() != first and selected())
    browser.keys("k")
    browser.until(lambda: selected() == first)
    browser.js("document.querySelector('.list').focus()")
    browser.keys("\ue015", ".list")  # the arrow down
    browser.until(lambda: selected() == second)
    browser.keys("\ue010", ".list")  # End
    browser.shows("Refund A199 please", ".detail")
    active = browser.js(
        "return document.querySelector('.list').getAttribute('aria-activedescendant')"
    )
    assert active == "row-399"
    browser.keys("/")
    assert browser.js("return document.activeElement.id") == "filter-q"
    # Letters are text there.
    browser.keys("jjkk", "#filter-q")
    browser.shows("0 of 400 episodes", ".status")


def test_only_what_is_seen_is_in_the_list(browser: Browser, report: Path) -> None:
    browser.open(report)
    browser.shows("400 of 400 episodes", ".status")
    assert 0 < browser.js("return document.querySelectorAll('.row').length") < 40
    browser.js("document.querySelector('.list').scrollTop = 1e9")
    browser.until(lambda: "Refund A199" in "".join(browser.texts(".row")))
    assert browser.js("return document.querySelectorAll('.row').length") < 40


def test_a_conversation(browser: Browser, tmp_path: Path) -> None:
    trajectory = Trajectory(
        messages=[
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "Refund A1"},
            {"role": "assistant", "content": "It is paid."},
        ],
        steps=[
            Step(
                model=ModelCall(
                    duration=0.5, model="m-1", prompt_tokens=1200, completion_tokens=34
                ),
                tool_calls=[
                    made_call(
                        "refund", arguments={"amount": 5}, result="no", duration=0.25
                    ),
                    made_call(
                        "look", "c2", path=("planner", "clerk"), error="KeyError: 'A1'"
                    ),
                    made_call("pay", "c3", malformed='{"a', executed=False),
                ],
            ),
            Step(
                model=ModelCall(message={"role": "assistant", "content": "It is paid."})
            ),
        ],
    )
    checks = [
        made_check("failed", text="run.called('refund', amount=3)", message="no 3"),
        made_check("failed", number=1, text="not run.called('look')", must="never"),
        made_check("failed", number=2, text="'sorry' in run.reply"),
        made_check("errored", number=3, text="shop.refunds == ['A1']"),
    ]
    browser.open(
        one(tmp_path, trajectory=trajectory, checks=checks, output="printed\n"),
        "#episode=one",
    )
    browser.shows("It is paid.", ".turns")
    turns = browser.texts(".turns > li")
    assert len(turns) == 4
    assert turns[0] == "Instructions"
    assert turns[1].split("\n") == ["User", "Refund A1"]
    assert "500 ms · 1,200 → 34 tokens · m-1" in turns[2]
    # Each failed check is right below the call that it is about.
    after = browser.texts(".call + .check summary")
    assert [text.split("\n")[-1] for text in after] == [
        "assert run.called('refund', amount=3)",
        "assert not run.called('look')",
    ]
    assert browser.texts(".call .tool") == ["refund", "look", "pay"]
    assert "amount\n5" in browser.texts(".call")[0]
    assert "250 ms" in browser.texts(".call")[0]
    assert "planner \u203a clerk" in browser.texts(".call")[1]
    assert "KeyError: 'A1'" in browser.texts(".call")[1]
    assert "malformed\nat" in browser.texts(".call")[2]
    assert turns[3].startswith("Agent")
    assert turns[3].count("It is paid.") == 1
    assert "assert 'sorry' in run.reply" in turns[3]
    assert "shop.refunds == ['A1']" in browser.text(".general")
    assert "pytest --agentgym shop/test_shop.py::test_refund" in browser.text(".again")


def test_text_of_an_agent_does_nothing(browser: Browser, tmp_path: Path) -> None:
    call = made_call(HOSTILE, arguments={HOSTILE: HOSTILE}, result=HOSTILE)
    path = one(
        tmp_path,
        id=HOSTILE,
        scenario=HOSTILE,
        checks=[made_check("failed", text=HOSTILE, must=HOSTILE, message=HOSTILE)],
        tools=[made_row(HOSTILE, calls=1, raised=1)],
        trajectory=made_trajectory(call, user=HOSTILE, reply=HOSTILE),
        error=HOSTILE,
        output=HOSTILE,
        policy=HOSTILE,
        phase=HOSTILE,
        simulators=simulated(model=HOSTILE, criterion=HOSTILE, reason=HOSTILE),
        baseline=against(HOSTILE, [HOSTILE]) | {"notes": [HOSTILE]},
    )
    browser.open(path)
    browser.shows("window.hacked=1", ".detail")
    browser.click("#reset")
    browser.keys("onerror", "#filter-q")
    browser.shows("1 of 1 episode", ".status")
    assert browser.js("return typeof window.hacked") == "undefined"
    assert browser.js("return document.images.length") == 0
    blocks = "script[type='application/json']"
    scripts = f'document.scripts.length - document.querySelectorAll("{blocks}").length'
    assert browser.js(f"return {scripts}") == 1
    assert browser.requests() == [path.as_uri()]
    assert browser.complaints() == []


def test_the_page_could_not_run_another_script(browser: Browser, report: Path) -> None:
    browser.open(report)
    browser.js(
        """
        const script = document.createElement("script");
        try { script.textContent = "window.hacked = 1"; } catch {}
        document.body.append(script);
        try { document.body.innerHTML += "<img src=x onerror='hacked=2'>"; } catch {}
        """
    )
    assert browser.js("return typeof window.hacked") == "undefined"
    assert browser.js("return document.images.length") == 0
    # What was refused is told once, and is no complaint about the next page.
    assert browser.complaints() != []


def test_control_characters_and_right_to_left_text(
    browser: Browser, tmp_path: Path
) -> None:
    said = "a\x1b[31mred\x00 \u202egnp.exe\u202c ok\tthere"
    hebrew = "שלום, order A1!"
    call = made_call("look", arguments={"name": hebrew}, result=said)
    trajectory = made_trajectory(call, user=hebrew, reply=said)
    browser.open(one(tmp_path, trajectory=trajectory), "#episode=one")
    browser.shows("a␛[31mred␀ U+202Egnp.exeU+202C ok\tthere", ".turns")
    direction = (
        "return getComputedStyle(document.querySelector(arguments[0])).direction"
    )
    assert browser.js(direction, ".turn.user .passage") == "rtl"
    assert browser.js(direction, ".turn.agent .result .passage") == "ltr"
    assert browser.js(direction, ".arguments") == "ltr"


def test_long_texts_are_opened_on_demand(browser: Browser, tmp_path: Path) -> None:
    trajectory = made_trajectory(user="x" * 1_600 + "THE END")
    browser.open(one(tmp_path, trajectory=trajectory), "#episode=one")
    browser.shows("Show 7 more characters", ".turns")
    assert "THE END" not in browser.text(".turns")
    browser.click(".more")
    browser.shows("THE END", ".turns")


def test_dark_and_light(browser: Browser, report: Path) -> None:
    def colours() -> tuple[int, int]:
        """Brightness of the page and of its letters."""
        return tuple(
            browser.js(
                "const s = getComputedStyle(document.body);"
                "return [s.backgroundColor, s.color]"
                ".map(c => c.match(/\\d+/g).slice(0, 3).reduce((a, b) => +a + +b, 0))"
            )
        )

    browser.open(report)
    page, letters = colours()
    assert page > 600 > 200 > letters
    browser.open(report, dark=True)
    page, letters = colours()
    assert letters > 600 > 200 > page


def test_a_phone(browser: Browser, report: Path, tmp_path: Path) -> None:
    browser.open(report, width=360)

    def overhang() -> int:
        wide = browser.js(
            "return [document.documentElement.scrollWidth, "
            "document.querySelector('.detail').scrollWidth]"
        )
        return int(max(wide)) - 360

    assert overhang() <= 0
    assert browser.text(".detail") == ""
    browser.click(".row:nth-child(2)")
    browser.shows("Back", ".detail")
    assert overhang() <= 0
    browser.click(".back")
    browser.until(lambda: browser.text(".detail") == "")
    # A word that cannot be broken, and a deep link.
    call = made_call("t" * 300, arguments={"k" * 90: "v" * 500}, result="r" * 500)
    checks = [made_check("failed", text="x" * 400, message="m" * 400)]
    long = one(
        tmp_path,
        trajectory=made_trajectory(call, user="u" * 500),
        checks=checks,
        tools=[made_row("t" * 300, calls=1, raised=1)],
        scenario="s" * 300,
        simulators=simulated(model="m" * 300, criterion="c" * 300, reason="r" * 300),
        baseline=against("s" * 300, ["one"]),
    )
    browser.open(long, "#episode=one", width=360)
    browser.shows("Back", ".detail")
    assert overhang() <= 0
    browser.click(".back")
    assert browser.text(CHANGED)
    assert overhang() <= 0
