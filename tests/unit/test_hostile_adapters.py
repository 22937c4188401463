"""Adapters that somebody else made cost one sentence, whatever is in their files."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pydantic")

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from agentgym.errors import UsageError
from agentgym.policy.folders.adapter_folder import CONFIG, WEIGHTS, check_adapter
from agentgym.policy.folders.safetensors_header import read_shapes

KEY = "base_model.model.{}.lora_{}.weight"
GOOD = {"peft_type": "LORA", "r": 2, "lora_alpha": 8}
unhurried = settings(
    deadline=None,
    max_examples=300,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def header(**changes: Any) -> dict[str, Any]:
    """Of a good adapter of one module, 3 to 5."""
    made = {
        KEY.format("up", "A"): tensor([2, 3], 0, 24),
        KEY.format("up", "B"): tensor([5, 2], 24, 64),
    }
    return made | changes


def tensor(shape: Any, begin: Any, end: Any, dtype: Any = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def write(folder: Path, config: Any, about: Any, numbers: int = 64) -> Path:
    folder.mkdir(exist_ok=True)
    text = config if isinstance(config, bytes) else json.dumps(config).encode()
    (folder / CONFIG).write_bytes(text)
    if not isinstance(about, bytes):
        head = json.dumps(about).encode()
        about = len(head).to_bytes(8, "little") + head + bytes(numbers)
    (folder / WEIGHTS).write_bytes(about)
    return folder


def check(folder: Path) -> None:
    """It is good, or refused in one short line that steers no terminal."""
    try:
        adapter = check_adapter(folder)
    except UsageError as error:
        text = str(error).replace(str(folder), "")
        assert text.isprintable()
        assert len(text) < 600
        return
    assert math.isfinite(adapter.scale)
    numbers = sum(
        rank * (outputs + inputs) for outputs, rank, inputs in adapter.modules.values()
    )
    # What is made room for is no more than what there is.
    assert numbers <= (folder / WEIGHTS).stat().st_size


def test_a_good_one(tmp_path):
    adapter = check_adapter(write(tmp_path / "it", GOOD, header()))
    assert (adapter.scale, adapter.modules) == (4.0, {"up": (5, 2, 3)})


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(
        ["\x1b]8;;http://evil.example\x07", "../../etc/passwd", "LORA", 10**400]
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
names = st.sampled_from([*GOOD, "use_dora", "bias", "init_lora_weights", "use_rslora"])


@unhurried
@given(st.dictionaries(names, json_values, max_size=3))
@example({"lora_alpha": math.nan})
@example({"lora_alpha": math.inf})
@example({"lora_alpha": 10**400})
@example({"r": 10**9})
@example({"r": True})
@example({"peft_type": "\x1b[31m" * 100})
@example({"use_dora": ["\u202e" * 1000]})
def test_a_config_of_anything(tmp_path, changes):
    check(write(tmp_path / "it", GOOD | changes, header()))


tensors = st.builds(tensor, json_values, json_values, json_values, json_values)


@unhurried
@given(
    st.dictionaries(
        st.sampled_from([*header(), "\x1b[2J", "__metadata__"]),
        tensors | json_values,
        max_size=3,
    )
)
@example({KEY.format("up", "A"): tensor([2, 10**12], 0, 24)})
@example({KEY.format("up", "A"): tensor([2, 10**12], 0, 24, "F3")})
@example({KEY.format("up", "A"): tensor([-2, -3], 0, 24)})
@example({KEY.format("up", "A"): tensor([2.0, 3.0], 0, 24)})
@example({KEY.format("up", "A"): tensor("23", 0, 24)})
@example({KEY.format("up", "A"): tensor([2, 3], math.nan, 24)})
@example({KEY.format("x" * 10_000, "A"): tensor([9] * 1000, 0, 24)})
def test_a_header_of_anything(tmp_path, changes):
    check(write(tmp_path / "it", GOOD, header() | changes))


@unhurried
@given(st.binary(max_size=200), st.integers(0, 250), st.integers(0, 40))
def test_bytes_of_anything(tmp_path, noise, place, cut):
    good = write(tmp_path / "good", GOOD, header())
    weights, config = (good / WEIGHTS).read_bytes(), (good / CONFIG).read_bytes()
    for damaged in (weights[:place] + noise + weights[place + cut :], noise):
        check(write(tmp_path / "it", GOOD, damaged))
    check(
        write(tmp_path / "it", config[:place] + noise + config[place + cut :], header())
    )


def test_a_header_that_is_nested_too_deeply(tmp_path):
    deep = b"[" * 200_000 + b"]" * 200_000
    check(write(tmp_path / "it", GOOD, len(deep).to_bytes(8, "little") + deep))
    check(write(tmp_path / "it", deep, header()))


def test_an_adapter_may_be_no_link_out_of_its_folder(tmp_path):
    folder = write(tmp_path / "it", GOOD, header())
    (folder / WEIGHTS).rename(tmp_path / "weights")
    (folder / WEIGHTS).symlink_to("../weights")
    with pytest.raises(UsageError, match="is a link out of its folder"):
        check_adapter(folder)
    (folder / WEIGHTS).unlink()
    os.mkfifo(folder / WEIGHTS)
    with pytest.raises(UsageError, match="is no file but a pipe"):
        check_adapter(folder)


def test_tensors_have_bytes_of_their_own(tmp_path):
    about = header()
    about[KEY.format("down", "A")] = about[KEY.format("up", "A")]
    with pytest.raises(UsageError, match="its tensors overlap, or there is a gap"):
        check_adapter(write(tmp_path / "it", GOOD, about))


def test_a_header_of_a_gigabyte_is_not_read(tmp_path):
    file = tmp_path / "big.safetensors"
    size = 2**30
    with file.open("wb") as stream:
        stream.write(size.to_bytes(8, "little"))
        # A hole: it takes no room on the disk.
        stream.truncate(8 + size)
    with pytest.raises(ValueError, match="its header has more than 20,000,000 bytes"):
        read_shapes(file)
