"""Kubernetes manifests and Dockerfiles of a training with runners on other machines."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from string import Template

from agentgym.distribution import DISTRIBUTION, __version__
from agentgym.errors import UsageError

_TRAINER_FILE = "Dockerfile.trainer"
FILES = ("Dockerfile.runner", _TRAINER_FILE, "runners.yaml", "training.yaml")
"""What is rendered."""
NOBODY = "none"
"""Who makes the updates of what is only measured."""
_TEMPLATES = resources.files("agentgym.cluster") / "templates"
_LABEL = re.compile("[a-z]([-a-z0-9]{0,38}[a-z0-9])?")
_IMAGE = re.compile(r"[a-z0-9][\w.:/@-]*", re.ASCII)
_PORT = 8080


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterPlan:
    """A training on Kubernetes.

    Attributes:
        name: Of everything in the cluster, and of the secret with the gateway's key.
        scenarios: What pytest collects, from the project's folder.
        options: Of `pytest --agentgym --train`, beside these.
        trainer: Who makes the updates, `own` or `verl`; `none` has it only measured.
        image: Of runners.
        trainer_image: Of what trains.
        runners: How many there are.
        in_flight: Episodes that each of them plays at a time.
        gpus: Of the training.
        secrets: Secrets whose keys become variables of the agent.
        versions: What verl needs, by the distribution.

    Raises:
        UsageError: A name is none.
    """

    name: str
    scenarios: tuple[str, ...]
    options: tuple[str, ...]
    trainer: str
    image: str
    trainer_image: str
    runners: int
    in_flight: int
    gpus: int
    secrets: tuple[str, ...]
    versions: dict[str, str]

    def __post_init__(self) -> None:
        for option, text in (
            ("name", self.name),
            *(("secret", x) for x in self.secrets),
        ):
            if not _LABEL.fullmatch(text):
                raise UsageError(
                    f"--{option} {text}: give a name as Kubernetes has it: at most 40 "
                    "small letters, digits and dashes, the first one a letter"
                )
        images = {"image": self.image, "trainer-image": self.trainer_image}
        for option, text in images.items():
            if not _IMAGE.fullmatch(text):
                raise UsageError(
                    f"--{option} {text}: give an image's name, as team/agent:1"
                )

    @property
    def files(self) -> tuple[str, ...]:
        """Those that it needs: what only measures is the runners' image, too."""
        without = _TRAINER_FILE if self.trainer == NOBODY else None
        return tuple(name for name in FILES if name != without)

    @property
    def command(self) -> list[str]:
        """What the training runs."""
        line = ["python", "-m", "pytest", "--agentgym"]
        if self.trainer != NOBODY:
            line.append("--train")
        line.append(f"--agentgym-listen={self.name}-trainer:{_PORT}")
        if self.trainer not in ("own", NOBODY):
            line.append(f"--agentgym-trainer={self.trainer}")
        return [*line, *self.options, *self.scenarios]


def render(plan: ClusterPlan, root: Path, folder: str) -> dict[str, str]:
    """The text of each file.

    Args:
        plan: What is rendered.
        root: The project's folder, which goes into the images.
        folder: Where the files are going to be, from there.
    """
    values = {
        "name": plan.name,
        "image": plan.image,
        "trainer_image": plan.trainer_image,
        "runners": plan.runners,
        "in_flight": plan.in_flight,
        "gpus": plan.gpus,
        # JSON's strings and lists are YAML's, too.
        "scenarios": json.dumps(shlex.join(plan.scenarios)),
        "command": json.dumps(plan.command),
        "secrets": json.dumps([{"secretRef": {"name": each}} for each in plan.secrets]),
        "folder": shlex.quote(folder),
        "ourselves": f"{DISTRIBUTION}[train]=={__version__}",
        "requirements": _requirements(root),
        **plan.versions,
    }
    return {
        name: Template((_TEMPLATES / name).read_text(encoding="utf-8")).substitute(
            values
        )
        for name in plan.files
    }


def _requirements(root: Path) -> str:
    """What installs the project's own requirements in an image."""
    if (root / "requirements.txt").is_file():
        return "RUN pip install --no-cache-dir -r requirements.txt"
    if (root / "pyproject.toml").is_file():
        return "RUN pip install --no-cache-dir ."
    return "# RUN pip install --no-cache-dir what your agent needs"
