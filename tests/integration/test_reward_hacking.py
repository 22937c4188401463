"""Real trainings on checks that can be gamed, and on checks that cannot."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("agentlightning")
pytest.importorskip("langchain")

from agentgym import TrainedAgent
from agentgym.commands.main import main
from tests.html_page import Page
from tests.summary_schema import check_summary

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
GAMED = {
    "test_parcel_is_found": {"held_out"},
    "test_damaged_item_is_refunded_quickly": {"checks"},
    "test_price_is_named": {"one_form"},
    "test_order_is_cancelled_without_errors": {"held_out", "no_call", "lengths"},
    "test_praise_is_answered_at_length": {"lengths", "one_form"},
}
"""Each scenario with the signs that its flaw may have: it is gamed in several ways."""
SOUND = ("test_people.py", "test_refusals.py", "test_shipping.py")
"""Scenarios of which two call nothing, and four refuse."""


def train(root: Path, *arguments: str) -> tuple[Path, str]:
    """Trains the embedded policy; returns the run's folder, and what was shown."""
    (root / "config.json").write_text(json.dumps({"groups": 20, "group_size": 8}))
    command = [sys.executable, "-m", "pytest", "-p", "agentgym", "-p", "xdist", "-n2"]
    command += ["--agentgym", "--train", "--agentgym-train-config=config.json"]
    # It ends after so many updates, however long they take.
    command += ["--agentgym-budget=24h", "--agentgym-target=1.0", *arguments]
    ended = subprocess.run(
        [*command, "--rootdir", str(root)],
        cwd=root,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert ended.returncode in (0, 1), ended.stdout
    (run,) = (root / ".agentgym/runs").glob("2*")
    return run, ended.stdout


def signs_of(run: Path) -> list[dict[str, Any]]:
    summary = json.loads((run / "summary.json").read_text())
    check_summary(summary)
    found: list[dict[str, Any]] = summary["training"]["signs"]
    return found


def test_flaws_of_the_gameable_pack_are_named(tmp_path, monkeypatch, capsys):
    options = ("--agentgym-updates=25", "--agentgym-episodes=48")
    run, output = train(tmp_path, "--agentgym-scenario=gameable", *options)
    signs = signs_of(run)
    for name, kinds in GAMED.items():
        of_it = {sign["kind"] for sign in signs if sign["scenario"].endswith(name)}
        assert of_it & kinds, (name, of_it, output)
    said = " ".join(output.split())
    for sign in signs:
        # While it trained, or at the last measurement; and in the report.
        assert f"sign of reward hacking: {sign['scenario']}: " in said
        assert f"{sign['scenario']} ({sign['title']}, since" in said
    assert Page(run / "report.html").report["summary"]["training"]["signs"] == signs
    assert TrainedAgent.load("gameable", root=tmp_path).about["signs"] == signs
    monkeypatch.chdir(tmp_path)
    assert main(["report"]) == 0
    shown = capsys.readouterr().out
    assert all(sign["title"] in shown for sign in signs)


def test_sound_checks_give_no_sign(tmp_path):
    """Also where the right thing is to call nothing, or to say the same to all."""
    pack = tmp_path / "customer_support"
    assert main(["scenarios", "copy", "customer_support", "--to", str(pack)]) == 0
    for path in pack.glob("test_*.py"):
        if path.name not in SOUND:
            path.unlink()
    run, output = train(tmp_path, "--agentgym-updates=6", "customer_support")
    assert signs_of(run) == [], output
    for line in (run / "updates.jsonl").read_text().splitlines():
        assert json.loads(line)["signs"] == []
    assert "reward hacking" not in output
