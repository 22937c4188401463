"""Models that somebody made to do harm: changes of the embedded model's folder."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from agentgym.policy.folders.embedded import embedded_path

ESCAPE = "\x1b]8;;http://evil.example\x07"
Change = Callable[[Path], object]


def copied(folder: Path) -> Path:
    """A copy of the embedded model: to `check_folder` it is somebody else's."""
    shutil.copytree(embedded_path(), folder)
    return folder


def edit(name: str, **changes: Any) -> Change:
    """Sets fields of a JSON file: a function gets the value, `...` leaves it out."""

    def change(folder: Path) -> None:
        said = read(folder / name)
        for key, value in changes.items():
            said[key] = value(said[key]) if callable(value) else value
            if value is ...:
                del said[key]
        (folder / name).write_text(json.dumps(said))

    return change


def write(name: str, text: str | bytes) -> Change:
    """Replaces a file."""
    content = text.encode() if isinstance(text, str) else text
    return lambda folder: (folder / name).write_bytes(content)


def without(name: str, then: Change = lambda _: None) -> Change:
    """Removes a file, and does something else."""

    def change(folder: Path) -> None:
        (folder / name).unlink()
        then(folder)

    return change


def before_template(text: str) -> Change:
    """Puts Jinja before what the model's template has."""

    def change(folder: Path) -> None:
        file = folder / "chat_template.jinja"
        file.write_text(text + file.read_text())

    return change


def read(file: Path) -> dict[str, Any]:
    """A JSON file."""
    said: dict[str, Any] = json.loads(file.read_text())
    return said


def link(name: str, target: str) -> Change:
    """Puts a link in a file's place."""
    return without(name, lambda folder: (folder / name).symlink_to(target))


def _secret_beside(folder: Path) -> None:
    (folder.parent / "secret").write_text("{}")
    link(TOKENIZER, "../secret")(folder)


def header(change: Callable[[dict[str, Any]], object]) -> Change:
    """Changes the header of the weights."""

    def rewrite(folder: Path) -> None:
        file = folder / "model.safetensors"
        raw = file.read_bytes()
        size = int.from_bytes(raw[:8], "little")
        said = json.loads(raw[8 : 8 + size])
        change(said)
        text = json.dumps(said).encode()
        file.write_bytes(len(text).to_bytes(8, "little") + text + raw[8 + size :])

    return rewrite


def _overlapping(said: dict[str, Any]) -> None:
    # Each tensor claims the largest one's bytes once more.
    tensors = [about for name, about in said.items() if name != "__metadata__"]
    largest = max(tensors, key=lambda about: about["data_offsets"][1])
    said.update({f"more.{i}": largest for i in range(1000)})


def _split(expression: str) -> Callable[[Any], Any]:
    step = {"behavior": "Isolated", "invert": False, "type": "Split"}
    step["pattern"] = {"Regex": expression}
    return lambda old: {"type": "Sequence", "pretokenizers": [step, old]}


def _replacing(found: str, content: str, times: int) -> dict[str, Any]:
    step = {"type": "Replace", "pattern": {"String": found}, "content": content}
    return {"type": "Sequence", "normalizers": [step] * times}


def _with_index(shard: str) -> Change:
    index = {"metadata": {}, "weight_map": {"model.norm.weight": shard}}
    text = json.dumps(index)
    return without("model.safetensors", write("model.safetensors.index.json", text))


