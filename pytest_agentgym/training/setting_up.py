"""What a training starts from: the policy, the settings, the agent's name, the run."""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentgym.distribution import install_command
from agentgym.errors import UsageError
from agentgym.playing.in_flight import local_concurrency
from agentgym.policy.engine.devices import Devices, on_gpu
from agentgym.policy.folders.hub_cache import hub_model
from agentgym.policy.folders.weight_files import parameter_count
from agentgym.policy.trained.agent_folder import check_name
from agentgym.runs.files.layout import RUNS, SUMMARY, TRAINING
from agentgym.runs.files.store import write_json
from agentgym.runs.files.updates import UPDATES_FILE
from pytest_agentgym.collect.options import MODEL_OPTIONS
from pytest_agentgym.collect.policy import API_KEY
from pytest_agentgym.play.options import PLAY_OPTIONS
from pytest_agentgym.training.options import LATEST, TRAIN_OPTIONS, TrainOptions

if TYPE_CHECKING:
    import pytest

    from agentgym.policy.trained.resolve import Local
    from agentgym.policy.vllm_engine.choice import VllmChoice
    from agentgym.training.job.config import TrainingConfig

PYTHON = tuple(sys.version_info[:2])
_NEEDED = (
    *("agentlightning", "httpx", "peft", "pydantic", "safetensors"),
    *("torch", "transformers", "uvicorn"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What a training starts from.

    Attributes:
        base: Folder of the base model.
        adapter: Folder of the trained agent to go on from, if any.
        policy: What the user called the policy.
        config: The training's settings.
        seed: The same seed gives the same cases.
        save: The agent's name, if it was given.
        resumed: Folder of the run to go on with, if any.
        certified: Whether the target must be certain.
        engine: What was asked to sample: "auto", "own" or "vllm".
        vllm: The vLLM that samples; None for our own engine.
        devices: Where it samples and is trained, as far as it was said.
        trainer: Who makes the updates: "own", or "verl".
        trainer_file: verl's settings, as the user has them.
        dry_run: Whether only to say what would be done.
        listen: Where runners elsewhere find the gateway: host, port and key.
        chosen: What of the settings was chosen for the model, in words, if it is not
            what all small models get.
    """

    base: Path
    adapter: Path | None
    policy: str
    config: TrainingConfig
    seed: int
    save: str | None
    resumed: Path | None
    certified: bool = False
    engine: str = "auto"
    vllm: VllmChoice | None = None
    devices: Devices = field(default_factory=Devices)
    chosen: str = ""
    trainer: str = "own"
    trainer_file: Path | None = None
    dry_run: bool = False
    listen: tuple[str, int, str] | None = None

    @classmethod
    def read(cls, config: pytest.Config) -> Start:
        """Checks everything that can be checked before anything is started.

        Raises:
            UsageError: Training is impossible; says why and what to do.
        """
        root = config.rootpath
        given = config.stash[MODEL_OPTIONS].policy
        seed = config.stash[PLAY_OPTIONS].seed
        train = config.stash[TRAIN_OPTIONS]
        assert train is not None
        if train.trainer == "verl":
            _check_verl(train)
        resumed = None if train.resume is None else _resumed(root, train.resume)
        if resumed is not None:
            from agentgym.training.loop.checkpoint import Checkpoint

            os.close(hold(resumed))
            Checkpoint(resumed / "training").check()
        before = {} if resumed is None else _state(resumed)
        if before.get("trainer") == "verl":
            raise UsageError(
                f"--agentgym-resume: the updates of the training in {resumed} were "
                "verl's, which is not gone on with; start a new training"
            )
        policy = before.get("policy", given)
        if resumed is not None:
            _same("policy", given, "embedded", policy, resumed)
            _same("seed", seed, 0, before["seed"], resumed)
        models = config.stash[MODEL_OPTIONS]
        given_settings = before.get("config", {}) | train.settings
        if models.template:
            given_settings["chat_template_kwargs"] = models.template
        settings = _config(given_settings, train)
        engine = models.engine
        if engine == "auto":
            engine = before.get("engine", engine)
        local, vllm = _policy(
            # What the hub's name meant then: its main branch may have moved on.
            before.get("base") or policy,
            engine,
            share=models.adapter_dir or _kept_folder(before),
            rank=settings.lora_rank,
            root=root,
        )
        if models.sampler is not None and vllm is not None and not vllm.starts:
            raise UsageError(
                f"--agentgym-devices sampler={models.sampler}: a vLLM server that runs "
                "already has its own device; name the trainer's only"
            )
        from agentgym.training.job.model_defaults import choice_in_words, fit_to_model

        if local.template and not settings.chat_template_kwargs:
            # A trained agent goes on as it was trained.
            kept = {"chat_template_kwargs": dict(local.template)}
            settings = settings.model_copy(update=kept)
        size = parameter_count(local.path)
        fitted = fit_to_model(
            settings, size, gpu=on_gpu(models.trainer or settings.device)
        )
        return cls(
            base=local.path,
            adapter=local.adapter,
            policy=policy,
            engine=engine,
            vllm=vllm,
            devices=Devices(models.sampler, models.trainer),
            config=fitted,
            chosen=choice_in_words(settings, fitted, size),
            seed=before.get("seed", seed),
            save=train.save or before.get("save"),
            resumed=resumed,
            # All looks are counted, so it may be asked for later, too.
            certified=train.certified or before.get("certified", False),
            trainer=train.trainer,
            trainer_file=train.trainer_file,
            dry_run=train.dry_run,
            listen=train.listen,
        )

    @property
    def in_flight(self) -> int:
        """Episodes that a runner may have in flight, where nothing else is said."""
        # A server that runs already is where a GPU is, most often.
        elsewhere = self.vllm is not None and not self.vllm.starts
        gpu = elsewhere or on_gpu(self.devices.sampler or self.config.device)
        return local_concurrency(parameter_count(self.base), gpu=gpu)

    def write(self, folder: Path, name: str) -> None:
        """Writes down what a resumed run needs.

        Args:
            folder: The run's folder.
            name: The agent's name.
        """
        given = self.config.model_dump(mode="json", exclude_unset=True)
        state: dict[str, Any] = {
            "policy": self.policy,
            "seed": self.seed,
            "save": name,
        }
        state["certified"] = self.certified
        state["trainer"] = self.trainer
        state["engine"] = self.engine
        share = None if self.vllm is None else self.vllm.share
        state["adapter_dir"] = None if share is None else str(share)
        model = None if self.adapter else hub_model(self.base)
        if model is not None:
            state["base"] = model.pinned
        write_json(folder / TRAINING, {**state, "config": given})


def hold(run: Path) -> int:
    """Keeps other trainings out of a run's folder, until this process ends.

    Returns:
        A file descriptor; closing it lets others in.

    Raises:
        UsageError: Another training holds it.
    """
    folder = os.open(run, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(folder)
        raise UsageError(
            f"--agentgym-resume: the training in {run} is still running; wait for its "
            "end, or stop it with Ctrl-C"
        ) from None
    return folder


def check_installed(option: str = "--train") -> None:
    """Checks that this Python can train, or have a gateway.

    Args:
        option: What is asked for.

    Raises:
        UsageError: It is too old, or the extra is missing.
    """
    if PYTHON < (3, 12):
        raise UsageError(
            f"{option} needs Python 3.12 or newer (Agent Lightning does); measuring "
            "works here"
        )
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            f"{option} needs {', '.join(missing)}: run {install_command('train')}"
        )


def _check_verl(train: TrainOptions) -> None:
    """Checks that verl can train here, before anything else is looked for.

    Raises:
        UsageError: It cannot; a dry run says what lacks by itself.
    """
    from agentgym.training.verl.composed import read_file
    from agentgym.training.verl.verl_launch import check_verl

    if train.trainer_file is not None:
        read_file(train.trainer_file)
    if not train.dry_run:
        check_verl(train.trainer_file)


def default_name(root: Path, scenarios: Sequence[str]) -> str:
    """The agent's name: that of the folder that all scenario files are in.

    Args:
        root: pytest's root directory.
        scenarios: Node ids.
    """
    folders = [(root / name.partition("::")[0]).parent for name in scenarios]
    folder = Path(os.path.commonpath(folders)) if folders else root
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", folder.name).strip("_-")[:80]
    try:
        check_name(name)
    except UsageError:  # such as "embedded" or "support_v2"
        return f"{name}-agent" if name else "agent"
    return name


def _policy(
    spec: str, engine: str, *, share: Path | None, rank: int, root: Path
) -> tuple[Local, VllmChoice | None]:
    """The base model, the adapter on it, if any, and the vLLM that samples, if any."""
    from agentgym.policy.trained.sampling_choice import trained_by

    key = os.environ.get(API_KEY) or "agentgym"
    return trained_by(spec, engine, api_key=key, share=share, rank=rank, root=root)


def _kept_folder(before: dict[str, Any]) -> Path | None:
    folder = before.get("adapter_dir")
    return None if folder is None else Path(folder)


def _config(settings: dict[str, Any], train: TrainOptions) -> TrainingConfig:
    from pydantic import ValidationError

    from agentgym.training.job.config import TrainingConfig

    try:
        return TrainingConfig(**settings)
    except ValidationError as exc:
        first = exc.errors()[0]
        name = ".".join(map(str, first["loc"]))
        where = f"{train.settings_file}: " if train.settings_file else ""
        if first["type"] == "extra_forbidden":
            known = ", ".join(TrainingConfig.model_fields)
            text = f"there is no setting {name!r}; the settings are {known}"
        else:
            reason = first["msg"].removeprefix("Value error, ")
            text = f"{name}={first['input']!r}: {reason}"
        raise UsageError(f"{where}{text}") from None


def _resumed(root: Path, run: str) -> Path:
    runs = root / RUNS
    if run != LATEST:
        folder = runs / run
        if not (folder / TRAINING).is_file():
            raise UsageError(f"--agentgym-resume {run}: there is no training {folder}")
        if _finished(folder):
            raise UsageError(
                f"--agentgym-resume {run}: that training is finished; train its agent "
                f"further with --agentgym-policy {_state(folder)['save']}"
            )
        return folder
    # Their names begin with the time.
    resumable = sorted(path.parent for path in runs.glob(f"*/{TRAINING}"))
    resumable = [folder for folder in resumable if not _finished(folder)]
    if not resumable:
        raise UsageError(
            f"--agentgym-resume: there is no training in {runs} that ended early; "
            "start one without it"
        )
    return resumable[-1]


def _finished(run: Path) -> bool:
    """Whether it was trained to its end: the loop then removes what it went on from.

    Begun anew in the same folder it would cut off its updates, and take the earlier
    policy's measurements for its own.
    """
    learned = (run / UPDATES_FILE).exists()
    if learned and not (run / "training" / "state.json").exists():
        return True
    # One that was killed then had no time to remove it.
    try:
        summary = json.loads((run / SUMMARY).read_text(encoding="utf-8"))
        return bool(summary["training"]["agent"]) and not summary["interrupted"]
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _state(folder: Path) -> dict[str, Any]:
    path = folder / TRAINING
    try:
        state: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        kept = {name: state[name] for name in ("policy", "seed", "save", "config")}
        # Early versions knew no certified training.
        kept["certified"] = state.get("certified") is True
        # Nor other engines.
        kept["engine"] = str(state.get("engine") or "auto")
        # Trainings of before had one rate, one batch and two passes for all sizes.
        chosen = {"learning_rate": 2e-3, "groups": 16, "epochs": 2}
        kept["config"] = chosen | kept["config"]
        # Only a model of the hub has a base, only later versions a choice of trainers.
        of_some = ("adapter_dir", "base", "trainer")
        return kept | {name: state.get(name) for name in of_some}
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise UsageError(
            f"--agentgym-resume: {path} is damaged ({type(exc).__name__}): start a new "
            "training"
        ) from exc


def _same(name: str, given: object, default: object, before: object, run: Path) -> None:
    if given not in (default, before):
        raise UsageError(
            f"--agentgym-{name} {given}: the training in {run} has {before}; leave the "
            "option out, or start a new training"
        )
