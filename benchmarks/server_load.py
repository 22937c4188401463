"""Requests and connections that a policy server and a training's gateway hold.

    python benchmarks/server_load.py [--requests 2000] [--idle 600]

Chat completions of one token by a tiny random model, first straight, then by way of the
gateway, as a training's agents ask: with 8, 64 and 256 in flight, and with 256 beside
connections that send nothing, half a head, half a body or no key over and over. Printed
are answers other than 200, the latency of the others, and memory. A client that waits
for 60 seconds counts as an error, too.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import multiprocessing
import os
import resource
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from agentgym.policy.server.process import PolicyProcess
from agentgym.training.hub.gateway import Gateway
from agentgym.training.job.task import Task
from tests.tiny_policy import conversation, make_tiny

SECONDS = 60.0
TASK = Task(scenario="test_it.py::test_x", split="held_out", case=0, phase="before")
STRANGERS = 8
"""Clients without the key that ask all the time."""


@dataclass(frozen=True)
class Target:
    """What is asked.

    Attributes:
        name: For the table.
        url: Of its OpenAI interface.
        key: What it wants to know.
        pid: Of its process.
    """

    name: str
    url: str
    key: str
    pid: int


def megabytes(pid: int) -> float:
    """Resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


async def requests(target: Target, count: int, in_flight: int) -> list[float | str]:
    """Sends requests; returns the seconds of each, or what went wrong.

    Args:
        target: What is asked.
        count: Requests.
        in_flight: At a time.
    """
    numbers = itertools.count()
    answers: list[float | str] = []
    headers = {"Authorization": f"Bearer {target.key}"}

    async def asks(client: httpx.AsyncClient) -> None:
        while (number := next(numbers)) < count:
            body = {
                "messages": conversation(f"Where is order {number}?"),
                "max_tokens": 1,
            }
            begun = time.perf_counter()
            try:
                answer = await client.post(f"{target.url}/chat/completions", json=body)
            except httpx.HTTPError as error:
                answers.append(type(error).__name__)
            else:
                took = time.perf_counter() - begun
                good = answer.status_code == 200
                answers.append(took if good else str(answer.status_code))

    async with AsyncExitStack() as stack:
        # httpx looks at all connections of a client for each request.
        clients = [
            await stack.enter_async_context(
                httpx.AsyncClient(headers=headers, trust_env=False, timeout=SECONDS)
            )
            for _ in range(max(1, in_flight // 8))
        ]
        turns = itertools.cycle(clients)
        await asyncio.gather(*(asks(next(turns)) for _ in range(in_flight)))
    return answers


@asynccontextmanager
async def crowd(target: Target, idle: int) -> AsyncIterator[Counter[str]]:
    """Connections that mean no good, for as long as the context is open.

    Args:
        target: Where they are opened.
        idle: How many of them send less than a request.

    Yields:
        What those without the key were answered.
    """
    place = urlsplit(target.url)
    head = f"POST {place.path} HTTP/1.1\r\nHost: localhost\r\n"
    good = f"{head}Authorization: Bearer {target.key}\r\nContent-Length: 9000\r\n\r\n"
    parts = itertools.cycle([b"", head.encode(), good.encode() + b"{"])
    told: Counter[str] = Counter()

    async def holds(sent: bytes) -> None:
        # The server closes it after its limit; then there is another one.
        while True:
            with suppress(OSError):
                reader, writer = await asyncio.open_connection(
                    place.hostname, place.port
                )
                writer.write(sent)
                await reader.read()
                writer.close()

    async def knocks() -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=SECONDS) as client:
            while True:
                try:
                    answer = await client.post(target.url, content=b"x" * 100_000)
                    told[str(answer.status_code)] += 1
                except httpx.HTTPError as error:
                    told[type(error).__name__] += 1

    tasks = [asyncio.create_task(holds(next(parts))) for _ in range(idle)]
    tasks += [asyncio.create_task(knocks()) for _ in range(STRANGERS)]
    await asyncio.sleep(1)
    yield told
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def show(
    target: Target, label: str, answers: list[float | str], seconds: float
) -> None:
    """Prints a row.

    Args:
        target: What was asked.
        label: How.
        answers: What `requests` has returned.
        seconds: What it took.
    """
    times = sorted(answer for answer in answers if isinstance(answer, float))
    errors = Counter(answer for answer in answers if isinstance(answer, str))
    cuts = statistics.quantiles(times, n=100) if len(times) > 1 else [0.0] * 99
    print(
        f"{target.name:<14}{label:<26}{len(answers):6,} requests"
        f"{sum(errors.values()):5} errors {len(answers) / seconds:6.0f}/s"
        f"  p50 {cuts[49] * 1e3:6.0f} ms  p99 {cuts[98] * 1e3:6.0f} ms"
        f"{megabytes(target.pid):7.0f} MB  {dict(errors) or ''}",
        flush=True,
    )


async def rows(target: Target, count: int, idle: int) -> None:
    """Asks one server in all ways.

    Args:
        target: The server.
        count: Requests of each.
        idle: Connections that send less than a request, in the last.
    """
    for in_flight in (8, 64, 256):
        begun = time.perf_counter()
        answers = await requests(target, count, in_flight)
        show(target, f"{in_flight} in flight", answers, time.perf_counter() - begun)
    async with AsyncExitStack() as stack:
        told = await stack.enter_async_context(crowd(target, idle))
        begun = time.perf_counter()
        answers = await requests(target, count, 256)
        label = f"256 beside {idle + STRANGERS} others"
        show(target, label, answers, time.perf_counter() - begun)
        print(f"{'':<14}those without the key were answered {json.dumps(told)}")


def ask(target: Target, count: int, idle: int) -> None:
    """`rows`, in a process of its own."""
    asyncio.run(rows(target, count, idle))


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--idle", type=int, default=600)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as name,
        PolicyProcess.start(make_tiny(Path(name) / "tiny")) as server,
        # The gateway is a thread of this process, so its clients are not in it.
        ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as clients,
    ):
        at = server.endpoint
        pid = server._process.pid
        gateway = Gateway.start()
        gateway.publish(at, at.model, 0)
        gateway.enqueue({"r": TASK}, timeout=3600)
        place = "proxy/rollout/r/attempt/0/mode/val/openai/v1"
        for target in (
            Target("policy server", at.base_url, at.api_key, pid),
            Target("gateway", f"{gateway.url}/{place}", gateway.key, os.getpid()),
        ):
            clients.submit(ask, target, options.requests, options.idle).result()
        gateway.close()


if __name__ == "__main__":
    main()
