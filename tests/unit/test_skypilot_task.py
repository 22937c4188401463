"""The task that SkyPilot is given; SkyPilot itself reads it where it is installed."""

from __future__ import annotations

import copy
import json
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from agentgym.commands.main import main
from agentgym.errors import UsageError
from agentgym.remote.environment import Requirements
from agentgym.remote.launch_job import LaunchJob
from agentgym.remote.project_files import project_files
from agentgym.remote.skypilot import sky_module as module
from agentgym.remote.skypilot.dry_run import price_of
from agentgym.remote.skypilot.sky_module import in_short, sky_module
from agentgym.remote.skypilot.sky_task import Wanted, fill, task_config

WANTED = Wanted(gpu="RTX4090:1", cloud="runpod", idle_minutes=20)


def made_job(root: Path, **environment: str) -> LaunchJob:
    root.mkdir(exist_ok=True)
    (root / "test_it.py").write_text("def test_it(): pass\n")
    (root / ".gitignore").write_text("test_it.py\n")
    (root / "link").symlink_to("test_it.py")
    return LaunchJob(
        files=project_files(root),
        folder=".",
        arguments=("-m", "agentgym.commands.main", "train", "./test_it.py"),
        environment=environment,
        needs=Requirements(arguments=("a", "b[c]"), source=None, digest="d"),
        python=None,
    )


def test_the_task(tmp_path: Path) -> None:
    job = made_job(tmp_path / "project", HF_TOKEN="s3cret")
    assert task_config(job, WANTED, "agentgym-x", tmp_path / "w") == {
        "name": "agentgym-x",
        "workdir": str(tmp_path / "w"),
        "resources": {
            "infra": "runpod",
            "accelerators": "RTX4090:1",
            "autostop": {"idle_minutes": 20, "down": True, "wait_for": "jobs"},
        },
        "setup": "python3 there.py make_ready < ready.json",
        "run": "python3 there.py serve job.json",
        "secrets": {"HF_TOKEN": "s3cret"},
    }
    assert "s3cret" not in repr(job)


@pytest.mark.parametrize(
    ("cloud", "infra"),
    [("local", "kubernetes/kind-skypilot"), ("aws/us-east-1", "aws/us-east-1")],
)
def test_clouds(tmp_path: Path, cloud: str, infra: str) -> None:
    wanted = Wanted(gpu=None, cloud=cloud, idle_minutes=1)
    config = task_config(made_job(tmp_path / "p"), wanted, "x", tmp_path)
    assert config["resources"]["infra"] == infra
    assert "accelerators" not in config["resources"]
    assert "secrets" not in config


def test_what_skypilot_sends(tmp_path: Path) -> None:
    job, workdir = made_job(tmp_path / "project", TOKEN="s3cret"), tmp_path / "workdir"
    workdir.mkdir()
    fill(workdir, job)
    found = {str(path.relative_to(workdir)) for path in workdir.rglob("*")}
    assert found == {
        *("project", "project/test_it.py", "project/.gitignore", "project/link"),
        *("there.py", "ready.json", "job.json", ".skyignore"),
    }
    assert (workdir / "project" / "link").is_symlink()
    assert json.loads((workdir / "ready.json").read_text())["install"] == ["a", "b[c]"]
    said = json.loads((workdir / "job.json").read_text())
    assert said == {**job.said(), "arguments": list(job.arguments)}
    files = [path for path in workdir.rglob("*") if path.is_file()]
    assert not [path for path in files if b"s3cret" in path.read_bytes()]


