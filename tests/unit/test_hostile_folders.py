"""Folders of models and agents that somebody else made cost one sentence."""

from __future__ import annotations

import json
import os
import re
import resource
from pathlib import Path
from random import Random
from typing import Any

import pytest

pytest.importorskip("pydantic")

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentgym.commands import agent_commands
from agentgym.commands.main import main
from agentgym.errors import UsageError
from agentgym.policy.folders.model_folder import check_folder
from agentgym.policy.folders.weight_files import parameter_count, read_held
from agentgym.policy.trained.agent_folder import base_folder, saved_agents
from agentgym.policy.trained.card import card_text, read_card
from agentgym.policy.trained.trained_prompt import TrainedPrompt
from tests.hostile_folders import ESCAPE, SEEN, Change, copied
from tests.mutations import mutate_bytes, mutate_json

unhurried = settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copied(tmp_path_factory.mktemp("model") / "whole")


def sentence_of(check: Any, *args: Any) -> str | None:
    """What a check refuses something with, which steers no terminal; None if it not."""
    try:
        check(*args)
    except UsageError as error:
        text = str(error)
    else:
        return None
    assert text.isprintable()
    assert len(text) < 1000
    return text


def refused(check: Any, *args: Any) -> str:
    """The sentence of a check that refuses something."""
    text = sentence_of(check, *args)
    assert text is not None
    return text


def test_a_good_folder(model: Path) -> None:
    check_folder(model)
    assert parameter_count(model) == read_held(model).numbers == 4_296_064


@pytest.mark.parametrize(("change", "sentence"), SEEN.values(), ids=SEEN)
def test_a_folder_is_refused(change: Change, sentence: str, tmp_path: Path) -> None:
    folder = copied(tmp_path / "model")
    change(folder)
    text = refused(check_folder, folder)
    assert re.search(sentence, text)
    assert "os.system" not in text
    # Who asks for the size of such a model gets an answer, too.
    parameter_count(folder)


MUTATED = ("config.json", "generation_config.json", "tokenizer_config.json")


@unhurried
@given(st.sampled_from(MUTATED), st.randoms(use_true_random=False))
def test_json_of_anything(model: Path, name: str, random: Random) -> None:
    check_damaged(model, name, mutate_json((model / name).read_text(), random).encode())


@unhurried
@given(
    st.sampled_from((*MUTATED, "model.safetensors", "chat_template.jinja")),
    st.randoms(use_true_random=False),
)
def test_bytes_of_anything(model: Path, name: str, random: Random) -> None:
    check_damaged(model, name, mutate_bytes((model / name).read_bytes(), random))


def check_damaged(model: Path, name: str, content: bytes) -> None:
    """With this in a file's place, the folder is good or refused in one line."""
    whole = (model / name).read_bytes()
    try:
        (model / name).write_bytes(content)
        sentence_of(check_folder, model)
        parameter_count(model)
    finally:
        (model / name).write_bytes(whole)


def test_nothing_large_is_made_of_a_file(tmp_path: Path) -> None:
    folder = copied(tmp_path / "model")
    file = folder / "tokenizer_config.json"
    file.write_bytes(b'{"a": [' + b"[]," * 7_000_000 + b"1]}")
    before = peak()
    assert "it has more than 1,000,000 lists and objects" in refused(
        check_folder, folder
    )
    assert peak() - before < 100_000_000
    # A hole in the file: it takes no room on the disk.
    with file.open("wb") as stream:
        stream.truncate(2**40)
    assert "has 1,099,511,627,776 bytes, and such a" in refused(check_folder, folder)
    assert peak() - before < 100_000_000


