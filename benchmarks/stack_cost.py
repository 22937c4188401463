"""CPU seconds of a real training, part by part; `training_cost.py` prints them."""

import io
import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PROMPTS, REPEATS = 8, 8


class Cost(Counter[str]):
    """CPU seconds by part, tokens and wall seconds, of one step or batch."""

    @contextmanager
    def of(self, part: str, clock: Callable[[], float] = time.process_time) -> Any:
        """Adds what the clock counts inside to a part.

        Args:
            part: Its name.
            clock: Returns seconds, or anything else that grows.
        """
        begun = clock()
        yield
        self[part] += clock() - begun


def cpu_of(thread: threading.Thread) -> float:
    """CPU seconds that a thread of this process has used."""
    assert thread.ident is not None
    return time.clock_gettime(time.pthread_getcpuclockid(thread.ident))


def cpu_of_process(pid: int) -> float:
    """CPU seconds that another process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run_stack(steps: int, folder: Path) -> list[Cost]:
    """Batches of a training, the episodes' fixtures and checks included.

    Args:
        steps: How many batches.
        folder: Scratch.
    """
    import pytest

    from agentgym.playing.play import EpisodePlay
    from agentgym.training.loop.loop import Training

    costs: list[Cost] = []
    scoring = Cost()
    running: list[tuple[Cost, ExitStack]] = []
    make_episode = EpisodePlay._make
    collect, publish = Training._collect, Training._publish

    def clocked_episode(play: EpisodePlay, *given: Any, **named: Any) -> Any:
        with scoring.of("scoring", time.thread_time):
            return make_episode(play, *given, **named)

    def clocked_collect(training: Training) -> Any:
        server = training._host._process()
        clocks: dict[str, Callable[[], float]] = {
            "sampling": lambda: cpu_of_process(server._process.pid),
            "gateway": lambda: cpu_of(training._player.gateway._thread),
            "scoring": lambda: scoring["scoring"],
            "update": time.thread_time,
            "runner": lambda: cpu_of(threading.main_thread()),
            "process": time.process_time,
            "seconds": time.perf_counter,
            "episodes": lambda: training._state.episodes,
        }
        cost, stack = Cost(), ExitStack()
        for part, clock in clocks.items():
            stack.enter_context(cost.of(part, clock))
        # A batch of zero-variance groups only is not published, and not counted.
        running[:] = [(cost, stack)]
        return collect(training)

    def clocked_publish(training: Training) -> None:
        publish(training)
        cost, stack = running.pop()
        stack.close()
        own = ("gateway", "scoring", "update", "runner")
        cost["agent"] = cost.pop("process") - sum(cost[part] for part in own)
        costs.append(cost)
        if len(costs) == steps:
            training.stop()

    config = {"groups": PROMPTS, "group_size": REPEATS, "dynamic_sampling": False}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "pytest.ini").write_text("[pytest]\n")
    output = io.StringIO()
    EpisodePlay._make = clocked_episode  # type: ignore[method-assign]
    Training._collect = clocked_collect  # type: ignore[method-assign]
    Training._publish = clocked_publish  # type: ignore[method-assign]
    try:
        with redirect_stdout(output):
            pytest.main(
                [
                    *("-c", str(folder / "pytest.ini"), "-q", "-p", "no:cacheprovider"),
                    *("--agentgym", "--train", "--agentgym-episodes", "1"),
                    *("--agentgym-train-config", str(folder / "config.json")),
                    *("--agentgym-target", "1", "--agentgym-budget", "1h"),
                    str(ROOT / "scenarios" / "customer_support"),
                ]
            )
    finally:
        EpisodePlay._make = make_episode  # type: ignore[method-assign]
        Training._collect = collect  # type: ignore[method-assign]
        Training._publish = publish  # type: ignore[method-assign]
    if len(costs) < steps:
        raise SystemExit(output.getvalue())
    return costs
