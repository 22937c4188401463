"""`agentgym cluster render`: what it writes, and that Kubernetes would take it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from agentgym.commands.main import main

kubernetes_validate = pytest.importorskip("kubernetes_validate")

KUBERNETES = ("1.29", "1.37")
"""The oldest and the newest release whose schema is tried."""
GIVEN = ("--image", "team/agent:1")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios" / "test_it.py").write_text("def test_it(): pass\n")
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'shop'\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rendered(
    *options: str, scenarios: tuple[str, ...] = ("scenarios",)
) -> dict[str, Any]:
    """The manifests, by kind and name."""
    words = ["cluster", "render", *scenarios, *GIVEN, *options]
    assert main(words) == 0
    documents = [
        document
        for file in sorted(Path("cluster").glob("*.yaml"))
        for document in yaml.safe_load_all(file.read_text())
    ]
    return {f"{each['kind']} {each['metadata']['name']}": each for each in documents}


def test_kubernetes_takes_all_of_it(project: Path) -> None:
    found = rendered("--secret", "model-key", "--gpus", "2", "--runners", "64")
    assert set(found) == {
        "Deployment agentgym-runner",
        "Service agentgym-trainer",
        "NetworkPolicy agentgym-trainer",
        "PersistentVolumeClaim agentgym",
        "Job agentgym-trainer",
    }
    for document in found.values():
        for version in KUBERNETES:
            kubernetes_validate.validate(document, version, strict=True)


def test_the_schema_is_a_strict_one(project: Path) -> None:
    job = rendered()["Job agentgym-trainer"]
    job["spec"]["template"]["spec"]["restartpolicy"] = "Never"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(job, KUBERNETES[-1], strict=True)


def container(document: Any) -> dict[str, Any]:
    (only,) = document["spec"]["template"]["spec"]["containers"]
    found: dict[str, Any] = only
    return found


def variables(document: Any) -> dict[str, Any]:
    return {each["name"]: each.get("value") for each in container(document)["env"]}


def test_runners_find_the_training(project: Path) -> None:
    found = rendered("--name", "shop", "--", "--agentgym-budget=2h")
    runners, job = found["Deployment shop-runner"], found["Job shop-trainer"]
    where = variables(runners)["AGENTGYM_GATEWAY"]
    assert where == "http://shop-trainer:8080"
    listening = f"--agentgym-listen={where.removeprefix('http://')}"
    command = container(job)["command"]
    assert listening in command
    assert command[-2:] == ["--agentgym-budget=2h", "./scenarios"]
    # Its own name is this one to the pod, and the service's to all others.
    service = found["Service shop-trainer"]
    assert job["spec"]["template"]["spec"]["hostname"] == service["metadata"]["name"]
    labels = job["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()
    (rule,) = found["NetworkPolicy shop-trainer"]["spec"]["ingress"]
    wanted = rule["from"][0]["podSelector"]["matchLabels"]
    assert wanted.items() <= runners["spec"]["template"]["metadata"]["labels"].items()


def test_no_key_is_in_a_file(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGL_KEY", "s3cret-key-of-mine")
    found = rendered("--secret", "model-key")
    for name in ("Deployment agentgym-runner", "Job agentgym-trainer"):
        (key,) = [x for x in container(found[name])["env"] if x["name"] == "AGL_KEY"]
        reference = {"name": "agentgym", "key": "AGL_KEY"}
        assert key["valueFrom"] == {"secretKeyRef": reference}
        assert container(found[name])["envFrom"] == [
            {"secretRef": {"name": "model-key"}}
        ]
    texts = [file.read_text() for file in Path("cluster").iterdir()]
    assert len(texts) == 4
    assert not [text for text in texts if "s3cret" in text]


def test_names_that_a_shell_or_yaml_would_read(project: Path) -> None:
    odd = 'scenarios/it\'s: "{odd}" #1'
    Path(odd).mkdir()
    (Path(odd) / "test_more.py").write_text("def test_it(): pass\n")
    found = rendered(scenarios=("scenarios", odd))
    import shlex

    text = variables(found["Deployment agentgym-runner"])["AGENTGYM_SCENARIOS"]
    assert shlex.split(text) == ["./scenarios", f"./{odd}"]
    assert container(found["Job agentgym-trainer"])["command"][-1] == f"./{odd}"


def test_the_images(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rendered("--trainer", "own", "--out", "cluster")
    said = capsys.readouterr().out
    for kind, image in (
        ("runner", "team/agent:1"),
        ("trainer", "team/agent:1-trainer"),
    ):
        text = Path(f"cluster/Dockerfile.{kind}").read_text()
        assert f"docker build -f cluster/Dockerfile.{kind} -t {image} ." in text
        assert f"docker build -f cluster/Dockerfile.{kind} -t {image} ." in said
        assert not re.search(r"\$\w", text)
        assert "RUN pip install --no-cache-dir ." in text
    assert "--agentgym-trainer" not in Path("cluster/training.yaml").read_text()


def test_a_measurement_by_runners(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = rendered("--trainer", "none", "--", "--agentgym-episodes=100000")
    job = container(found["Job agentgym-trainer"])
    assert "--train" not in job["command"]
    assert job["command"][4:] == [
        "--agentgym-listen=agentgym-trainer:8080",
        "--agentgym-episodes=100000",
        "./scenarios",
    ]
    assert job["image"] == "team/agent:1"
    assert job["resources"]["limits"] == {"nvidia.com/gpu": 0}
    assert not Path("cluster/Dockerfile.trainer").exists()
    assert "Dockerfile.trainer" not in capsys.readouterr().out
    for document in found.values():
        for version in KUBERNETES:
            kubernetes_validate.validate(document, version, strict=True)


def test_nothing_is_overwritten(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rendered()
    kept = Path("cluster/training.yaml")
    kept.write_text("mine")
    assert main(["cluster", "render", "scenarios", *GIVEN]) == 4
    assert "cluster/training.yaml: there already" in capsys.readouterr().err
    assert kept.read_text() == "mine"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--name", "My_Name"), "--name My_Name: give a name as Kubernetes has it"),
        (("--secret", "a b"), "--secret a b: give a name as Kubernetes has it"),
        (("--image", "a b"), "--image a b: give an image's name"),
        (("--trainer-image", "$(id)"), "--trainer-image $(id): give an image's name"),
    ],
)
def test_mistakes_get_a_sentence(
    project: Path,
    words: tuple[str, ...],
    sentence: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["cluster", "render", "scenarios", *GIVEN, *words]) == 4
    assert sentence in capsys.readouterr().err
    assert not Path("cluster").exists()


def test_scenarios_that_are_not_there(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["cluster", "render", "nowhere", *GIVEN]) == 4
    assert "nowhere" in capsys.readouterr().err
