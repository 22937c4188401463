"""Saved agents: versions, names, and everything that can be wrong with their files."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("peft")

import torch

from agentgym import TrainedAgent, UsageError
from agentgym.commands.main import main
from agentgym.policy.folders.embedded import embedded_path
from agentgym.policy.folders.weights_digest import weights_digest
from agentgym.policy.trained import agent_folder
from agentgym.policy.trained.agent_folder import add_to_card, check_name, save_agent
from agentgym.policy.trained.resolve import Local, resolve
from tests.tiny_adapter import make_adapter
from tests.tiny_policy import make_tiny

CARD: dict[str, Any] = {
    "base": {"spec": "embedded"},
    "scenarios": [
        {"scenario": "test_a.py::test_one", "source": "aa"},
        {"scenario": "test_a.py::test_two", "source": "bb"},
    ],
    "config": {"learning_rate": 0.001},
    "before": {"value": 0.612, "low": 0.57, "high": 0.65},
    "after": {"value": 0.971, "low": 0.953, "high": 0.984},
    "difference": {"value": 0.359, "low": 0.31, "high": 0.405},
    "episodes": 3400,
    "updates": 53,
    "seconds": 730.0,
}


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_adapter(embedded_path(), tmp_path_factory.mktemp("adapter") / "one")


@pytest.fixture
def saved(adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A version's folder, in a project whose subfolder is the current one."""
    folder = save_agent(tmp_path, "support", adapter, CARD)
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    return folder


def rewrite(folder: Path, **fields: Any) -> None:
    file = folder / "agent.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


def test_what_is_saved_is_loaded(saved: Path, adapter: Path, tmp_path: Path) -> None:
    assert saved == tmp_path / ".agentgym/agents/support/v1.0"
    assert sorted(file.name for file in saved.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "agent.json",
    ]
    agent = TrainedAgent.load("support_v1.0")
    assert (agent.name, agent.version, str(agent)) == ("support", "1.0", "support_v1.0")
    assert (agent.base, agent.adapter) == (embedded_path(), saved)
    for file in ("adapter_config.json", "adapter_model.safetensors"):
        assert (agent.adapter / file).read_bytes() == (adapter / file).read_bytes()
    about = json.loads((saved / "agent.json").read_text())
    assert about["format"] == 1
    assert about["base"] == {
        "spec": "embedded",
        "digest": weights_digest(embedded_path()),
    }
    assert about["config"] == CARD["config"]
    assert {"agentgym", "peft", "torch", "transformers"} <= set(about["versions"])
    for ref in ("support", saved, str(saved), saved.parent, str(saved.parent)):
        assert TrainedAgent.load(ref).adapter == saved


def test_the_card(saved: Path) -> None:
    rewrite(saved, created="2026-05-01T10:00:00Z")
    digest = weights_digest(embedded_path())[:12]
    assert TrainedAgent.load("support").card().splitlines() == [
        "agent       support_v1.0, saved 2026-05-01T10:00:00Z",
        f"base model  embedded (sha256 {digest})",
        "scenarios   test_a.py::test_one",
        "            test_a.py::test_two",
        "before      61.2 % (57.0 to 65.0 %) on held-out cases",
        "after       97.1 % (95.3 to 98.4 %) on held-out cases",
        "difference  +35.9 points (+31.0 to +40.5)",
        "training    3,400 episodes, 53 updates, 12.2 min",
    ]


def test_the_card_says_what_the_training_bought(saved: Path) -> None:
    before = {"tokens": 2000, "tool_calls": 2.5, "usd": {"gpt-5": 0.0041}}
    after = {"tokens": 1500, "tool_calls": 2, "usd": {"gpt-5": 0.003}}
    solved = {"before": before, "after": after}
    add_to_card(saved, {"per_passed": solved, "judged_episodes": 4200})
    assert TrainedAgent.load("support").card().splitlines()[-5:] == [
        "per passed  1500 tokens (2000 before)",
        "            2.00 tool calls (2.50 before)",
        "            $0.0030 at the price of gpt-5 ($0.0041 before)",
        "training    3,400 episodes, 53 updates, 12.2 min",
        "judged      4,200 episodes, measurements included: by checks, without a "
        "person to read them",
    ]


