"""Time, size and load time of the page over all runs of a project.

    python benchmarks/project_page.py [--runs 500 --episodes 10000]

Makes a project of so many runs, each with the summary of so many episodes of 18
scenarios, every tenth a training of 80 updates. `agentgym view` is then run twice, in a
process of its own: the second time it has the runs' outlines. The page is opened in
headless Chromium, where that is installed.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from agentgym.runs.prices import Prices
from agentgym.runs.summary import RunSummary

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.browser import CHROMIUM, Browser
from tests.made_episodes import made_check, made_episode, made_row
from tests.made_run import TRAINING

SCENARIOS, UPDATES, EVERY = 18, 80, 10
COMMAND = [sys.executable, "-m", "agentgym.commands.main", "view", "--no-browser"]


def summary_of(episodes: int) -> dict[str, Any]:
    """A summary with all that it has of large runs: cases, checks, tools."""
    generator = random.Random(1)
    summary = RunSummary(threshold=0.95, prices=Prices(listed=False))
    for number in range(episodes):
        outcome = "passed" if generator.random() < 0.9 else "failed"
        place = number // SCENARIOS
        case = {"index": place, "seed": number, "split": "held_out", "value": None}
        checks = [made_check(outcome, number=check) for check in range(4)]
        tools = [made_row(f"tool_{tool}", calls=1, correct=1) for tool in range(4)]
        scenario = f"shop/test_shop.py::test_{number % SCENARIOS}"
        summary.add(
            made_episode(
                place,
                outcome,
                scenario=scenario,
                case=case,
                checks=checks,
                tools=tools,
            )
        )
    return summary.to_json()  # type: ignore[return-value]


def write_run(folder: Path, summary: dict[str, Any], number: int) -> None:
    """One run, a day after the one before it."""
    folder.mkdir(parents=True)
    started = 1_700_000_000.0 + 86_400 * number
    told = summary | {"run": folder.name, "started": started}
    if number % EVERY == 0:
        told["training"] = TRAINING | {"updates": UPDATES, "version": UPDATES}
        names = ("passed", "reliability", "reward", "elapsed")
        rows = (
            {"update": at + 1, "version": at, **dict.fromkeys(names, at / UPDATES)}
            for at in range(UPDATES)
        )
        lines = "".join(f"{json.dumps(row)}\n" for row in rows)
        (folder / "updates.jsonl").write_text(lines)
    (folder / "summary.json").write_text(json.dumps(told, indent=2))


def main() -> None:
    """Prints what it takes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--episodes", type=int, default=10_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        project = Path(name)
        summary = summary_of(options.episodes)
        for number in range(options.runs):
            folder = project / ".agentgym" / "runs" / f"20260101-120000-{number:04x}"
            write_run(folder, summary, number)
        for which in ("first", "second"):
            begun = time.perf_counter()
            subprocess.run(COMMAND, cwd=project, check=True, capture_output=True)
            print(f"{which} time: {time.perf_counter() - begun:.1f} s")
        page = project / ".agentgym" / "index.html"
        print(f"page: {page.stat().st_size / 1e6:.1f} MB")
        if CHROMIUM.exists():
            browser = Browser(project / "profile")
            begun = time.perf_counter()
            browser.open(page)
            print(f"load time: {time.perf_counter() - begun:.1f} s")
            browser.driver.quit()


if __name__ == "__main__":
    main()