CONFIG, TOKENIZER = "config.json", "tokenizer.json"
NOT_OF_THESE = r"config\.json is not the config of the weights beside it: "
SEEN: Mapping[str, tuple[Change, str]] = {
    "hidden_size": (
        edit(CONFIG, hidden_size=10**9),
        NOT_OF_THESE + r"'hidden_size' is 1000000000, and its weights are [0-9,]+ n",
    ),
    "layers": (
        edit(CONFIG, num_hidden_layers=10**6),
        NOT_OF_THESE
        + r"'num_hidden_layers' is 1000000, and its weights are [0-9]+ tensors",
    ),
    "experts": (
        edit(CONFIG, num_local_experts=10**6),
        NOT_OF_THESE + r"'num_local_experts' is 1000000, and at most 10,000 are taken",
    ),
    "inner_model": (
        edit(CONFIG, text_config={"hidden_size": 10**12}),
        NOT_OF_THESE + r"'hidden_size' is 1000000000000",
    ),
    "negative_vocabulary": (
        edit(CONFIG, vocab_size=-5),
        r"config\.json is corrupted: 'vocab_size' is -5: input should be greater",
    ),
    "huge_vocabulary": (
        edit(CONFIG, vocab_size=10**9),
        r"config\.json is corrupted: 'vocab_size' is 1000000000: input should be less",
    ),
    "no_heads": (
        edit(CONFIG, num_attention_heads=0),
        NOT_OF_THESE + "'num_attention_heads' is 0, and should be at least 1",
    ),
    "a_text_for_a_size": (
        edit(CONFIG, hidden_size=ESCAPE),
        NOT_OF_THESE + r"hidden_size is '\\x1b\]8;;http://evil\.example\\x07', and sh",
    ),
    "a_yes_for_a_size": (edit(CONFIG, hidden_size=True), "hidden_size is True, and"),
    "no_type": (edit(CONFIG, model_type=3), r"'model_type' is 3: input should be a"),
    "a_path_for_a_type": (
        edit(CONFIG, model_type="../../etc"),
        r"config\.json is corrupted: 'model_type' is '../../etc': string should match",
    ),
    "a_text_for_an_end": (
        edit(CONFIG, eos_token_id=["two"]),
        r"config\.json is corrupted: 'eos_token_id\.",
    ),
    "weights_elsewhere": (
        edit(CONFIG, transformers_weights="../x.safetensors"),
        r"config\.json is corrupted: 'transformers_weights",
    ),
    "another_config": (
        edit(CONFIG, configuration_files=["config.4.0.0.json"]),
        r"config\.json is corrupted: 'configuration_files\.0' is 'config\.4\.0\.0",
    ),
    "nan": (
        write(CONFIG, '{"model_type": "qwen3", "rms_norm_eps": NaN}'),
        r"config\.json is corrupted: it has nan as 'rms_norm_eps', which is no number",
    ),
    "infinity": (
        write(CONFIG, '{"model_type": "qwen3", "rope": {"rope_theta": [1e999]}}'),
        r"config\.json is corrupted: it has inf as 'rope_theta', which is no number",
    ),
    "twice": (
        write(CONFIG, '{"model_type": "qwen3", "model_type": "llama"}'),
        r"config\.json is corrupted: it has the key 'model_type' twice",
    ),
    "endless_number": (
        write(CONFIG, '{"model_type": ' + "9" * 5000 + "}"),
        r"config\.json is corrupted: it has a huge number",
    ),
    "deep": (
        write(CONFIG, "[" * 100_000),
        r"config\.json is corrupted: it is nested too deeply",
    ),
    "deep_enough": (
        write(CONFIG, '{"a": ' + "[" * 300 + "]" * 300 + "}"),
        r"config\.json is corrupted: it is nested more than 64 levels deep",
    ),
    "a_list": (write(CONFIG, "[1]"), r"config\.json is corrupted: it is \[1\], and no"),
    "no_text": (write(CONFIG, b"\xff\xfe{"), r"config\.json is corrupted: it is not v"),
    "large": (
        write(CONFIG, b" " * 4_000_001),
        r"config\.json has 4,000,001 bytes, and such a file has at most 4,000,000",
    ),
    "a_pipe": (
        without(CONFIG, lambda folder: os.mkfifo(folder / CONFIG)),
        r"is no model folder: it has no config\.json",
    ),
    "a_pipe_of_weights": (
        without(
            "model.safetensors",
            lambda folder: os.mkfifo(folder / "model.safetensors"),
        ),
        r"model\.safetensors is no file but a pipe: put the file there",
    ),
    "a_pipe_of_tokens": (
        without(TOKENIZER, lambda folder: os.mkfifo(folder / TOKENIZER)),
        r"tokenizer\.json is no file but a pipe: put the file there",
    ),
    "a_pipe_of_a_template": (
        without(
            "chat_template.jinja",
            lambda folder: os.mkfifo(folder / "chat_template.jinja"),
        ),
        r"chat_template\.jinja is no file but a pipe: put the file there",
    ),
    "a_device": (
        link("generation_config.json", "/dev/zero"),
        r"generation_config\.json is a link out of its folder, to /dev/zero: put the",
    ),
    "a_link_out": (
        link("tokenizer_config.json", "/etc/hostname"),
        r"tokenizer_config\.json is a link out of its folder, to /etc/hostname: put",
    ),
    "a_link_up": (
        _secret_beside,
        r"tokenizer\.json is a link out of its folder, to /",
    ),
    "a_loop": (link(CONFIG, CONFIG), r"is no model folder: it has no config\.json"),
    "generation_end": (
        edit("generation_config.json", eos_token_id=[[2]]),
        r"generation_config\.json is corrupted: 'eos_token_id\.",
    ),
    "template_is_no_text": (
        write("chat_template.jinja", b"tools \xff"),
        r"chat_template\.jinja is corrupted: it is no UTF-8",
    ),
    "template_is_large": (
        write("chat_template.jinja", "{{ tools }}" + " " * 4_000_000),
        r"chat_template\.jinja has 4,000,011 bytes, and such a file has at most",
    ),
    "tokens_in_a_path": (
        edit("tokenizer_config.json", vocab_file="../../../etc/passwd"),
        r"tokenizer_config\.json is corrupted: 'vocab_file' is '../../../etc/passwd'",
    ),
    "tokens_in_a_file_of_ours": (
        edit("tokenizer_config.json", merges_file="/etc/hostname"),
        r"tokenizer_config\.json is corrupted: 'merges_file' is '/etc/hostname'",
    ),
    "another_tokenizer": (
        edit("tokenizer_config.json", fast_tokenizer_files=["../tokenizer.4.json"]),
        r"'fast_tokenizer_files\.0' is '../tokenizer\.4\.json': it is a path",
    ),
    "an_end_of_no_kind": (
        edit("tokenizer_config.json", eos_token=["<|im_end|>"]),
        r"tokenizer_config\.json is corrupted: 'eos_token\.",
    ),
    "a_template_elsewhere": (
        without(
            "chat_template.jinja",
            edit("tokenizer_config.json", chat_template={"../../x": "{{ tools }}"}),
        ),
        r"tokenizer_config\.json is corrupted: 'chat_template\.",
    ),
    "added_far_away": (
        edit("tokenizer_config.json", added_tokens_decoder={"-1": {"content": "x"}}),
        r"tokenizer_config\.json is corrupted: 'added_tokens_decoder\.-1\.",
    ),
    "an_adapter_too": (
        write("adapter_config.json", '{"base_model_name_or_path": "/etc"}'),
        r"has the files of a LoRA adapter beside a model's \(adapter_config\.json\)",
    ),
    "pickled": (
        without("model.safetensors", write("pytorch_model.bin", b"\x80\x04N.")),
        r"has only pickled weights \('pytorch_model\.bin'\), which can run any code",
    ),
    "ranks": (
        write("shard-00000-model-00001-of-00001.safetensors", b""),
        r"is a checkpoint in several ranks' parts: load it and save it as a model",
    ),
    "shard_elsewhere": (
        _with_index("../../model.safetensors"),
        r"index\.json is corrupted: 'weight_map\.model\.norm\.weight' is '../../model",
    ),
    "shard_is_missing": (
        _with_index("model-00001-of-00002.safetensors"),
        r"has no model-00001-of-00002\.safetensors, which its model\.safetensors\.in",
    ),
    "no_shards": (
        without(
            "model.safetensors",
            write("model.safetensors.index.json", '{"weight_map": {}}'),
        ),
        r"index\.json is corrupted: 'weight_map' is {}: dictionary should have at",
    ),
    "overlapping": (
        header(_overlapping),
        r"model\.safetensors are corrupted: its tensors overlap, or there is a gap",
    ),
    "claimed_bytes": (
        header(lambda said: said["model.norm.weight"].update(shape=[10**12])),
        r"model\.safetensors are corrupted: a tensor has [0-9]+ bytes for another",
    ),
    "cut_off": (
        lambda folder: os.truncate(folder / "model.safetensors", 100_000),
        r"model\.safetensors are corrupted: it has 100000 bytes instead of [0-9]{7}",
    ),
    "a_hole": (
        write("model.safetensors", (2**40).to_bytes(8, "little")),
        r"model\.safetensors are corrupted: its header is cut off",
    ),
    "gguf_with_a_program": (
        without(
            "model.safetensors",
            write("x'; import os; os.system('id') #.gguf", b"GGUF"),
        ),
        r"has only GGUF files, and a policy is loaded from safetensors: name the model",
    ),
}
"""What is refused at the first look, and the sentence."""

