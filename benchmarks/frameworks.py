"""What each framework costs per episode, and what agentgym's adapter adds to it.

python benchmarks/frameworks.py [FRAMEWORK ...]

An episode is two model calls and one tool call, on a scripted model in another process
that answers at once. Each framework has a process of its own. CPU time is the process's
own, of all its threads; the adapter's share is the difference between the framework run
by `agent.run` in an episode's recorder and run as its documentation does, in turns of
the same process, agents made outside of the measured time. Where an adapter listens by
hooks of the framework's that cost much themselves, they are also measured with nothing
in them.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import multiprocessing
import os
import random
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

QUESTION = "Where is my order A1?"
IN_FLIGHT = 64
MODEL_SECONDS = 0.05


def serve(delay: float, results: Any, end: Any) -> None:
    """A scripted model in a process of its own, until `end` is set.

    Args:
        delay: Seconds before each answer.
        results: A queue: gets the endpoint, and at the end the most requests in flight.
        end: An event.
    """
    from agentgym.testing import ScriptedModel, call, say

    most = Most()

    def answer(request: dict[str, Any]) -> Any:
        with most:
            time.sleep(delay)
        asked = any(m["role"] == "assistant" for m in request["messages"])
        return say("It is paid.") if asked else call("look_up", order_id="A1")

    with ScriptedModel(answer) as model:
        results.put((model.base_url, model.endpoint.api_key, model.name))
        while not end.wait(0.05):
            pass
    results.put(most.most)


class Most:
    """The most requests that were being answered at a time."""

    def __init__(self) -> None:
        self._lock, self._now, self.most = threading.Lock(), 0, 0

    def __enter__(self) -> None:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)

    def __exit__(self, *exc: object) -> None:
        with self._lock:
            self._now -= 1


@contextlib.contextmanager
def scripted(delay: float) -> Iterator[tuple[Any, Callable[[], int]]]:
    """The endpoint of a scripted model, and what ends it and gives its most."""
    from agentgym.endpoint import PolicyEndpoint

    context = multiprocessing.get_context("spawn")
    results, end = context.Queue(), context.Event()
    process = context.Process(target=serve, args=(delay, results, end), daemon=True)
    process.start()
    url, key, name = results.get(timeout=60)

    def finish() -> int:
        end.set()
        most: int = results.get(timeout=10)
        process.join()
        return most

    yield PolicyEndpoint(url, key, name), finish
    if process.is_alive():
        finish()


def plain(framework: str, agent: Any) -> Callable[[], Any]:
    """Runs the agent as the framework's documentation does.

    Args:
        framework: Name of its module in `agentgym.integrations`, or `shipped`.
        agent: One of its agents.
    """
    from agentgym.recording import event_loop

    if framework in ("shipped", "langchain"):
        return lambda: agent.invoke({"messages": [("user", QUESTION)]})
    if framework == "crewai":
        return lambda: agent.kickoff(QUESTION)
    if framework == "autogen":
        return lambda: event_loop.run(agent.run(task=QUESTION))
    if framework == "openai_agents":
        from agents import RunConfig, Runner

        config = RunConfig(tracing_disabled=True)
        return lambda: event_loop.run(Runner.run(agent, QUESTION, run_config=config))
    if framework == "ag2":
        return lambda: event_loop.run(agent.ask(QUESTION))
    return lambda: event_loop.run(agent.run(QUESTION))  # pydantic_ai, agent_framework


def hooked(framework: str, agent: Any) -> Callable[[], Any] | None:
    """The same with the hooks that the adapter uses, and nothing in them.

    Args:
        framework: Name of its module in `agentgym.integrations`, or `shipped`.
        agent: One of its agents.
    """
    from agentgym.recording import event_loop

    if framework == "pydantic_ai":
        from pydantic_ai.capabilities import Hooks

        return lambda: event_loop.run(agent.run(QUESTION, capabilities=[Hooks()]))
    if framework == "agent_framework":
        from agent_framework import ChatMiddleware, FunctionMiddleware

        class Chat(ChatMiddleware):
            async def process(self, context: Any, call_next: Any) -> None:
                await call_next()

        class Function(FunctionMiddleware):
            async def process(self, context: Any, call_next: Any) -> None:
                await call_next()

        both = [Chat(), Function()]
        return lambda: event_loop.run(agent.run(QUESTION, middleware=both))
    return None


def measure(framework: str, episodes: int) -> dict[str, Any]:
    """One framework's numbers, in this process.

    Args:
        framework: Name of its module in `agentgym.integrations`, or `shipped`.
        episodes: For the time of one.
    """
    before = resident()
    begun = time.perf_counter()
    from tests.framework_agents import make

    with scripted(0.0) as (endpoint, _):
        make(framework, endpoint)
        numbers = {
            "framework": framework,
            "import_s": time.perf_counter() - begun,
            "memory_mb": resident() - before,
        }
        numbers |= overhead(framework, endpoint, episodes)
    for kind in ("plain", "adapted"):
        with scripted(MODEL_SECONDS) as (endpoint, finish):
            numbers["seconds"] = in_flight(framework, endpoint, kind)
            numbers[f"{kind}_in_flight"] = finish()
    return numbers


def overhead(framework: str, endpoint: Any, episodes: int) -> dict[str, float]:
    """CPU milliseconds per episode: plain, adapted, with empty hooks, in turns.

    Args:
        framework: Name of its module in `agentgym.integrations`, or `shipped`.
        endpoint: Of the scripted model.
        episodes: That are timed, of each kind.
    """
    import agentgym
    from agentgym.recording.recorder import Recorder
    from tests.framework_agents import make

    def adapted(agent: Any) -> Callable[[], None]:
        wrapped = agentgym.wrap(agent)

        def run() -> None:
            with Recorder().activate():
                assert wrapped.run(QUESTION).called("look_up", order_id="A1")

        return run

    kinds: dict[str, Callable[[Any], Callable[[], Any] | None]] = {
        "plain": lambda agent: plain(framework, agent),
        "adapted": adapted,
        "hooked": lambda agent: hooked(framework, agent),
    }
    times: dict[str, list[float]] = {kind: [] for kind in kinds}
    for index in range(episodes + 5):
        # In any order: nobody has the warm caches.
        for kind in random.sample(list(kinds), len(kinds)):
            run = kinds[kind](make(framework, endpoint))
            if run is None:
                continue
            begun = time.process_time()
            run()
            if index >= 5:
                times[kind].append(1e3 * (time.process_time() - begun))
    medians = {kind: statistics.median(seen) for kind, seen in times.items() if seen}
    alone = medians["plain"]
    return {
        "framework_ms": alone,
        "adapter_ms": medians["adapted"] - alone,
        "hooks_ms": medians.get("hooked", alone) - alone,
    }


def in_flight(framework: str, endpoint: Any, kind: str) -> float:
    """Seconds for 128 episodes, 64 at a time, whose model takes 50 ms.

    Args:
        framework: Name of its module in `agentgym.integrations`, or `shipped`.
        endpoint: Of the scripted model.
        kind: `plain` or `adapted`.
    """
    import agentgym
    from agentgym.recording.recorder import Recorder
    from tests.framework_agents import make

    def episode(_: int) -> None:
        agent = make(framework, endpoint)
        if kind == "plain":
            plain(framework, agent)()
            return
        with Recorder().activate():
            agentgym.wrap(agent).run(QUESTION)

    begun = time.perf_counter()
    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        list(pool.map(episode, range(2 * IN_FLIGHT)))
    return time.perf_counter() - begun


def resident() -> float:
    """The most memory that this process had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    from tests.framework_agents import MAKERS, is_there

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("framework", nargs="*", default=list(MAKERS))
    parser.add_argument("--episodes", type=int, default=60)
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    count = args.episodes
    if args.here:
        with contextlib.redirect_stdout(io.StringIO()):
            found = measure(args.framework[0], count)
        print(json.dumps(found))
        return
    print(
        f"{'':<16}{'import':>8}{'memory':>9}{'episode':>10}{'call':>8}"
        f"{'adapter':>10}{'':>7}{'its hooks':>11}{'64 x 50 ms':>12}"
        f"{'in flight':>11}{'plain':>8}"
    )
    for framework in args.framework:
        if not is_there(framework):
            print(f"{framework:<16}not installed")
            continue
        done = subprocess.run(
            [
                sys.executable,
                __file__,
                framework,
                "--here",
                f"--episodes={args.episodes}",
            ],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "CREWAI_DISABLE_TELEMETRY": "true"},
        )
        if done.returncode:
            print(f"{framework:<16}failed: {done.stderr.strip().splitlines()[-1]}")
            continue
        found = json.loads(done.stdout.strip().splitlines()[-1])
        alone, added = found["framework_ms"], found["adapter_ms"]
        print(
            f"{framework:<16}{found['import_s']:>6.1f} s{found['memory_mb']:>6.0f} MB"
            f"{alone:>7.1f} ms{alone / 2:>5.1f} ms{added:>7.2f} ms"
            f"{added / alone:>7.1%}{found['hooks_ms'] / alone:>11.1%}"
            f"{found['seconds']:>10.1f} s{found['adapted_in_flight']:>11}"
            f"{found['plain_in_flight']:>8}"
        )


if __name__ == "__main__":
    main()
