"""The reader of `updates.jsonl`."""

from __future__ import annotations

import json

import pytest

from agentgym.runs.files.updates import read_updates, sampler_mismatch


def test_a_run_of_before_is_read_by_the_present_names(tmp_path):
    old = {"update": 1, "gap": 1e-5, "mean_gap": 1e-6, "dull_groups": 3, "kl": 0.1}
    new = {"update": 2, "mismatch": 2e-5, "zero_variance_groups": 4}
    text = f"{json.dumps(old)}\n{json.dumps(new)}\n7\n" + '{"update": 3, "ver'
    (tmp_path / "updates.jsonl").write_text(text)
    assert list(read_updates(tmp_path)) == [
        {
            "update": 1,
            "mismatch": 1e-5,
            "mean_mismatch": 1e-6,
            "zero_variance_groups": 3,
            "kl": 0.1,
        },
        new,
    ]


def test_a_run_without_updates(tmp_path):
    assert list(read_updates(tmp_path)) == []


def test_mismatches_of_a_run_are_weighed_by_tokens(tmp_path):
    common = {"corrected_share": 0.1, "truncated_share": 0.0}
    rows = [
        {"mismatch": 0.5, "mean_mismatch": 0.01, "trained_tokens": 300, **common},
        {"mismatch": 0.2, "mean_mismatch": 0.05, "trained_tokens": 100, **common},
    ]
    text = "".join(f"{json.dumps(row)}\n" for row in rows)
    (tmp_path / "updates.jsonl").write_text(text)
    assert sampler_mismatch(tmp_path, "vllm") == {
        "engine": "vllm",
        "mean": pytest.approx(0.02),
        "max": 0.5,
        "corrected_share": pytest.approx(0.1),
        "truncated_share": 0.0,
    }
    # Of an earlier version, which measured no shares.
    (tmp_path / "updates.jsonl").write_text(f'{text}{{"mismatch": 1e-5}}\n')
    assert sampler_mismatch(tmp_path, "own") is None
    assert sampler_mismatch(tmp_path / "none", "own") is None
