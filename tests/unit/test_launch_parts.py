"""What a launch sends, installs, hands on and brings home, without another machine."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from agentgym.commands.launching.handed_on import (
    named_agent,
    named_files,
    parted,
    python_arguments,
)
from agentgym.commands.main import _parser, main
from agentgym.errors import UsageError
from agentgym.remote import environment
from agentgym.remote.bringing_home import bring_home
from agentgym.remote.environment import requirements
from agentgym.remote.launch_job import project_key
from agentgym.remote.machine import ConnectionLost
from agentgym.remote.project_files import project_files, project_root
from agentgym.remote.ssh_failures import failure_of
from agentgym.remote.ssh_machine import SshMachine


def write(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)


# What is sent.


@pytest.mark.parametrize("git", [True, False])
def test_what_belongs_to_a_project(tmp_path: Path, git: bool) -> None:
    write(tmp_path, "a.py", "sub/b c.py", ".venv/x", "sub/__pycache__/b.pyc")
    write(tmp_path, ".agentgym/runs/1/summary.json", ".agentgym/agents/x/v1.0/w.bin")
    write(tmp_path, ".agentgym/agents/x/v1.0/agent.json", "env/pyvenv.cfg", "env/y")
    write(tmp_path, ".gitignore", "ignored")
    (tmp_path / ".gitignore").write_text("ignored\nenv\n")
    (tmp_path / "inside").symlink_to("sub")
    (tmp_path / "absolute").symlink_to(tmp_path / "sub")
    (tmp_path / "sub" / "up").symlink_to("../..")
    expected = {"a.py", "sub/b c.py", "inside", ".agentgym/agents/x/v1.0/agent.json"}
    expected.add(".gitignore")
    if git:
        subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
        write(tmp_path / "nested", "c.py")
        subprocess.run(["git", "init", "-q", str(tmp_path / "nested")], check=True)
        expected.add("nested/c.py")
    else:
        expected.add("ignored")
    found = project_files(tmp_path)
    assert set(found.names) == expected
    assert found.outside == ("absolute", "sub/up")
    assert found.size == sum(
        (tmp_path / name).stat().st_size for name in expected - {"inside"}
    )


def test_what_git_ignores_can_be_asked_for(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    write(tmp_path, "model/config.json", "model/deep/w.bin", "a.py")
    (tmp_path / ".gitignore").write_text("model\n")
    assert "model/config.json" not in project_files(tmp_path).names
    also = project_files(tmp_path, [tmp_path / "model"])
    assert {"model/config.json", "model/deep/w.bin"} <= set(also.names)
    with pytest.raises(UsageError, match="there is no such file"):
        project_files(tmp_path, [tmp_path / "nothing"])
    with pytest.raises(UsageError, match="is not in the project"):
        project_files(tmp_path, [Path("/etc/hostname")])


def test_the_project_is_the_nearest_folder_with_settings(tmp_path: Path) -> None:
    write(tmp_path, "pyproject.toml", "a/pytest.ini", "a/b/c/x.py", "d/x.py")
    assert project_root(tmp_path / "a/b/c") == tmp_path / "a"
    assert project_root(tmp_path / "d") == tmp_path


def test_a_project_keeps_its_name_elsewhere(tmp_path: Path) -> None:
    root = tmp_path / "Über mein -- Projekt!"
    root.mkdir()
    key = project_key(root)
    assert key == project_key(root)
    assert key.startswith("agentgym-ber-mein-projekt-")
    (root / ".agentgym" / "launch-id").write_text("nonsense")
    assert project_key(root) != key


# What is installed.


def test_a_project_s_own_requirements(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "_origin", lambda: None)
    version = environment.__version__
    assert requirements(tmp_path).arguments == (f"pytest-agentgym[train]=={version}",)
    (tmp_path / "requirements.txt").write_text("langchain\n")
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "x"\ndependencies = ["httpx>=0.28"]\n'
    )
    found = requirements(tmp_path, ["judge", "train"])
    assert found.arguments[0] == f"pytest-agentgym[train,judge]=={version}"
    assert found.arguments[1:] == ("-r", "project/requirements.txt", "httpx>=0.28")
    (tmp_path / "requirements.txt").write_text("crewai\n")
    assert requirements(tmp_path, ["judge", "train"]).digest != found.digest
    (tmp_path / "pyproject.toml").write_text('[build-system]\nrequires = ["x"]\n')
    assert requirements(tmp_path).arguments[-2:] == ("-e", "./project")
    (tmp_path / "pyproject.toml").write_text("nonsense")
    with pytest.raises(UsageError, match="is no TOML"):
        requirements(tmp_path)
    with pytest.raises(UsageError, match=r"--requirements dev\.txt: there is no"):
        requirements(tmp_path, files=["dev.txt"])


def test_an_agentgym_of_no_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "check out/pyproject.toml")
    folder = tmp_path / "check out"
    monkeypatch.setattr(environment, "_origin", lambda: {"url": folder.as_uri()})
    found = requirements(tmp_path / "nothing")
    assert (found.source, found.arguments) == (folder, ("./source[train]",))
    origin = {
        "url": "https://host/x.git",
        "vcs_info": {"vcs": "git", "commit_id": "abc"},
    }
    monkeypatch.setattr(environment, "_origin", lambda: origin)
    (text,) = requirements(tmp_path / "nothing").arguments
    assert text == "pytest-agentgym[train] @ git+https://host/x.git@abc"
    monkeypatch.setattr(environment, "_origin", lambda: {"url": "file:///x.whl"})
    with pytest.raises(UsageError, match=r"was installed from /x\.whl"):
        requirements(tmp_path)


# What is handed on.


def handed_on(root: Path, *options: str, scenario: str = "test_it.py") -> Sequence[str]:
    commands = next(action.choices for action in _parser()._actions if action.choices)
    assert isinstance(commands, dict)
    return python_arguments(
        [scenario], options, train=commands["train"], root=root, here=root
    )


def test_words_behind_two_dashes_are_the_training_s() -> None:
    words = ["launch", "a", "--ssh", "h", "--", "--budget", "1h", "--", "x"]
    assert parted(words) == (words[:4], ["--budget", "1h", "--", "x"])
    assert parted(["lint", "--", "x"]) == (["lint", "--", "x"], [])


def test_options_decide_which_command_trains(tmp_path: Path) -> None:
    write(tmp_path, "test_it.py", "model/config.json")
    train = ("-m", "agentgym.commands.main", "train", "./test_it.py")
    assert handed_on(tmp_path) == train
    policy = f"--policy={tmp_path}/model"
    assert handed_on(tmp_path, "--budget", "1h", policy) == (
        *train,
        *("--budget", "1h", "--policy=model"),
    )
    pytest_words = ("-n4", "--agentgym-updates=3")
    assert handed_on(tmp_path, *pytest_words, scenario="test_it.py::test_a[x y]") == (
        *("-m", "pytest", "--agentgym", "--train", "./test_it.py::test_a[x y]"),
        *pytest_words,
    )
    pack = handed_on(tmp_path, scenario="customer_support")
    assert pack == (*train[:3], "customer_support")
    with pytest.raises(UsageError, match="there are no scenarios"):
        handed_on(tmp_path, scenario="nothing")
    with pytest.raises(UsageError, match="is not in the project"):
        handed_on(tmp_path / "model", scenario=str(tmp_path / "test_it.py"))


def test_what_options_name_is_sent(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    write(tmp_path, "test_it.py", "model/config.json", "a/b.json")
    (tmp_path / ".gitignore").write_text("model\n.agentgym\n")
    agent = tmp_path / ".agentgym/agents/looker/v1.0"
    card = {"base": {"spec": str(tmp_path / "model"), "digest": "0" * 64}}
    card |= {"format": 1, "name": "looker", "version": "1.0"}
    write(tmp_path, ".agentgym/agents/looker/v1.0/agent.json")
    (agent / "agent.json").write_text(json.dumps(card))
    files = project_files(tmp_path)
    assert files.extra == {".agentgym/agents/looker/v1.0/agent.json"}
    words = ["--policy=model", "--config", "a/b.json", "3", ".", ""]
    assert named_files(words, files, tmp_path) == [tmp_path / "model"]
    both = [agent, tmp_path / "model"]
    assert named_agent(["--policy", "looker_v1.0"], tmp_path) == both
    assert named_agent(["--agentgym-policy=looker"], tmp_path) == both
    assert named_agent(["--policy"], tmp_path) == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "name the scenarios to train on, or --attach"),
        (("x",), "say where: either --ssh HOST, or --gpu GPU and --cloud CLOUD"),
        (("x", "--ssh", "h", "--gpu", "A"), "say where: either"),
        (("x", "--ssh", "h", "--attach"), "leave the scenarios out"),
        (("x", "--ssh", "h", "--dry-run"), "--dry-run shows a task of SkyPilot"),
        (("x", "--gpu", "A", "--python", "p"), "--python is for a machine of yours"),
        (("test_it.py", "--ssh", "-oX=y"), "expected one argument"),
        (("test_it.py", "--ssh=-oX=y"), "--ssh -oX=y: give a host or user@host"),
        (("test_it.py", "--ssh", "h:22"), "port, key and the rest belong into"),
        (("test_it.py", "--ssh", "h", "--env", "A=1"), "--env A=...: give the name"),
        (("test_it.py", "--ssh", "h", "--env", "NO_SUCH"), "it is not set here"),
        (("x", "--ssh", "h", "--ssh-config", "no"), "there is no such file"),
        (("nothing", "--ssh", "h"), "there are no scenarios 'nothing'"),
    ],
)
def test_mistakes_get_a_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: Sequence[str],
    sentence: str,
) -> None:
    write(tmp_path, "test_it.py", "pytest.ini")
    monkeypatch.chdir(tmp_path)
    try:
        code = main(["launch", *words])
    except SystemExit as exit_:
        code = int(str(exit_.code))
    assert code == 4
    assert sentence in capsys.readouterr().err


# What comes home.


class Shelf:
    """A machine that has everything in a folder here."""

    name = "shelf"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fetch(self, folder: str, names: Iterable[str], target: Path) -> None:
        for name in names:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / folder / name).rename(target / name)


def test_only_runs_and_agents_come_home(tmp_path: Path) -> None:
    there, root = tmp_path / "there", tmp_path / "here"
    names = [
        ".agentgym/runs/1",
        "sub/.agentgym/agents/x/v1.0",
        ".agentgym/agents/../../../../escaped",
        "src",
        ".agentgym/hooks/y",
        ".agentgym/agents/x/hooks",
        str(tmp_path / "there/.agentgym/runs/2"),
    ]
    for name in names:
        write(there / "project", f"{name}/file")
    root.mkdir()
    came = bring_home(Shelf(there), names, root, "/there")  # type: ignore[arg-type]
    assert came.runs == (root / ".agentgym/runs/1",)
    assert came.agents == (root / "sub/.agentgym/agents/x/v1.0",)
    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("file")}
    assert {name for name in found if name.startswith("here")} == {
        "here/.agentgym/runs/1/file",
        "here/sub/.agentgym/agents/x/v1.0/file",
    }


def test_a_version_that_is_taken_here(tmp_path: Path) -> None:
    name = ".agentgym/agents/x/v1.0"
    there, root = tmp_path / "there", tmp_path / "here"
    for folder, created in ((there / "project", "2"), (root, "1")):
        write(folder, f"{name}/agent.json")
        card = {"version": "1.0", "created": created}
        (folder / name / "agent.json").write_text(json.dumps(card))
    came = bring_home(Shelf(there), [name], root, "/there")  # type: ignore[arg-type]
    assert came.agents == (root / ".agentgym/agents/x/v1.1",)
    assert came.notes == ("x has another v1.0 here: what came is v1.1",)
    card = json.loads((came.agents[0] / "agent.json").read_text())
    assert card == {"version": "1.1", "created": "2"}
    assert not list((root / ".agentgym").glob(".coming-*"))


def test_a_base_model_that_stayed_there_is_said(tmp_path: Path) -> None:
    name = ".agentgym/agents/x/v1.0"
    write(tmp_path / "there" / "project" / name, "agent.json")
    card = {"base": {"spec": "/models/large"}}
    (tmp_path / "there/project" / name / "agent.json").write_text(json.dumps(card))
    (tmp_path / "here").mkdir()
    shelf = Shelf(tmp_path / "there")
    came = bring_home(shelf, [name], tmp_path / "here", "/there")  # type: ignore[arg-type]
    (note,) = came.notes
    assert note.startswith("the base model of x is not here: /models/large")


# What ssh says.


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("u@h: Permission denied (publickey,password).", "it takes none of your keys"),
        ("ssh: Could not resolve hostname h: Name", "there is no machine of this name"),
        ("No ED25519 host key is known for h", "its host key is not known yet"),
        ("/x: line 1: Bad configuration option: y", "ssh cannot read its settings"),
    ],
)
def test_what_the_user_can_mend(said: str, sentence: str) -> None:
    error = failure_of("h", said)
    assert isinstance(error, UsageError)
    assert sentence in str(error)
    assert said in str(error)


def test_what_may_pass_by_itself() -> None:
    error = failure_of("h", "x\nssh: connect to host h port 22: No route to host\n")
    assert isinstance(error, ConnectionLost)
    assert str(error).endswith("connect to host h port 22: No route to host)")
    assert "without a word" in str(failure_of("h", ""))


def test_a_host_is_one_word() -> None:
    for host in ("h", "me@h", "10.0.0.1", "gpu-box.example.org"):
        assert SshMachine(host, "x").name == host
    for host in ("-oX", "a b", "me@-h", "me@h@i", "h:22", ""):
        with pytest.raises(UsageError, match="give a host or user@host"):
            SshMachine(host, "x")
