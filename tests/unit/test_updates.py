"""The reader of `updates.jsonl`."""

from __future__ import annotations

import json

from agentgym.runs.files.updates import read_updates


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
