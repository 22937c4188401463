"""The page over all runs as its reader has it: in a real browser, from the disk."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentgym.commands.main import main
from tests.browser import Browser, needs_chromium
from tests.made_episodes import made_episode
from tests.made_run import made_run

pytestmark = [pytest.mark.slow, needs_chromium]

REFUND, HELP = "shop/test_shop.py::test_refund", "shop/test_help.py::test_help"
HOSTILE = "<img src=x onerror='window.hacked=1'><script>hacked=2</script>\u2028\u202e"
FOLDER = "<img src=x onerror='window.hacked=1'>"
KILLED, RUNS = "20260105-120000-dead", 60
COUNT = "return document.querySelectorAll(arguments[0]).length"


def write(folder: Path, rates: dict[str, int], **changes: Any) -> None:
    """A run with a page; so many of 20 episodes of each scenario pass."""
    episodes = [
        made_episode(
            index,
            "passed" if index < passed else "failed",
            id=f"{scenario}-{index}",
            scenario=scenario,
        )
        for scenario, passed in rates.items()
        for index in range(20)
    ]
    told = made_run(folder, episodes, training=changes.pop("training", False))
    told |= {"run": folder.name, **changes}
    (folder / "summary.json").write_text(json.dumps(told))
    assert main(["report", str(folder), "--html", str(folder / "report.html")]) == 0


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.driver.quit()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a project of many runs, with a training, a killed and a hostile one."""
    project = tmp_path_factory.mktemp("shop")
    runs = project / ".agentgym" / "runs"
    for number in range(RUNS):
        folder = runs / f"20260101-{number:06}-aaaa"
        started = {"started": 1_767_225_600.0 + 86_400 * number}
        if number < 3:
            rates = {REFUND: 15 + number, HELP: 20}
            write(folder, rates, policy=f"model-{number % 2}", **started)
        else:
            shutil.copytree(runs / "20260101-000001-aaaa", folder)
            file = folder / "summary.json"
            file.write_text(json.dumps(json.loads(file.read_text()) | started))
    trained = {"started": 1_775_000_000.0, "training": True, "policy": "model-0"}
    write(runs / "20260401-120000-bbbb", {REFUND: 19}, **trained)
    write(runs / FOLDER, {HOSTILE: 3}, started=1_775_100_000.0, policy=HOSTILE)
    (runs / KILLED).mkdir()
    (runs / KILLED / "episodes.jsonl").write_text("")
    here = Path.cwd()
    os.chdir(project)
    assert main(["view", "--no-browser"]) == 0
    os.chdir(here)
    return project / ".agentgym" / "index.html"


def test_the_page_is_drawn_without_the_network(browser: Browser, page: Path) -> None:
    for dark in (False, True):
        browser.open(page, dark=dark)
        assert browser.requests() == [page.as_uri()]
        assert browser.complaints() == []
    assert f"{RUNS + 3} RUNS" in browser.text(".eyebrow").upper()
    assert browser.text(".figure") == "15.0 %"
    # Each run that ended has a point; the one that was killed has none.
    assert browser.js(COUNT, ".history .value") == RUNS + 2
    assert browser.js(COUNT, ".history a") == RUNS + 2
    assert browser.js(COUNT, ".training svg.learning .batch") == 4
    assert browser.text(".training").startswith("20260401-120000-bbbb")
    assert browser.js(COUNT, "#scenarios tbody tr") == 3
    # However many runs there are, a small chart has few elements.
    assert browser.js(COUNT, ".spark *") < 3 * 8
    assert browser.js(COUNT, "#runs tbody tr") == 50
    browser.click("#runs .more")
    assert browser.js(COUNT, "#runs tbody tr") == RUNS + 3
    (killed,) = [row for row in browser.texts("#runs tbody tr") if KILLED in row]
    assert "killed, or not over" in killed


def test_no_text_of_a_run_is_executed(browser: Browser, page: Path) -> None:
    browser.open(page)
    shown = "U+2028"
    assert shown in browser.text("#scenarios")
    assert "<img src=x onerror" in browser.text("#runs")
    (button,) = browser.js(
        "return [...document.querySelectorAll('#scenarios th button')]"
        ".filter(b => b.innerText.includes('hacked'))"
    )
    button.click()
    assert "hacked" in browser.text("#charted")
    browser.driver.find_element("css selector", "#filter-policy").click()
    assert browser.js("return typeof window.hacked") == "undefined"
    assert browser.js("return document.images.length") == 0
    assert browser.js("return document.scripts.length") == 2
    assert browser.complaints() == []


def test_what_is_chosen_is_shown(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.choose("what", "trained")
    assert browser.js(COUNT, "#runs tbody tr") == 1
    assert browser.js(COUNT, "#scenarios tbody tr") == 1
    browser.choose("what", "")
    browser.choose("policy", "model-1")
    assert browser.js(COUNT, "#trainings") == 0
    assert "model-0" not in browser.text("#runs")
    browser.choose("policy", "")
    browser.keys("test_HELP", "#filter-query")
    assert browser.texts("#scenarios th button") == ["test_help"]
    browser.click("#scenarios th button")
    assert browser.text("#charted") == "test_help"
    assert browser.js(COUNT, ".history .value") == RUNS
    browser.click(".charted button")
    assert browser.text("#charted") == "All scenarios"
    browser.keys("x", "#filter-query")
    assert "None has this in its name." in browser.text("#scenarios")


def test_a_run_leads_to_its_own_page(browser: Browser, page: Path) -> None:
    for name, reliability in ((FOLDER, "15.0 %"), ("20260401-120000-bbbb", "95.0 %")):
        browser.open(page)
        (link,) = browser.js(
            "return [...document.querySelectorAll('#runs th a')]"
            ".filter(a => a.innerText === arguments[0])",
            name,
        )
        link.click()
        browser.until(lambda: "agentgym: " in browser.driver.title)
        browser.until(
            lambda: browser.js("return document.documentElement.dataset.ready")
        )
        browser.shows(reliability, ".figure")
        assert "/report.html" in browser.js("return location.pathname")


def test_a_phone_is_not_scrolled_sideways(browser: Browser, page: Path) -> None:
    browser.open(page, width=360, height=700)
    assert browser.js("return document.documentElement.scrollWidth") == 360
