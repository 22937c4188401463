"""A project whose scenarios a runner elsewhere plays, and who stands around it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

from agentgym.training.hub.gateway import Gateway

CONFTEST = """
import os
import pytest
from openai import OpenAI


@pytest.fixture
def agent(policy):
    def reply(message):
        with OpenAI(base_url=policy.base_url, api_key=policy.api_key) as client:
            messages = [{"role": "user", "content": message}]
            made = client.chat.completions.create(
                model=policy.model, messages=messages, max_tokens=8
            )
        return made.choices[0].message.content or ""

    return reply


@pytest.fixture
def broken():
    raise RuntimeError("no database")
"""
SCENARIOS = """
import random
from agentgym import scenario


@scenario
def test_half_passes(agent, case):
    assert isinstance(agent.run(f"hello {case.seed}").reply, str)
    # A measurement comes to the same each time; what is learned from does not.
    held_out = case.split == "held_out"
    assert case.index % 2 if held_out else random.random() < 0.5


@scenario
def test_never_passes(agent):
    assert "xenoglossy" in agent.run("hello").reply


@scenario
def test_has_no_world(agent, broken):
    assert agent.run("hello").reply
"""


def write_project(folder: Path) -> Path:
    """Writes it, and returns its folder."""
    folder.mkdir(exist_ok=True)
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_it.py").write_text(SCENARIOS)
    return folder


@contextmanager
def worker(
    project: Path,
    hub: Gateway | None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[str]]:
    """A runner process of the project, which is ended if it has not."""
    where = {} if hub is None else {"AGENTGYM_GATEWAY": hub.url, "AGL_KEY": hub.key}
    process = subprocess.Popen(
        [sys.executable, "-m", "agentgym.cluster.worker"],
        cwd=project,
        env={**os.environ, **where, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


@contextmanager
def agl_server(log: Path) -> Iterator[tuple[subprocess.Popen[bytes], str, str]]:
    """Agent Lightning's own server as a process; its address and its key."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url, key = f"http://127.0.0.1:{port}", "agl-key"
    command = [sys.executable, "-m", "agentlightning.server", "host=127.0.0.1"]
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [*command, f"port={port}", f"key={key}"],
            cwd=log.parent,
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
        try:
            end = time.monotonic() + 120
            while True:
                try:
                    httpx.get(f"{url}/healthz", trust_env=False).raise_for_status()
                    break
                except httpx.HTTPError:
                    assert process.poll() is None, log.read_text()
                    assert time.monotonic() < end
                    time.sleep(0.1)
            yield process, url, key
        finally:
            process.kill()
            process.wait()
