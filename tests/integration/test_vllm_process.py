"""A vLLM that is started for a run: watched, and gone when the run is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("httpx")

from agentgym.errors import InfraError, UsageError
from agentgym.policy.server.process import PolicyProcess
from agentgym.policy.vllm_engine.choice import VllmChoice, find_program, rank_for
from agentgym.policy.vllm_engine.vllm_process import VllmProcess, telling_line
from tests.tiny_adapter import make_adapter
from tests.tiny_policy import make_tiny
from tests.vllm_double import program


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny(tmp_path_factory.mktemp("tiny") / "m")


@pytest.fixture
def choice(tmp_path: Path) -> Callable[..., VllmChoice]:
    return lambda *faults: VllmChoice(
        program=program(tmp_path, *faults), log=tmp_path / "vllm.log"
    )


def running(log: Path) -> list[int]:
    """Ids of the processes that have a log open."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            targets = [os.readlink(fd) for fd in (process / "fd").iterdir()]
        except OSError:
            continue
        if str(log) in targets:
            found.append(int(process.name))
    return found


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_it_samples_for_the_policy_server_and_ends_with_it(folder, choice, tmp_path):
    adapter = make_adapter(folder, tmp_path / "adapter")
    vllm = choice()
    with PolicyProcess.start(
        folder, vllm=vllm, adapter=adapter, adapters=tmp_path
    ) as server:
        plain, _ = server.sample([5, 9, 40], 8)
        assert len(plain) == 8
        server.load_adapter("v1", adapter)
        server.load_adapter("v1", adapter)
        server.unload_adapter("v1")
        assert server.trouble() is None
        assert running(vllm.log)
    assert not running(vllm.log)


def test_it_ends_with_a_policy_server_that_is_killed(folder, choice):
    vllm = choice()
    server = PolicyProcess.start(folder, vllm=vllm)
    assert running(vllm.log)
    os.kill(server._process.pid, signal.SIGKILL)
    wait_until(lambda: not running(vllm.log))
    server.stop()


def test_nobody_waits_for_the_start_any_more(folder, choice, tmp_path):
    """Ctrl-C while vLLM loads a model for minutes."""
    slow = tmp_path / "slow"
    slow.write_text("#!/bin/sh\nexec sleep 600\n")
    slow.chmod(0o755)
    vllm = VllmChoice(program=str(slow), log=tmp_path / "vllm.log")
    begun: list[list[int]] = []

    def given_up() -> bool:
        begun.append(running(vllm.log))
        return bool(begun[-1])

    with pytest.raises(InfraError, match="was stopped while it started"):
        PolicyProcess.start(folder, vllm=vllm, given_up=given_up)
    assert begun[-1]
    wait_until(lambda: not running(vllm.log))


def test_too_little_memory_at_its_start(folder, choice):
    vllm = choice("out of memory")
    with pytest.raises(UsageError) as error:
        PolicyProcess.start(folder, vllm=vllm)
    assert str(error.value) == (
        "vLLM ended at its start with exit code 1: ValueError: Free memory on device "
        "cuda:0 (1.2/79.1 GiB) on startup is less than desired GPU memory utilization "
        "(0.6, 47.5 GiB).; if there is too little memory, use a smaller model or a "
        f"device of its own for it (its log is {vllm.log})"
    )


def test_it_dies_in_the_middle(folder, choice):
    vllm = choice("dies")
    with PolicyProcess.start(folder, vllm=vllm) as server:
        with suppress(InfraError):
            server.sample([5], 500)
        # At first it does not answer any more, and may have not ended yet.
        wait_until(lambda: "ended" in (server.trouble() or ""))
        assert server.trouble() == (
            f"vLLM ended with exit code 1: RuntimeError: lost (its log is {vllm.log})"
        )
        with pytest.raises(InfraError, match="vLLM ended with exit code 1: RuntimeErr"):
            server.sample([5], 5)


def test_a_program_that_is_none(folder, tmp_path):
    file = tmp_path / "vllm"
    file.write_text("hello")
    file.chmod(0o755)
    with pytest.raises(UsageError, match=f"^vLLM cannot be started: {file}: Exec form"):
        VllmProcess.start(str(file), folder, rank=8, log=tmp_path / "log")


@pytest.mark.parametrize(
    ("log", "line"),
    [
        ("", ""),
        ("one\n\ntwo\n", "two"),
        (
            "(APIServer pid=1) ERROR 11-28 21:47:24 [core.py:1] "
            "torch.OutOfMemoryError: CUDA out of memory. Tried\n"
            "(APIServer pid=1) RuntimeError: Engine core initialization failed. "
            "See root cause above. Failed core proc(s): {}\n",
            "torch.OutOfMemoryError: CUDA out of memory. Tried",
        ),
        (
            "usage: vllm serve\nvllm serve: error: unrecognized arguments: --x\n",
            "vllm serve: error: unrecognized arguments: --x",
        ),
        ("ImportError: libcudart.so.12: cannot open\nsee there\n", None),
    ],
)
def test_the_line_of_a_log_that_says_why(log, line):
    wanted = log.splitlines()[0] if line is None else line
    assert telling_line(log) == wanted


def test_the_program_is_found(monkeypatch, tmp_path):
    own = program(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("AGENTGYM_VLLM", raising=False)
    assert find_program() == own
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    monkeypatch.setenv("AGENTGYM_VLLM", own)
    assert find_program() == own


def test_ranks_that_vllm_takes(folder, tmp_path):
    assert [rank_for(None, rank) for rank in (1, 8, 9, 300)] == [8, 8, 16, 320]
    adapter = make_adapter(folder, tmp_path / "a", r=24)
    assert rank_for(adapter, 4) == 32
    with pytest.raises(UsageError, match="at most rank 512, not 600: lower lora_rank"):
        rank_for(None, 600)


def test_a_real_signal_reaches_all_of_it(folder, tmp_path):
    """Its own processes, too: what is left behind would hold the GPU."""
    script = tmp_path / "vllm"
    script.write_text("#!/bin/sh\nsleep 600 &\nsleep 600 &\nwait\n")
    script.chmod(0o755)
    code = (
        "import sys; from pathlib import Path\n"
        "from agentgym.policy.vllm_engine.vllm_process import VllmProcess\n"
        "VllmProcess.start(sys.argv[1], Path(sys.argv[2]), rank=8, "
        "log=Path(sys.argv[3]))"
    )
    log = tmp_path / "vllm.log"
    starting = subprocess.Popen(
        [sys.executable, "-c", code, str(script), str(folder), str(log)],
        stderr=subprocess.DEVNULL,
    )
    wait_until(lambda: len(running(log)) == 3)
    starting.send_signal(signal.SIGINT)
    starting.wait(60)
    wait_until(lambda: not running(log))