def test_the_card_says_which_signs_of_reward_hacking_there_were(saved: Path) -> None:
    sign = {"title": "passes without acting", "scenario": "test_a.py::test_one"}
    add_to_card(saved, {"signs": [sign, sign | {"scenario": None}]})
    assert TrainedAgent.load("support").card().splitlines()[-2:] == [
        "sign        of reward hacking: test_a.py::test_one, passes without acting",
        "sign        of reward hacking: all scenarios together, passes without acting",
    ]


def test_the_card_says_who_judged(
    adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = CARD["scenarios"]
    one = {**one, "judged_by": ["shy", "wise"]}
    save_agent(tmp_path, "judged", adapter, CARD | {"scenarios": [one, two]})
    monkeypatch.chdir(tmp_path)
    card = TrainedAgent.load("judged").card().splitlines()
    assert card[2:4] == [
        "scenarios   test_a.py::test_one (judged by shy, wise)",
        "            test_a.py::test_two",
    ]
    # A judge alone makes no other kind of agent.
    assert save_agent(tmp_path, "judged", adapter, CARD).name == "v1.1"


def test_versions_say_what_an_agent_is_made_of(
    saved: Path, adapter: Path, tmp_path: Path
) -> None:
    def save(**changes: Any) -> str:
        return save_agent(tmp_path, "support", adapter, CARD | changes).name

    assert save() == "v1.1"
    assert save(scenarios=CARD["scenarios"][::-1]) == "v1.2"
    assert save(scenarios=CARD["scenarios"][:1]) == "v2.0"
    assert save(scenarios=CARD["scenarios"][:1]) == "v2.1"
    tiny = make_tiny(tmp_path / "tiny")
    assert save(base={"spec": str(tiny)}) == "v3.0"
    assert save() == "v4.0"
    # Versions are numbers, not texts.
    shutil.copytree(saved, saved.parent / "v4.10")
    rewrite(saved.parent / "v4.10", version="4.10")
    assert TrainedAgent.load("support").version == "4.10"
    assert save() == "v4.11"
    # A card that nobody can read is no reason to lose a training.
    (saved.parent / "v4.11" / "agent.json").write_text("{")
    assert save() == "v5.0"


def test_savers_at_the_same_time_get_versions_of_their_own(
    adapter: Path, tmp_path: Path
) -> None:
    with ThreadPoolExecutor(8) as pool:
        folders = list(
            pool.map(lambda _: save_agent(tmp_path, "busy", adapter, CARD), range(8))
        )
    assert sorted(folder.name for folder in folders) == [f"v1.{i}" for i in range(8)]
    assert len(list((tmp_path / ".agentgym/agents/busy").iterdir())) == 8
    for folder in folders:
        assert f"v{TrainedAgent.load(folder).version}" == folder.name


def test_an_interrupted_save_leaves_no_version(
    saved: Path, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Killed between any two steps: what is left is never taken for a version.
    code = (
        "import os, sys, pathlib\n"
        "from agentgym.policy.trained import agent_folder as a\n"
        "left = [int(sys.argv[3])]; flush = a._flush\n"
        "def step(path):\n"
        "    left[0] -= 1\n"
        "    flush(path) if left[0] else os._exit(9)\n"
        "a._flush = step\n"
        f"card = {CARD!r}\n"
        "a.save_agent(pathlib.Path(sys.argv[1]), 'support', pathlib.Path(sys.argv[2]),"
        " card)"
    )
    for steps in (1, 2, 4):
        command = [sys.executable, "-c", code, str(tmp_path), str(adapter), str(steps)]
        assert subprocess.run(command).returncode == 9
    # Each save removes what the killed one before it has left.
    assert len(list(saved.parent.iterdir())) == 2
    assert TrainedAgent.load("support").version == "1.0"
    with monkeypatch.context() as patch:
        patch.setattr(agent_folder, "_publish", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            save_agent(tmp_path, "support", adapter, CARD)
    assert list(saved.parent.iterdir()) == [saved]
    assert save_agent(tmp_path, "support", adapter, CARD).name == "v1.1"


@pytest.mark.parametrize("name", ["a", "customer_support", "Shop-2.b", "v1", "x_v"])
def test_good_names(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("", "'' cannot be an agent's name: use at most 100 letters"),
        ("a/b", "'a/b' cannot be an agent's name: use"),
        ("..", r"'\.\.' cannot be an agent's name: use"),
        ("../up", "cannot be an agent's name: use"),
        ("/tmp/x", "cannot be an agent's name: use"),
        (".hidden", "cannot be an agent's name: use"),
        ("-option", "cannot be an agent's name: use"),
        ("dot.", "cannot be an agent's name: use"),
        ("two words", "cannot be an agent's name: use"),
        ("line\n", "cannot be an agent's name: use"),
        ("x" * 101, "cannot be an agent's name: use"),
        ("support_v1.2", "it ends like a version"),
        ("support_v1", "it ends like a version"),
        ("embedded", "it is the model that comes with agentgym"),
    ],
)
def test_bad_names(name: str, sentence: str, adapter: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=sentence):
        save_agent(tmp_path, name, adapter, CARD)
    assert not any(tmp_path.iterdir())


def test_what_cannot_be_saved(adapter: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"the adapter folder .* does not exist"):
        save_agent(tmp_path, "support", tmp_path / "nowhere", CARD)
    (tmp_path / ".agentgym").write_text("in the way")
    with pytest.raises(UsageError, match=r"cannot be saved in .*: Not a directory"):
        save_agent(tmp_path, "support", adapter, CARD)


def test_refs_that_lead_nowhere(saved: Path, tmp_path: Path) -> None:
    shutil.copytree(saved.parent, tmp_path / ".agentgym/agents/other")
    empty = tmp_path / "empty"
    empty.mkdir()
    for ref, root, sentence in (
        ("nobody", None, r"no trained agent 'nobody' in .* or a folder above it: "),
        ("nobody", None, "above it: there is other_v1.0, support_v1.0$"),
        ("support_v7.1", None, "'support' has no version 7.1: there is support_v1.0$"),
        ("no/such", None, "no/such is no trained agent: there is no such folder"),
        (empty, None, r"empty is no trained agent: it has no agent\.json"),
        ("../up", None, "is no trained agent"),
        ("", None, "is no trained agent"),
        ("long" * 80, None, "is no trained agent: there is no such folder"),
    ):
        with pytest.raises(UsageError, match=sentence):
            TrainedAgent.load(ref, root)
    assert TrainedAgent.load("support", empty).adapter == saved


def test_nothing_is_saved_yet(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="or a folder above it: none is saved yet"):
        TrainedAgent.load("support", tmp_path)


def test_broken_files_get_a_sentence(saved: Path) -> None:
    weights = saved / "adapter_model.safetensors"
    whole, card = weights.read_bytes(), (saved / "agent.json").read_bytes()

    def refused(sentence: str) -> None:
        with pytest.raises(UsageError, match=sentence):
            TrainedAgent.load("support")
        weights.write_bytes(whole)
        (saved / "agent.json").write_bytes(card)

    weights.write_bytes(whole[:-100])
    refused(r"adapter_model\.safetensors are corrupted: it has \d+ bytes instead of")
    weights.write_bytes(b"")
    refused(r"adapter_model\.safetensors are corrupted: its header is cut off")
    weights.unlink()
    torch.save({"a": torch.ones(2)}, saved / "adapter_model.bin")
    refused(r"adapter_model\.bin are pickled, which can run any code")
    for text, sentence in (
        ("{", r"agent\.json is corrupted: "),
        ("[1]", r"agent\.json is corrupted: "),
        ("{}", r"agent\.json is corrupted: it has no 'format'"),
    ):
        (saved / "agent.json").write_text(text)
        refused(sentence)
    rewrite(saved, format=2)
    refused(r"has format 2, which this version of agentgym cannot read: update")
    rewrite(saved, base={"spec": "embedded", "digest": 3})
    refused("is corrupted: 'base.digest' is 3: input should be a valid string")
    (saved / "agent.json").unlink()
    refused(r"agent\.json cannot be read: No such file")


def test_the_base_model_must_be_the_same(
    saved: Path, adapter: Path, tmp_path: Path
) -> None:
    base = tmp_path / "model"
    shutil.copytree(embedded_path(), base)
    save_agent(tmp_path, "own", adapter, CARD | {"base": {"spec": "../model"}})
    agent = TrainedAgent.load("own")
    assert agent.base == base
    weights = base / "model.safetensors"
    changed = bytearray(weights.read_bytes())
    changed[-1] ^= 1
    weights.write_bytes(changed)
    with pytest.raises(UsageError, match=r"own_v1\.0 was trained on another base"):
        TrainedAgent.load("own")
    shutil.rmtree(base)
    with pytest.raises(UsageError, match=r"the base model of own_v1\.0 is missing"):
        TrainedAgent.load("own")
    # No file system has such a name.
    card = tmp_path / ".agentgym/agents/own/v1.0/agent.json"
    said = json.loads(card.read_text())
    said["base"]["spec"] = f"../{'m' * 300}"
    card.write_text(json.dumps(said))
    with pytest.raises(UsageError, match=r"is missing: .*mmm does not exist"):
        TrainedAgent.load("own")


def test_a_policy_option_may_name_a_trained_agent(
    saved: Path, adapter: Path, tmp_path: Path
) -> None:
    expected = Local(embedded_path(), saved, "support_v1.0")
    for spec in ("support", "support_v1.0", str(saved), str(saved.parent)):
        assert resolve(spec) == expected
    # A folder with a version of something else is none.
    Path("data/v1.0").mkdir(parents=True)
    assert resolve("data") == Local(Path("data"))
    # The scenarios' folder has the name of the agent, and is no model.
    Path("support").mkdir()
    assert resolve("support") == expected
    model = make_tiny(Path("support"))
    assert resolve("support") == Local(model)
    assert resolve("embedded") == Local(embedded_path())
    with pytest.raises(
        UsageError, match=r'nor "embedded" nor a trained agent, nor OWNER/NAME'
    ):
        resolve("nobody_v1.0")
    with pytest.raises(UsageError, match=r"'support' has no version 3\.0"):
        resolve("support_v3.0")
    save_agent(tmp_path / "elsewhere", "far", adapter, CARD)
    assert resolve("far", root=tmp_path / "elsewhere").name == "far_v1.0"
    with pytest.raises(UsageError):
        resolve("far")
    (saved / "agent.json").write_text("{")
    with pytest.raises(UsageError, match=r"agent\.json is corrupted"):
        resolve("support_v1.0")


def test_loading_imports_neither_torch_nor_peft(saved: Path) -> None:
    code = (
        "import sys, agentgym; print(agentgym.TrainedAgent.load('support').card());"
        "print([m for m in ('torch', 'peft', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


# The command.


def test_agents_are_listed_shown_and_deleted(
    saved: Path, adapter: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = saved.parents[3]
    save_agent(root, "support", adapter, CARD)
    # What is nearer hides its namesake above; what is damaged hides nothing.
    near = save_agent(root / "sub", "billing", adapter, CARD)
    save_agent(root, "billing", adapter, CARD)
    (saved.parent / "v1.1" / "agent.json").write_text("{")
    assert main(["agents"]) == 0
    told = capsys.readouterr()
    heading, *rows = [line.split() for line in told.out.splitlines()]
    assert heading == ["agent", "before", "after", "saved", "base", "model"]
    assert [row[0] for row in rows] == ["billing_v1.0", "support_v1.0"]
    assert told.err.startswith("agentgym: ")
    assert "v1.1/agent.json is corrupted" in told.err

    assert main(["agents", "show", "support_v1.0"]) == 0
    told = capsys.readouterr()
    assert told.out.splitlines()[-1] == f"folder      {saved}"
    assert main(["agents", "show", "suport_v1.0"]) == 4
    assert "above it: did you mean support_v1.0?" in capsys.readouterr().err

    for name, sentence in (
        ("support", "support: give the version, too, and not a path; there is bil"),
        (str(saved), "give the version, too, and not a path"),
        ("support_v1.0", "deleting support_v1.0 needs --yes: nobody can be asked"),
        ("support_v7.0", "has no version 7.0"),
    ):
        assert main(["agents", "delete", name]) == 4
        assert sentence in capsys.readouterr().err
    assert main(["agents", "delete", "support_v1.0", "--yes"]) == 0
    assert capsys.readouterr().out == f"deleted {saved}\n"
    assert [folder.name for folder in saved.parent.iterdir()] == ["v1.1"]
    assert main(["agents", "delete", "billing_v1.0", "--yes"]) == 0
    assert not near.parent.exists()


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("", 1), ("no", 1)])
def test_a_person_is_asked(
    saved: Path, monkeypatch: pytest.MonkeyPatch, answer: str, code: int
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal(answer + "\n"))
    assert main(["agents", "delete", "support_v1.0"]) == code
    assert saved.exists() == (code == 1)


def test_no_agent_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["agents", "list"]) == 0
    assert capsys.readouterr().out.startswith("no trained agent is saved in ")
