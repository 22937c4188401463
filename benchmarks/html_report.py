"""Size, cost and load time of the HTML report, for so many episodes.

    python benchmarks/html_report.py [--episodes 100 1000 10000]

Makes runs of varied conversations (about 4 kB of JSON per episode, as of the
customer-support pack), writes their reports, and opens each three times in headless
Chromium from the disk; the median is shown. Load time is from the start of the
navigation until verdict, tables, list and the first conversation are there. The search
is for a word of one episode, with all others read and unpacked.
"""

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from agentgym.playing.episode import Episode
from agentgym.recording.blame import Outcome
from agentgym.recording.trajectory import ModelCall, Step, ToolCall, Trajectory
from agentgym.report.html import write_html
from agentgym.runs.summary import RunSummary

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.browser import Browser

SCENARIOS, TOOLS = 20, 12
LIMITS = "limits: 15 MB, 3 s, 100 us"
SYLLABLES = [a + b for a in "bcdfglmnprstvz" for b in "aeiou"]


def words(generator: random.Random, number: int) -> str:
    """Text that is no easier to compress than people's is."""
    return " ".join(
        "".join(generator.choices(SYLLABLES, k=generator.randint(1, 4)))
        for _ in range(number)
    )


def episode(number: int) -> Episode:
    """A conversation of three tool calls; one in five fails."""
    generator = random.Random(number)
    failed = number % 5 == 0
    user = words(generator, 20)
    messages = [{"role": "user", "content": user}]
    steps, tools = [], []
    for turn in range(3):
        name = f"tool_{generator.randrange(TOOLS)}"
        arguments = {
            "order_id": f"A{generator.randrange(10**6)}",
            "why": words(generator, 4),
        }
        call_id = f"call_{generator.getrandbits(96):024x}"
        function = {"name": name, "arguments": json.dumps(arguments)}
        asked = {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": call_id, "type": "function", "function": function}],
        }
        result = {"status": words(generator, 12), "total": generator.random()}
        call = ToolCall(
            id=call_id,
            name=name,
            arguments=arguments,
            result=result,
            executed=True,
            start=turn + generator.random(),
            duration=generator.random(),
        )
        model = ModelCall(
            message=asked, model="m", prompt_tokens=400, completion_tokens=30
        )
        steps.append(Step(model=model, tool_calls=[call]))
        answer = {"role": "tool", "tool_call_id": call_id, "content": str(result)}
        messages += [asked, answer]
        counts = dict.fromkeys(("not_allowed", "missing", "raised", "unjudged"), 0)
        wrong = int(failed and turn == 0)
        row = {"calls": 1, "correct": 1 - wrong, "wrong_arguments": wrong, **counts}
        tools.append({"name": name, **row, "latencies": [call.duration]})
    messages.append({"role": "assistant", "content": words(generator, 30)})
    checks = [
        {
            "id": place,
            "text": f"run.called('tool_{place}', order_id=order.id)",
            "file": "/home/me/scenarios/test_shop.py",
            "line": 10 + place,
            "weight": 1.0,
            "must": None,
            "conditional": False,
            "status": "failed" if failed and place == 0 else "passed",
            "share": 0.0,
            "message": words(generator, 40) if failed and place == 0 else None,
        }
        for place in range(4)
    ]
    return Episode(
        id=f"{generator.getrandbits(128):032x}",
        scenario=f"scenarios/shop/test_shop.py::test_{number % SCENARIOS}",
        index=number // SCENARIOS,
        case={"index": number, "seed": number, "split": "held_out", "value": None},
        outcome=Outcome.failed if failed else Outcome.passed,
        reward=0.0 if failed else 1.0,
        checks=checks,
        trajectory=Trajectory(steps=steps, messages=messages),
        tools=tools,
        duration=generator.random(),
        tokens=1300,
    )


def made_run(folder: Path, number: int) -> dict[str, object]:
    """Writes the episodes; returns the summary."""
    summary = RunSummary(threshold=0.95, run_id=f"{number}-episodes")
    with (folder / "episodes.jsonl").open("w") as file:
        for made in map(episode, range(number)):
            file.write(json.dumps(made.to_json()) + "\n")
            summary.add(made)
    return summary.to_json()


def loads(browser: Browser, path: Path) -> Iterator[float]:
    """Seconds until the report is there, three times."""
    for _ in range(3):
        begun = time.perf_counter()
        browser.open(path)
        browser.shows("Play this case again", ".detail")
        yield time.perf_counter() - begun


def search(browser: Browser, number: int) -> float:
    """Seconds of a search through all conversations."""
    wanted = episode(number - 1).trajectory.tool_calls[0].arguments["order_id"]
    begun = time.perf_counter()
    browser.keys(wanted, "#filter-q")
    browser.until(lambda: browser.text(".status").startswith("1 of "), 60)
    return time.perf_counter() - begun


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--episodes", type=int, nargs="+", default=[100, 1_000, 10_000])
    print("episodes   us/episode   size     load    search")
    with tempfile.TemporaryDirectory() as profile:
        browser = Browser(Path(profile))
        for number in parser.parse_args().episodes:
            with tempfile.TemporaryDirectory() as name:
                folder, path = Path(name), Path(name, "report.html")
                summary = made_run(folder, number)
                begun = time.process_time()
                write_html(folder, path, summary)
                cost = 1e6 * (time.process_time() - begun) / number
                size = path.stat().st_size / 1e6
                load = statistics.median(loads(browser, path))
                seconds = search(browser, number)
                print(
                    f"{number:8,}   {cost:7.0f}    {size:5.2f} MB  {load:5.2f} s"
                    f"  {seconds:5.2f} s",
                    flush=True,
                )
        browser.driver.quit()
    print(LIMITS)


if __name__ == "__main__":
    main()