def test_what_it_sends_runs_as_a_job(tmp_path: Path) -> None:
    """The task's own `run`, on this machine."""
    import subprocess

    job, workdir = made_job(tmp_path / "project"), tmp_path / "workdir"
    workdir.mkdir()
    fill(workdir, job)
    (workdir / "env" / "bin").mkdir(parents=True)
    python = workdir / "env" / "bin" / "python"
    python.write_text('#!/bin/sh\necho "in $PWD: $@ $TOKEN"\nexit 6\n')
    python.chmod(0o755)
    config = task_config(job, WANTED, "x", workdir)
    ended = subprocess.run(
        ["sh", "-c", config["run"].replace("python3", sys.executable)],
        cwd=workdir,
        env={"TOKEN": "t0ken", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 6, ended.stderr
    words = " ".join(job.arguments)
    assert ended.stdout == f"in {workdir / 'project'}: {words} t0ken\n"
    assert (workdir / "launches" / job.id / "log").read_text() == ended.stdout
    assert (workdir / "launches" / job.id / "ended").read_text() == "6"


def test_without_skypilot(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(module.metadata, "version", missing)
    made_job(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert main(["launch", "test_it.py", "--gpu", "A100:1", "--dry-run"]) == 4
    said = capsys.readouterr().err
    assert "renting a machine needs SkyPilot" in said
    assert "pip install 'pytest-agentgym[skypilot]'" in said


def test_an_old_skypilot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.metadata, "version", lambda _: "0.9.3")
    monkeypatch.setitem(sys.modules, "sky", module)
    with pytest.raises(UsageError, match=r"SkyPilot 0\.9\.3 is too old: 0\.14 or"):
        sky_module()


def test_what_skypilot_complains_of() -> None:
    class NoCloudAccessError(Exception):
        pass

    error = NoCloudAccessError(
        "Cloud access is not set up.\nRun: \x1b[1msky check\x1b[0m"
    )
    assert str(in_short(error)) == (
        "SkyPilot has no cloud to use (Cloud access is not set up. Run: sky check): "
        "what this machine has no credentials for cannot be rented: `sky check` says "
        "what is missing"
    )
    assert str(in_short(ValueError("a\n b"))) == "SkyPilot: a b"


# By SkyPilot itself.


@pytest.fixture(scope="module")
def sky() -> Any:
    return pytest.importorskip("sky")


@pytest.mark.parametrize("cloud", ["runpod", "lambda", "kubernetes", "local", "aws"])
def test_skypilot_takes_the_task(sky: Any, tmp_path: Path, cloud: str) -> None:
    wanted = Wanted(gpu="RTX4090:1", cloud=cloud, idle_minutes=20)
    job = made_job(tmp_path / "project", TOKEN="x")
    config = task_config(job, wanted, "agentgym-x", tmp_path)
    task = sky.Task.from_yaml_config(copy.deepcopy(config))
    (resources,) = task.resources
    assert resources.accelerators == {"RTX4090": 1}
    assert resources.autostop_config.down
    assert (task.setup, task.run) == (config["setup"], config["run"])


def test_a_dry_run(
    sky: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import yaml

    made_job(tmp_path)
    (tmp_path / "pytest.ini").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOKEN", "s3cret")
    words = ["--cloud", "runpod", "--gpu", "RTX4090:2", "--env", "TOKEN", "--dry-run"]
    assert main(["launch", "test_it.py", *words, "--", "--budget", "1h"]) == 0
    shown = capsys.readouterr().out
    assert "s3cret" not in shown
    assert "# runs: python -m agentgym.commands.main train ./test_it.py" in shown
    task = yaml.safe_load(shown)
    assert task["resources"]["accelerators"] == "RTX4090:2"
    assert task["secrets"] == {"TOKEN": None}
    assert main(["launch", "test_it.py", "--cloud", "nowhere", "--dry-run"]) == 4
    assert "SkyPilot: Invalid resources YAML: 'nowhere'" in capsys.readouterr().err


def test_the_price_is_the_catalog_s(
    sky: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from sky import catalog
    from sky.catalog import common

    monkeypatch.setenv("HOME", str(tmp_path))
    assert price_of(WANTED) is None
    version = Path(common._ABSOLUTE_VERSIONED_CATALOG_DIR).name
    folder = tmp_path / ".sky" / "catalogs" / version / "runpod"
    folder.mkdir(parents=True)
    (folder / "vms.csv").write_text("x\n")

    class Offer:
        price = 0.69

    offers = {"RTX4090": [Offer()]}
    monkeypatch.setattr(catalog, "list_accelerators", lambda **_: offers)
    assert price_of(WANTED) == 0.69
