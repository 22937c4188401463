"""The workflows of this repository: nobody else decides what they run, or may write."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

yaml = pytest.importorskip("yaml")
ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FILES = [*WORKFLOWS, *sorted((ROOT / ".github" / "actions").glob("*/action.yml"))]
ids = [path.stem for path in WORKFLOWS]


def jobs(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text())["jobs"]
    return found


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_actions_are_pinned_to_a_commit(path):
    uses = re.findall(r"uses: (.*)", path.read_text())
    assert uses
    for each in uses:
        assert re.fullmatch(r"[\w-]+(/[\w-]+)+@[0-9a-f]{40} # v\d+\.\d+\.\d+", each)


def test_an_action_has_one_version_everywhere():
    text = "".join(path.read_text() for path in FILES)
    pins = set(re.findall(r"uses: ([\w-]+/[\w-]+)\S*@(\w+ # \S+)", text))
    assert len({name for name, _ in pins}) == len(pins)


@pytest.mark.parametrize("path", WORKFLOWS, ids=ids)
def test_a_workflow_may_only_read(path):
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    # What a stranger wrote is never run with this repository's secrets.
    assert "pull_request_target" not in path.read_text()
    for job in jobs(path).values():
        # YAML reads the word "on" as true.
        waiting = {"pull_request", "push"}.intersection(workflow[True])
        assert job["timeout-minutes"] <= (30 if waiting else 150)
        more = {k for k, v in job.get("permissions", {}).items() if v == "write"}
        assert more <= {"security-events", "id-token"}
        for step in job["steps"]:
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False
            assert "${{" not in step.get("run", "")


def test_what_is_published_was_built_without_the_right_to_publish():
    build, publish = jobs(ROOT / ".github/workflows/release.yml").values()
    assert "permissions" not in build
    assert publish["permissions"] == {"id-token": "write"}
    assert publish["needs"] == "build"
    assert not any("run" in step for step in publish["steps"])


def test_a_release_is_of_its_tag():
    steps = jobs(ROOT / ".github/workflows/release.yml")["build"]["steps"]
    (check,) = [step["run"] for step in steps if step.get("name", "").startswith("The")]
    code = "from agentgym.distribution import __version__; print(__version__)"
    version = subprocess.check_output([sys.executable, "-c", code], text=True).strip()
    for tag, right in ((f"v{version}", True), ("v9.9.9", False), (version, False)):
        done = subprocess.run(
            ["bash", "-e", "-c", check], cwd=ROOT, env={"GITHUB_REF_NAME": tag}
        )
        assert (done.returncode == 0) is right