TRIED: Mapping[str, tuple[Change, str]] = {
    "expression": (
        edit(TOKENIZER, pre_tokenizer=_split("(q+)+$")),
        r"the tokenizer in .* cannot be loaded: Onig: .*retry-limit",
    ),
    "growing": (
        edit(TOKENIZER, normalizer=_replacing("a", "a" * 1000, 4)),
        r"ended the process that tried it \(SIGABRT\): it is damaged, or takes more",
    ),
    "template_of_gigabytes": (
        before_template("{% set x = 'x' * 4000000000 %}"),
        r"the chat template .* cannot be used for tool calls: it takes too much memory",
    ),
    "template_that_doubles": (
        before_template(
            "{% set n = namespace(x='x' * 1000) %}"
            "{% for i in range(40) %}{% set n.x = n.x ~ n.x %}{% endfor %}"
        ),
        r"the chat template .* cannot be used for tool calls: it takes too much memory",
    ),
}
"""What only a process with limits can find out, and the sentence."""

LOADED: Mapping[str, tuple[Change, str]] = {
    "more_layers": (
        edit(CONFIG, num_hidden_layers=40, layer_types=["full_attention"] * 40),
        NOT_OF_THESE
        + r"it describes a model of [0-9,]+ numbers, and they are [0-9]+ te",
    ),
    "another_type": (
        edit(CONFIG, model_type="qwen3_moe", num_experts=512),
        NOT_OF_THESE + r"it describes a model of [0-9,]+ numbers, and they are [0-9]+ ",
    ),
    "experts_of_another_type": (
        edit(CONFIG, model_type="olmoe", num_experts=10_000),
        NOT_OF_THESE + r"it describes a model of [0-9,]{14} numbers, and they are",
    ),
    "wider": (
        edit(CONFIG, hidden_size=1_900_000),
        r"(cannot be built as its|is not the config of the weights)",
    ),
    "unknown_type": (
        edit(CONFIG, model_type="grok_9000"),
        r"the config in .* cannot be read: The checkpoint you are trying to load",
    ),
    "own_code": (
        edit(CONFIG, model_type="mine", auto_map={"AutoConfig": "code.C"}),
        "needs Python code of its own, which is never run here: use a model that",
    ),
    "no_language": (
        edit(CONFIG, model_type="vit"),
        r"(of no language model|cannot be built as its config\.json says)",
    ),
    "deep_tokenizer": (
        write(TOKENIZER, "[" * 100_000 + "]" * 100_000),
        r"the tokenizer in .* cannot be loaded: ",
    ),
    "empty_tokenizer": (
        write(TOKENIZER, "null"),
        r"the tokenizer in .* cannot be loaded: ",
    ),
    "merges_of_nothing": (
        edit(TOKENIZER, model=lambda m: m | {"merges": [["zzzz", "yyyy"]]}),
        r"the tokenizer in .* cannot be loaded: ",
    ),
    "escaping_token": (
        edit("tokenizer_config.json", eos_token="\x1b[2J"),
        r"has a token with an escape sequence, '\\x1b\[2J': get it from where",
    ),
}
"""What costs memory or an error only when the model is loaded, and the sentence."""
