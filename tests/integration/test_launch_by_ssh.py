"""`agentgym launch --ssh`, on an sshd of this user on loopback."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.launched import Launched, reached, read_until, said
from tests.ssh_box import SshBox, children, needs_sshd, ssh_box

pytestmark = needs_sshd

RUN = ".agentgym/runs/20260801-120000-0001"
AGENT = ".agentgym/agents/looker/v1.0"


@pytest.fixture
def box(tmp_path: Path) -> Iterator[SshBox]:
    with ssh_box(tmp_path / "box") as started:
        yield started


@pytest.fixture
def project(tmp_path: Path, box: SshBox) -> Launched:
    return Launched.made(tmp_path / "it's a project", box)


def test_what_is_learned_there_comes_home(project: Launched) -> None:
    code, output = project_run_to_its_end(project, CODE="6", env=("CODE",))
    assert code == 6
    assert "trains on ./test_it.py --updates 3" in output
    assert "brought home: the agent looker_v1.0" in output
    summary = json.loads((project.root / RUN / "summary.json").read_text())
    assert summary["folder"] == str(project.root / RUN)
    card = json.loads((project.root / AGENT / "agent.json").read_text())
    assert card["base"]["spec"] == str(project.root / "model")


def project_run_to_its_end(
    project: Launched, *words: str, env: tuple[str, ...] = (), **environment: str
) -> tuple[int, str]:
    """Launches, and lets the training come to its end."""
    named = [word for name in env for word in ("--env", name)]
    process = project.start(*named, *words, "--", "--updates", "3", **environment)
    project.wait_for("started")
    project.go()
    return said(process)


def test_a_secret_is_in_no_list_of_processes_and_in_no_file(project: Launched) -> None:
    secret = "s3cret 'with' \"quotes\" and\nlines"
    process = project.start("--env", "SECRET", SECRET=secret)
    project.wait_for("started")
    assert not list(showing("s3cret"))
    files = [path for path in project.box.home.rglob("*") if path.is_file()]
    assert not [path for path in files if b"s3cret" in path.read_bytes()]
    project.go()
    code, output = said(process)
    assert code == 0, output
    summary = json.loads((project.root / RUN / "summary.json").read_text())
    assert summary["n"] == len(secret)


def showing(text: str) -> Iterator[str]:
    """The command lines on this machine that have a text."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if text in command:
            yield command


def test_only_the_project_is_sent(project: Launched, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "private").touch()
    project.write(".gitignore", "big/\n")
    project.write("big/data.bin", "wanted")
    project.write("big/more.bin", "not wanted")
    project.write("a 'quoted' name/$(touch oops); \"x\".txt", "text")
    project.write(".venv/bin/python", "")
    (project.root / "link").symlink_to(outside)
    (project.root / "inner").symlink_to("a 'quoted' name")
    subprocess.run(["git", "init", "-q", str(project.root)], check=True)
    code, output = project_run_to_its_end(project, "--also", "big/data.bin")
    assert code == 0, output
    assert "not sent: link is a link that leads out of the project" in output
    there = project.box.project
    found = {
        str(path.relative_to(there)) for path in there.rglob("*") if not path.is_dir()
    }
    assert {name for name in found if not name.startswith(".agentgym")} == {
        *("pytest.ini", "test_it.py", ".gitignore", "big/data.bin", "started", "go"),
        "a 'quoted' name/$(touch oops); \"x\".txt",
    }
    assert (there / "inner").is_symlink()
    assert not list(project.box.folder.rglob("oops"))


@pytest.mark.parametrize("rsync", [True, False])
def test_a_second_launch_sends_what_changed(tmp_path: Path, rsync: bool) -> None:
    with ssh_box(tmp_path / "box", rsync=rsync) as box:
        project = Launched.made(tmp_path / "project", box)
        project.write("old/gone.txt", "")
        code, output = project_run_to_its_end(project)
        assert (code, "by rsync" in output) == (0, rsync), output
        there = box.project
        assert (there / "old" / "gone.txt").exists()
        (there / "started").unlink()
        os.rename(there / ".agentgym" / "runs", there / "earlier runs")
        (project.root / "old" / "gone.txt").unlink()
        project.write("test_it.py", "def test_other(): pass\n")
        # The training there has found `go`, and goes through.
        code, output = project.run()
        assert code == 0, output
        assert not (there / "old").exists()
        assert "test_other" in (there / "test_it.py").read_text()
        # The versions of both machines are counted as one.
        assert "looker has another" not in output
        assert sorted(os.listdir(project.root / ".agentgym/agents/looker")) == [
            "v1.0",
            "v1.1",
        ]


def test_a_dropped_connection_is_made_again(project: Launched) -> None:
    process = project.start()
    seen = read_until(process, "line 5")
    for _ in range(2):
        assert reached(lambda: bool(children(process.pid, ["follow"])))
        for pid in children(process.pid, ["follow"]):
            os.kill(pid, signal.SIGKILL)
        seen += read_until(process, "trying again")
        seen += read_until(process, "line ")
    project.go()
    code, output = said(process)
    seen += output
    assert code == 0, seen
    numbers = [int(text) for text in re.findall(r"^line (\d+)$", seen, re.M)]
    assert numbers == list(range(len(numbers)))
    assert f"lines {len(numbers)}\n" in seen


def test_somebody_else_can_go_on_with_watching(project: Launched) -> None:
    process = project.start()
    read_until(process, "line 3")
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    code, output = project.run()
    assert code == 4
    assert "a training of this project runs on box already" in output
    again = project.start("--attach", scenario="")
    seen = read_until(again, "line ")
    project.go()
    code, output = said(again)
    assert code == 0, output
    assert "line 3" in seen + output
    assert (project.root / AGENT / "agent.json").is_file()
    # It can be done once more: what is here already is the same.
    code, output = project.run("--attach", scenario="")
    assert code == 0, output
    assert os.listdir(project.root / ".agentgym/agents/looker") == ["v1.0"]


