"""Training from Python: `Trainer(scenario="customer_support").train()`."""

from __future__ import annotations

import inspect
import json
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentgym.cluster.pytest_process import (
    Ended,
    run_pytest,
)
from agentgym.errors import AgentGymError, UsageError
from agentgym.exit_code import ExitCode
from agentgym.runs.files.held_folder import HeldFolder
from agentgym.scenarios.packs import ScenarioRegistry
from agentgym.scenarios.scenario import Scenario, settings_of
from agentgym.training.job.training_result import TrainingResult

if TYPE_CHECKING:
    from agentgym.training.job.config import TrainingConfig

__all__ = ["Trainer"]

What = str | Path | type[Scenario] | Callable[..., Any]

_WITHIN = "AGENTGYM_TRAINER"
"""Set in the processes that a trainer starts."""


class Trainer:
    """Trains the policy behind an agent, by `pytest --agentgym --train`.

    Args:
        scenario: What is trained on: the name of a folder (found as `scenarios/NAME` or
            `NAME` in `root` or a folder above it) or of an installed scenario pack, a
            path, a node id such as `test_refunds.py::test_damaged_item`, a `Scenario`
            subclass or a scenario function; or a list of these.
        config: Its settings; None for the defaults, or those of a resumed training.
        policy: What `--agentgym-policy` takes: "embedded", a model's folder or its name
            at the Hugging Face hub, or a trained agent to go on from.
        save: The trained agent's name; by default that of the scenarios' folder.
        seed: The same seed gives the same cases and replies.
        episodes: Held-out episodes of each scenario, before and after; None for what
            the scenarios say.
        workers: Processes that play episodes; 0 for the one of pytest itself.
        judge: What `--agentgym-judge` takes, `URL#MODEL`.
        user: What `--agentgym-user` takes, `URL#MODEL`.
        devices: What `--agentgym-devices` takes, as "sampler=0,trainer=1".
        root: The project's folder; by default the current one.
        resume: Go on with a training that ended early: True for the latest, or the id
            of its run.
        certified: Whether the target must be certain, as `--agentgym-gate certified`.

    Raises:
        UsageError: There is no such scenario.
    """

    def __init__(
        self,
        scenario: What | Sequence[What],
        config: TrainingConfig | None = None,
        *,
        policy: str | Path = "embedded",
        save: str | None = None,
        seed: int = 0,
        episodes: int | None = None,
        workers: int = 0,
        judge: str | None = None,
        user: str | None = None,
        devices: str | None = None,
        root: str | Path | None = None,
        resume: bool | str = False,
        certified: bool = False,
    ) -> None:
        self.root = Path(root or ".").absolute()
        if not self.root.is_dir():
            raise UsageError(f"root={str(root)!r}: there is no such folder")
        # What is no number is told by xdist.
        if isinstance(workers, int) and workers < 0:
            raise UsageError(f"workers={workers}: give a number from 0")
        if config is not None:
            _check(config)
        self.scenarios = [_node(what, self.root) for what in _listed(scenario)]
        if not self.scenarios:
            raise UsageError("scenario=[]: name at least one")
        self.config = config
        self._options = [
            f"--agentgym-policy={_absolute(policy)}",
            f"--agentgym-seed={seed}",
        ]
        if episodes is not None:
            self._options.append(f"--agentgym-episodes={episodes}")
        if save is not None:
            self._options.append(f"--agentgym-save={save}")
        if resume:
            run = "latest" if resume is True else resume
            self._options.append(f"--agentgym-resume={run}")
        if certified:
            self._options.append("--agentgym-gate=certified")
        if judge is not None:
            self._options.append(f"--agentgym-judge={judge}")
        if user is not None:
            self._options.append(f"--agentgym-user={user}")
        if devices is not None:
            self._options.append(f"--agentgym-devices={devices}")
        if workers:
            self._options.append(f"-n{workers}")

    def train(self) -> TrainingResult:
        """Trains; blocks until the end, and shows the progress on the terminal.

        Ctrl-C stops the training, which saves what it has: `interrupted` then says so,
        and `resume=True` goes on with it.

        Returns:
            Reliability before and after. A target that was missed is no error: `met`.

        Raises:
            UsageError: Something that the user can mend.
            AgentGymError: The training failed, or too few episodes count to judge it.
            KeyboardInterrupt: Ctrl-C, before there was anything to save.
        """
        ended = self.run()
        ended.raise_signal()
        if ended.code == ExitCode.USAGE:
            raise UsageError(ended.sentence)
        if ended.code == ExitCode.CANNOT_JUDGE:
            raise AgentGymError(_cannot_judge(ended))
        training = ended.summary.get("training")
        if training is not None and 0 <= ended.code <= ExitCode.INTERRUPTED:
            return TrainingResult.from_json(training)
        if signal.SIGINT in ended.signals:
            raise KeyboardInterrupt
        if ended.code == ExitCode.NOTHING:
            raise UsageError(f"no scenario was found in {', '.join(self.scenarios)}")
        raise AgentGymError(_failure(ended.code))

    def run(self, *options: str) -> Ended:
        """Trains, and says how pytest ended.

        Args:
            *options: Further options for pytest.

        Raises:
            UsageError: It is called while pytest imports a file of scenarios.
        """
        if _WITHIN in os.environ:
            raise UsageError(
                "a file that a Trainer has pytest import trains, too: put its call "
                'below `if __name__ == "__main__":`'
            )
        with HeldFolder() as folder:
            return run_pytest(
                ["--train", *self.scenarios, *self._settings(folder), *options],
                folder=folder,
                root=self.root,
                environment={_WITHIN: str(os.getpid())},
                own_session=True,
            )

    def _settings(self, folder: Path) -> Iterator[str]:
        yield from self._options
        if self.config is not None:
            # Those that were not given are the resumed training's, where there is one.
            settings = self.config.model_dump(mode="json", exclude_unset=True)
            path = folder / "config.json"
            path.write_text(json.dumps(settings), encoding="utf-8")
            yield f"--agentgym-train-config={path}"