def peak() -> int:
    """Bytes of memory that this process has had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


# What may stay.


def test_the_hubs_cache_links_to_its_blobs(tmp_path: Path) -> None:
    cache = tmp_path / "models--acme--tiny"
    folder = copied(cache / "snapshots" / ("a" * 40))
    (cache / "blobs").mkdir()
    for file in list(folder.iterdir()):
        file.rename(cache / "blobs" / file.name)
        file.symlink_to(f"../../blobs/{file.name}")
    check_folder(folder)
    (cache / "blobs" / "tokenizer.json").unlink()
    (cache / "blobs" / "tokenizer.json").symlink_to("/etc/hostname")
    assert "is a link out of its folder" in refused(check_folder, folder)


def test_links_within_a_folder_and_to_it_are_followed(tmp_path: Path) -> None:
    folder = copied(tmp_path / "model")
    (folder / "model.safetensors").rename(folder / "weights")
    (folder / "model.safetensors").symlink_to("weights")
    (tmp_path / "other").symlink_to("model")
    check_folder(tmp_path / "other")


def test_a_model_in_shards(tmp_path: Path) -> None:
    folder = copied(tmp_path / "model")
    (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
    names = dict.fromkeys(("a", "b"), "model-00001-of-00001.safetensors")
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": names}))
    check_folder(folder)
    assert parameter_count(folder) == 4_296_064


@pytest.mark.parametrize(
    ("name", "said"),
    [
        # Where a tokenizer's files were once is in many public models.
        ("tokenizer_config.json", {"special_tokens_map_file": "/home/them/x.json"}),
        ("tokenizer_config.json", {"model_max_length": 10**30, "pad_token": None}),
        ("config.json", {"time_step_limit": [0.0, float("inf")], "pad_token_id": -1}),
        ("config.json", {"auto_map": {"AutoConfig": "x.Y"}, "rope_theta": 10**10}),
        ("config.json", {"eos_token_id": [1, 2], "n_inner": None}),
        ("config.json", {"num_key_value_heads": [3, 3, 3, 3]}),
    ],
)
def test_what_public_models_have(name: str, said: Any, tmp_path: Path) -> None:
    folder = copied(tmp_path / "model")
    file = folder / name
    file.write_text(json.dumps(json.loads(file.read_text()) | said))
    check_folder(folder)


# Cards of trained agents.

CARD: dict[str, Any] = {
    "format": 1,
    "name": "support",
    "version": "1.0",
    "base": {"spec": "embedded", "digest": "0" * 64},
    "scenarios": [{"scenario": "test_a.py::test_one", "judged_by": ["shy"]}],
    "config": {"dtype": "auto", "chat_template_kwargs": {"thinking": False}},
    "before": {"value": 0.5, "low": 0.4, "high": 0.6},
    "after": {"value": 0.9, "low": 0.8, "high": None},
    "difference": {"value": 0.4},
    "prompt": {"system": "Help.\n", "tools": [{"name": "refund", "parameters": {}}]},
    "per_passed": {
        "before": None,
        "after": {"tokens": 3, "tool_calls": 2.0, "usd": {"gpt-5": 0.1}},
    },
    "episodes": 30,
    "seconds": 3.5,
}


def written(folder: Path, said: Any) -> Path:
    folder.mkdir(exist_ok=True)
    text = said if isinstance(said, str) else json.dumps(said)
    (folder / "agent.json").write_text(text)
    return folder


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"name": "../../x"}, "'name' is '../../x': string should match pattern"),
        ({"name": ESCAPE}, r"'name' is '\x1b]8;;http://evil.example\x07': string sh"),
        ({"name": "a\n"}, r"'name' is 'a\n': string should match pattern"),
        ({"version": "1.0/../.."}, "'version' is '1.0/../..': string should match"),
        ({"version": "1" * 20 + ".0"}, "'version' is '11111111111111111111.0'"),
        ({"version": 1.0}, "'version' is 1.0: input should be a valid string"),
        ({"base": None}, "'base' is None: input should be a valid dictionary"),
        ({"base": {"spec": "embedded"}}, "it has no 'base.digest'"),
        (
            {"base": {"spec": "\x1b[2J", "digest": "0" * 64}},
            r"'base.spec' is '\x1b[2J': it has characters that steer a terminal",
        ),
        (
            {"base": {"spec": "a/b", "digest": "0" * 64, "revision": "main"}},
            "'base.revision' is 'main': string should match pattern",
        ),
        ({"created": "now\r\n::error::"}, r"'created' is 'now\r\n::error::': it has"),
        ({"scenarios": "all"}, "'scenarios' is 'all': input should be a valid list"),
        ({"scenarios": [{}]}, "it has no 'scenarios.0.scenario'"),
        (
            {"scenarios": [{"scenario": "\u202egnp.exe"}]},
            r"'scenarios.0.scenario' is '\u202egnp.exe': it has characters that steer",
        ),
        ({"before": {"value": "all"}}, "'before.value' is 'all': input should be a"),
        ({"after": {"value": float("nan")}}, "it has nan as 'value', which is no num"),
        ({"after": {"value": float("inf")}}, "it has inf as 'value', which is no num"),
        ({"difference": []}, "'difference' is []: input should be a valid dictionary"),
        ({"episodes": -1}, "'episodes' is -1: input should be greater than or equal"),
        ({"seconds": 10**400}, "'seconds' is 1000000"),
        ({"per_passed": {"after": {}}}, "it has no 'per_passed.after.tokens'"),
        ({"prompt": {"tools": [{}]}}, "it has no 'prompt.tools.0.name'"),
        ({"config": None}, "'config' is None: input should be a valid dictionary"),
        (
            {"config": {"chat_template_kwargs": {"a": "x" * 200_000}}},
            "it has more than 10,000 characters",
        ),
        ({"format": True}, "'format' is True: input should be a valid integer"),
    ],
)
def test_a_card_is_refused(change: Any, sentence: str, tmp_path: Path) -> None:
    folder = written(tmp_path / "it", CARD | change)
    text = refused(read_card, folder)
    assert text.startswith(f"{folder}/agent.json is corrupted: ")
    assert sentence in text


def test_a_newer_card_is_told(tmp_path: Path) -> None:
    folder = written(tmp_path / "it", {"format": 2, "name": 3})
    assert "has format 2, which this version of agentgym cannot read" in refused(
        read_card, folder
    )


@unhurried
@given(st.randoms(use_true_random=False))
def test_a_card_of_anything(tmp_path: Path, random: Random) -> None:
    text = json.dumps(CARD)
    if random.random() < 0.7:
        text = mutate_json(text, random)
    else:
        raw = mutate_bytes(text.encode(), random)
        text = raw.decode("utf-8", "replace")
    folder = written(tmp_path / "it", text)
    if sentence_of(read_card, folder) is not None:
        return
    # What is let pass can be used.
    about = read_card(folder)
    shown = card_text("support_v1.0", about)
    assert shown.replace("\n", "").isprintable()
    TrainedPrompt.of("support_v1.0", about).crew()
    list_row(about)


def list_row(about: dict[str, Any]) -> None:
    """What the list of agents reads of a card."""
    for key in ("before", "after"):
        agent_commands._share(about.get(key))


def test_folders_of_agents_with_odd_names_are_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("\x1b[2J", "a b", "..x", "x" * 200, "good"):
        for version in ("v1.0", "v1.0\n", "v" + "9" * 20 + ".0", "v\u0663.0"):
            folder = tmp_path / ".agentgym/agents" / name / version
            folder.mkdir(parents=True)
            written(folder, CARD)
    assert list(saved_agents()) == ["good_v1.0"]
    assert main(["agents"]) == 0
    assert [line[:9] for line in capsys.readouterr().out.splitlines()[1:]] == [
        "good_v1.0"
    ]
    for ref in ("../../x", "good_v1.1", "\x1b[2J", "v" + "9" * 5000, "..", "a\x00b"):
        assert main(["agents", "show", ref]) == 4
        text = capsys.readouterr().err
        assert text.startswith("agentgym: ")
        assert text.rstrip("\n").isprintable()


def test_a_card_may_be_no_pipe_and_no_link(tmp_path: Path) -> None:
    folder = written(tmp_path / "it", CARD)
    (folder / "agent.json").unlink()
    os.mkfifo(folder / "agent.json")
    assert "is no file but a pipe" in refused(read_card, folder)
    (folder / "agent.json").unlink()
    (folder / "agent.json").symlink_to("/etc/passwd")
    assert "is a link out of its folder" in refused(read_card, folder)


def test_a_base_models_name_is_no_more_than_one() -> None:
    for spec in ("a/b@main", "../../b", "a b/c", "a/b/c"):
        base = {"spec": spec, "digest": "0" * 64, "revision": "a" * 40}
        assert "is no name of a model of the Hugging" in refused(base_folder, base)