def test_ctrl_c_stops_the_training_there(project: Launched) -> None:
    process = project.start()
    read_until(process, "line 3")
    os.killpg(process.pid, signal.SIGINT)
    code, output = said(process)
    assert code == 2, output
    assert "asks the training on box to stop" in output
    assert "was asked to stop\n" in output
    assert (project.root / RUN / "summary.json").is_file()


def test_a_second_ctrl_c_leaves_it_running(project: Launched) -> None:
    process = project.start("--env", "HOW", HOW="--deaf")
    read_until(process, "line 3")
    os.killpg(process.pid, signal.SIGINT)
    read_until(process, "Ctrl-C again")
    read_until(process, "line ")
    os.killpg(process.pid, signal.SIGINT)
    code, output = said(process)
    assert code == 2
    line = "go on with: agentgym launch --ssh box --attach --ssh-config"
    assert line in output
    project.go()
    code, output = project.run("--attach", scenario="")
    assert (code, (project.root / RUN).is_dir()) == (2, True), output


def test_a_training_that_was_killed_there_is_said_so(project: Launched) -> None:
    process = project.start()
    read_until(process, "line 3")
    (job,) = project.box.project.parent.glob("launches/*/job.json")
    pid = json.loads(job.read_text())["pid"]
    stat = Path(f"/proc/{pid}/stat").read_text()
    os.kill(int(stat.rpartition(")")[2].split()[1]), signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)
    code, output = said(process)
    assert code == 6, output
    assert "the training on box has ended without an exit code" in output
    assert "the training has left no run and no agent there" in output


# What ssh cannot do.


def test_a_machine_that_asks_for_a_password(tmp_path: Path) -> None:
    settings = ("PubkeyAuthentication no", "PasswordAuthentication yes")
    with ssh_box(tmp_path / "box", *settings) as box:
        code, output = Launched.made(tmp_path / "project", box).run()
    assert code == 4
    assert "takes none of your keys, or asks for a password" in output
    assert "ssh-copy-id box" in output
    assert "Traceback" not in output


def test_a_host_key_that_is_not_known(project: Launched) -> None:
    project.box.known.unlink()
    code, output = project.run()
    assert code == 4
    assert "its host key is not known yet: connect once with `ssh box`" in output


def test_another_host_key_than_the_known_one(project: Launched) -> None:
    project.box.know(project.box.new_key("another"))
    code, output = project.run()
    assert code == 4
    assert "its host key is another one than the one that you know" in output


def test_a_machine_that_does_not_answer(project: Launched) -> None:
    text = project.box.config.read_text()
    # Nobody listens there without being root.
    project.box.config.write_text(re.sub(r"Port \d+", "Port 1", text))
    code, output = project.run()
    assert code == 4
    assert "the training was not started: box is not reached (ssh says: " in output
    assert "refused" in output


def test_a_machine_without_python(tmp_path: Path) -> None:
    with ssh_box(tmp_path / "box", python=False) as box:
        project = Launched.made(tmp_path / "project", box)
        project.python = Path("/no/python")
        code, output = project.run()
    assert code == 4
    assert "box has no /no/python: install it there, or say with --python" in output


def test_a_python_without_agentgym(project: Launched) -> None:
    project.python.write_text('#!/bin/sh\nexec python3 -IS "$@"\n')
    code, output = project.run()
    assert code == 4
    assert "it has no agentgym on box: install it there (pip install 'py" in output


# A real training.


@pytest.mark.slow
def test_an_agent_that_was_trained_there_is_used_here(
    tmp_path: Path, box: SshBox
) -> None:
    from agentgym import TrainedAgent
    from tests.faults.trainings import taught, training

    project = Launched.made(tmp_path / "a project", box, quick=False)
    taught(project.root / "model")
    training(project.root, Path("model"))
    options = ("--policy", "model", "--config", "config.json", "--save", "looker")
    code, output = project.run("--", *options, "--updates", "40")
    assert code == 0, output
    assert "gate met: the run reached 80 %" in output
    # What was trained there loads without that machine.
    os.rename(box.home, box.home.with_name("gone"))
    agent = TrainedAgent.load("looker_v1.0", root=project.root)
    assert agent.about["base"]["spec"] == str(project.root / "model")
    (run,) = (project.root / ".agentgym" / "runs").iterdir()
    summary = json.loads((run / "summary.json").read_text())
    assert summary["training"]["agent"] == str(project.root / AGENT)
    assert b"gone" not in (run / "summary.json").read_bytes()
    assert str(box.home).encode() not in (run / "episodes.jsonl").read_bytes()


@pytest.mark.slow
def test_ctrl_c_brings_home_what_was_learned_so_far(
    tmp_path: Path, box: SshBox
) -> None:
    from tests.faults.trainings import taught, training

    project = Launched.made(tmp_path / "project", box, quick=False)
    taught(project.root / "model")
    training(project.root, Path("model"))
    file = project.root / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "target": 1.0}))
    options = ("--policy", "model", "--config", "config.json", "--save", "looker")
    process = project.start("--", *options, "--updates", "400")
    seen = read_until(process, "update 2")
    os.killpg(process.pid, signal.SIGINT)
    code, output = said(process)
    assert code == 2, seen + output
    assert "brought home: the run" in output
    (run,) = (project.root / ".agentgym" / "runs").iterdir()
    updates = (run / "updates.jsonl").read_text().splitlines()
    assert len(updates) >= 2
