"""What fits a device, and which GPU a process sees."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from agentgym.errors import UsageError
from agentgym.policy.engine import free_memory, room
from agentgym.policy.engine.devices import Devices, read_devices, visible_gpu
from agentgym.policy.engine.loading import load
from agentgym.policy.folders.weight_files import parameter_count
from tests.tiny_policy import make_tiny


def test_devices_are_read():
    assert read_devices("sampler=0,trainer=1") == Devices("cuda:0", "cuda:1")
    assert read_devices(" trainer = cpu , sampler=cuda:2") == Devices("cuda:2", "cpu")
    assert read_devices("sampler=auto") == Devices("auto", None)


@pytest.mark.parametrize(
    ("device", "visible", "wanted"),
    [
        ("cuda:1", None, "1"),
        ("cuda:1", "4,6", "6"),
        ("cuda", "4,6", None),
        ("auto", None, None),
        ("cpu", "4,6", ""),
    ],
)
def test_a_process_sees_its_gpu_only(device, visible, wanted):
    assert visible_gpu(device, visible) == wanted


def test_a_gpu_that_is_hidden_is_refused():
    with pytest.raises(UsageError, match="CUDA_VISIBLE_DEVICES=4,6 leaves 2"):
        visible_gpu("cuda:2", "4,6")


def test_what_would_fit_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = make_tiny(tmp_path / "m")
    count = parameter_count(folder)
    assert count == sum(p.numel() for p in load(folder).model.parameters())
    # A tenth is left for what is computed.
    monkeypatch.setattr(room, "free_memory", lambda device: count * 3)
    with pytest.raises(UsageError) as refused:
        load(folder, "cpu")
    text = str(refused.value)
    assert f"the model in {folder} does not fit this machine's memory: its" in text
    assert "give dtype=bfloat16, or use a model of at most" in text
    assert "Traceback" not in text
    assert load(folder, "cpu", "bfloat16").model.dtype == torch.bfloat16
    monkeypatch.setattr(room, "free_memory", lambda device: count)
    with pytest.raises(UsageError, match=r"GB can be used; use a model of at most \d"):
        load(folder, "cpu", "bfloat16")


def test_a_gpu_that_is_too_small_is_named(tmp_path: Path):
    error = room.too_small(
        tmp_path, torch.device("cuda:1"), count=7_600_000_000, each=2.0, free=7.9e9
    )
    assert str(error) == (
        f"the model in {tmp_path} does not fit the GPU cuda:1: its weights take "
        "15.2 GB, and 7.9 GB can be used; use a model of at most 4.0B parameters, or "
        "choose another device, as --agentgym-devices sampler=0,trainer=1"
    )


def test_a_container_may_have_less_than_its_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    device = torch.device("cpu")
    assert free_memory.free_memory(device) > 1 << 20
    (tmp_path / "memory.max").write_text("5000\n")
    (tmp_path / "memory.current").write_text("2000\n")
    monkeypatch.setattr(free_memory, "_CGROUP", tmp_path)
    assert free_memory.free_memory(device) == 3000
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory.free_memory(device) > 1 << 20
    monkeypatch.setattr(free_memory, "_MEMINFO", tmp_path / "none")
    assert free_memory.free_memory(device) == free_memory.UNKNOWN
