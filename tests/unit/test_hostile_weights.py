"""Models that do harm only when they are loaded: each costs one sentence, too."""

from __future__ import annotations

import re
import resource
from pathlib import Path

import pytest

pytest.importorskip("transformers")

import torch
from safetensors.torch import load_file, save_file

from agentgym.errors import UsageError
from agentgym.policy.chat import trial
from agentgym.policy.engine import claimed_size
from agentgym.policy.engine.engine import Engine
from agentgym.policy.engine.loading import load
from agentgym.policy.engine.token_model import load_tokenizer, read_token_model
from tests.hostile_folders import LOADED, TRIED, Change, before_template, copied, edit
from tests.tiny_adapter import make_adapter

pytestmark = pytest.mark.slow


def sentence(check: object, folder: Path) -> str:
    """What a folder is refused with; it steers no terminal."""
    with pytest.raises(UsageError) as error:
        check(folder)  # type: ignore[operator]
    text = str(error.value)
    assert text.isprintable()
    assert len(text) < 1000
    return text


def peak() -> int:
    """Bytes of memory that this process has had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.parametrize(("change", "expected"), LOADED.values(), ids=LOADED)
def test_loading_is_refused(change: Change, expected: str, tmp_path: Path) -> None:
    folder = copied(tmp_path / "model")
    change(folder)
    before = peak()
    assert re.search(expected, sentence(load, folder))
    assert peak() - before < 1_000_000_000


@pytest.mark.parametrize(("change", "expected"), TRIED.values(), ids=TRIED)
def test_a_trial_is_not_survived(change: Change, expected: str, tmp_path: Path) -> None:
    folder = copied(tmp_path / "model")
    change(folder)
    before = peak()
    assert re.search(expected, sentence(load_tokenizer, folder))
    assert re.search(expected, sentence(read_token_model, folder))
    # It is not tried twice, and cost this process nothing.
    assert peak() - before < 100_000_000


def test_a_good_model_is_tried_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "_begun", {})
    load_tokenizer(copied(tmp_path / "model"))
    monkeypatch.setattr(trial.subprocess, "Popen", lambda *_, **__: 1 / 0)
    assert load(copied(tmp_path / "copy")).width == 2048
    other = copied(tmp_path / "other")
    before_template(" ")(other)
    with pytest.raises(ZeroDivisionError):
        load(other)


def test_a_template_that_does_not_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "SECONDS", 2)
    folder = copied(tmp_path / "model")
    loops = "".join(f"{{% for {name} in range(90000) %}}" for name in "abc")
    before_template(loops + "{% endfor %}" * 3)(folder)
    assert re.search(
        "the chat template of the model in .* was not done after 2 s of computing: it "
        "loops, or is not meant to be used",
        sentence(load_tokenizer, folder),
    )


def test_modules_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = copied(tmp_path / "model")
    monkeypatch.setattr(claimed_size, "_MOST_MODULES", 20)
    assert "it describes a model of more than 20 modules, and they are " in sentence(
        load, folder
    )


def test_weights_that_are_no_numbers(tmp_path: Path) -> None:
    folder = copied(tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"] *= torch.nan
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(UsageError, match="its weights give no finite numbers"):
        Engine(load(folder))


def test_a_pattern_of_an_adapter_is_not_tried(tmp_path: Path) -> None:
    """It is somebody's regular expression, and this one would take years."""
    pytest.importorskip("peft")
    from agentgym.training.job.config import TrainingConfig
    from agentgym.training.step.lora import with_lora

    base = copied(tmp_path / "model")
    adapter = make_adapter(base, tmp_path / "adapter", target_modules=["q_proj"])
    edit("adapter_config.json", target_modules="(([a-z0-9_.]+)+)+!")(adapter)
    model = with_lora(load(base).model, TrainingConfig(), adapter)
    adapted = {name for name, module in model.named_modules() if hasattr(module, "r")}
    assert {name.rpartition(".")[2] for name in adapted} == {"q_proj"}
    assert len(adapted) == 5
    edit("adapter_config.json", init_lora_weights="nonsense")(adapter)
    with pytest.raises(UsageError, match="cannot be trained further: "):
        with_lora(load(base).model, TrainingConfig(), adapter)