def _listed(scenario: What | Sequence[What]) -> Sequence[What]:
    if isinstance(scenario, Sequence) and not isinstance(scenario, str):
        return scenario
    return [scenario]


def _check(config: object) -> None:
    from agentgym.training.job.config import TrainingConfig

    if not isinstance(config, TrainingConfig):
        raise UsageError(
            f"config={config!r}: give a TrainingConfig, such as "
            "TrainingConfig(target=0.95)"
        )


def _node(what: What, root: Path) -> str:
    """What pytest calls it.

    Raises:
        UsageError: There is none.
    """
    if isinstance(what, str | os.PathLike):
        return _find(os.fspath(what), root)
    if settings_of(what) is None or what is Scenario:
        raise UsageError(
            f"{what!r} is no scenario: give a folder's name, a path, a node id, a "
            "Scenario subclass or a function with @scenario"
        )
    if "<locals>" in what.__qualname__:
        raise UsageError(
            f"the scenario {what.__qualname__} is defined within a function, where "
            "pytest cannot find it: define it in a file of its own"
        )
    file = Path(inspect.getfile(what)).resolve()
    return f"{file}::{what.__qualname__.replace('.', '::')}"


def _find(text: str, root: Path) -> str:
    """A node id with an absolute path, or the option that names a pack."""
    name, colons, inner = text.partition("::")
    path = Path(name).expanduser()
    if name.startswith(".") or path.is_absolute():
        places, missing = [root / path], f"{root / path} does not exist"
    else:
        # Not the system's own folders: a project is never at the very top.
        above = [folder for folder in root.parents if folder != folder.parent]
        within = (Path("scenarios", path), path)
        places = [folder / place for folder in (root, *above) for place in within]
        missing = (
            f"neither scenarios/{name} nor {name} exists in {root} or a folder above it"
        )
    existing = next((place for place in places if name and place.exists()), None)
    if existing is not None:
        return f"{os.path.normpath(existing)}{colons}{inner}"
    if name == text and path.name == name:
        try:
            return f"--agentgym-scenario={ScenarioRegistry().get(name).name}"
        except UsageError as error:
            missing += f", and {error}"
    raise UsageError(f"there are no scenarios {text!r}: {missing}")


def _absolute(policy: str | Path) -> str:
    return str(policy if isinstance(policy, str) else policy.expanduser().absolute())


def _cannot_judge(ended: Ended) -> str:
    episodes: dict[str, int] = ended.summary.get("episodes", {})
    lost = [f"{n} {name}" for name, n in episodes.items() if n]
    return (
        f"too few episodes count to judge the agent ({', '.join(lost) or 'none'}): "
        "pytest's output above says what went wrong"
    )


def _failure(code: int) -> str:
    if code < 0:
        return (
            f"pytest was killed by {signal.Signals(-code).name}: what was learned is "
            "saved; go on with resume=True"
        )
    if code == ExitCode.INTERNAL:
        return "the training failed with an internal error: pytest's output shows it"
    return (
        f"pytest ended with exit code {code} before the training was done: its output "
        "says why"
    )
