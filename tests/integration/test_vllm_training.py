"""A real training whose episodes are sampled by what answers as vLLM does."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("agentlightning")
pytest.importorskip("langchain")

from agentgym.policy.folders.embedded import embedded_path
from tests.integration.test_training import Project
from tests.summary_schema import check_summary
from tests.tiny_policy import make_tiny
from tests.vllm_double import VllmDouble, program

pytestmark = pytest.mark.slow


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path, "test_refunds.py")


@pytest.fixture
def double() -> Iterator[VllmDouble]:
    with VllmDouble(embedded_path()).serving() as double:
        yield double


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    output, _ = process.communicate(timeout=400)
    return process.returncode, output


def test_a_server_of_the_user_that_falls_silent(project, double, tmp_path):
    """The training says so and ends; it is gone on with when the server is back."""
    share = tmp_path / "share"
    options = [f"--agentgym-policy={double.url}#base", "--agentgym-updates=2"]
    options += [f"--agentgym-adapter-dir={share}", "customer_support"]
    process = project.start(*options)
    project.wait_for_update(process)
    double.faults.add("silent")
    code, output = finish(process)
    assert code == 4, output
    said = " ".join(output.split())
    assert f"vLLM at {double.url} does not answer: " in said
    assert "; start it again, and go on with --agentgym-resume" in said
    assert "Traceback" not in output

    double.faults.clear()
    run = project.runs[-1].name
    code, output = project.run(f"--agentgym-resume={run}", "customer_support")
    assert code in (0, 1), output
    summary = json.loads((project.runs[-1] / "summary.json").read_text())
    check_summary(summary)
    assert summary["training"]["updates"] == 2
    mismatch = summary["training"]["mismatch"]
    assert mismatch["engine"] == "vllm"
    assert 0 < mismatch["mean"] <= mismatch["max"] < 1e-3
    assert mismatch["corrected_share"] == 0
    assert "sampled    by vLLM, whose log-probabilities differ" in output
    names = {
        asked["lora_name"]
        for path, asked in double.requests
        if path == "/v1/load_lora_adapter" and asked["lora_name"]
    }
    assert {name.rpartition("-")[0] for name in names} == {
        "policy-v0",
        "policy-v1",
        "policy-v2",
    }
    assert not double.lora, "another's server goes on without our adapters"
    assert not list(share.iterdir())


def test_a_server_of_ours_that_dies_is_started_again(project, monkeypatch, tmp_path):
    monkeypatch.setenv("AGENTGYM_VLLM", program(tmp_path))
    process = project.start(
        "--agentgym-engine=vllm", "--agentgym-updates=2", "customer_support"
    )
    project.wait_for_update(process)
    found = subprocess.run(
        ["pgrep", "-f", f"vllm_double serve {embedded_path()}"],
        capture_output=True,
        text=True,
        check=True,
    )
    for pid in found.stdout.split():
        subprocess.run(["kill", "-9", pid], check=False)
    code, output = finish(process)
    assert code in (0, 1), output
    assert "vLLM ended with SIGKILL: " in " ".join(output.split())
    assert "the policy server had died; it was started again" in output
    assert [row["update"] for row in project.lines("updates.jsonl")] == [1, 2]
    assert (project.runs[-1] / "vllm.log").exists()
    left = subprocess.run(found.args, capture_output=True, check=False)
    assert left.returncode == 1


def test_ctrl_c_while_vllm_starts(project, monkeypatch, tmp_path):
    slow = tmp_path / "slow"
    slow.write_text("#!/bin/sh\nexec sleep 600\n")
    slow.chmod(0o755)
    monkeypatch.setenv("AGENTGYM_VLLM", str(slow))
    process = project.start("--agentgym-engine=vllm", "customer_support")
    while not (project.runs and (project.runs[-1] / "vllm.log").exists()):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    code, output = finish(process)
    assert code == 2, output
    log = str(project.runs[-1] / "vllm.log")
    assert not _open(log)


def test_another_base_model_than_the_one_that_is_trained(project, double, tmp_path):
    double.root = str(make_tiny(tmp_path / "tiny"))
    code, output = project.run(f"--agentgym-policy={double.url}", "customer_support")
    assert code == 4, output
    said = " ".join(output.split())
    assert f"vLLM serves another base model than the one in {double.root}" in said
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (
            "rank",
            "takes adapters of at most rank 8, and this one has 16: start it with",
        ),
        ("no lora", "serves no adapters: start it with --enable-lora"),
        ("cannot read", "cannot read the adapter's folder "),
        ("other ids", "returned other token ids than it gave log-probabilities for"),
    ],
)
def test_what_cannot_be_trained_on_ends_it(project, double, fault, sentence):
    double.faults.add(fault)
    if fault == "rank":
        double.max_rank = 8
    code, output = project.run(f"--agentgym-policy={double.url}", "customer_support")
    assert code == 4, output
    assert sentence in " ".join(output.split())
    assert "Traceback" not in output


def _open(log: str) -> list[Path]:
    found = []
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if str(link.readlink()) == log:
                found.append(link)
        except OSError:
            continue
    return found
