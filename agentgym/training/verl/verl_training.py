"""A training whose updates Agent Lightning's own trainer makes.

Held-out cases are measured by us, before and after, as in every training. Between, verl
has the GPUs: it queues rollouts at the same gateway, and the same runners play them.
"""

from __future__ import annotations

import json
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from agentgym.errors import UsageError
from agentgym.runs.files.updates import sampler_mismatch
from agentgym.training.hub.gateway import Gateway
from agentgym.training.hub.host import PolicyHost
from agentgym.training.hub.lookout import Lookout
from agentgym.training.hub.player import Player, TrainingStopped
from agentgym.training.job.plan import TrainingPlan
from agentgym.training.job.training_result import TrainingResult
from agentgym.training.loop import sentences
from agentgym.training.loop.checkpoint import room_for_files
from agentgym.training.loop.journal import Journal
from agentgym.training.loop.measurement import Measurement
from agentgym.training.loop.observer import Observer
from agentgym.training.loop.result import make_result, save_trained
from agentgym.training.loop.session import TrainingSession
from agentgym.training.loop.versions import Versions
from agentgym.training.verl import trainer_process
from agentgym.training.verl.checkpoint_import import (
    actor_folder,
    check_same_base,
    import_adapter,
    latest_step,
)
from agentgym.training.verl.verl_launch import VerlLaunch
from agentgym.training.verl.verl_metrics import (
    PATH_VARIABLE,
    MetricsFile,
    trained,
    update_line,
    without_our_parts,
)

LOOK_SECONDS = 0.5
LOG, MERGE_LOG = "verl.log", "verl-merge.log"


class VerlTraining:
    """One training, from its first measurement to the saved agent.

    `make_verl_training` makes the parts.

    Args:
        plan: What is trained, and on what.
        launch: What verl is told.
        session: How far it is.
        gateway: Where verl queues rollouts.
        host: Serves the policy that is measured.
        player: Has held-out episodes played.
        lookout: Looks after verl's rollouts.
        versions: Measures before and after.
        observer: Follows the training.
    """

    def __init__(
        self,
        plan: TrainingPlan,
        launch: VerlLaunch,
        *,
        session: TrainingSession,
        gateway: Gateway,
        host: PolicyHost,
        player: Player,
        lookout: Lookout,
        versions: Versions,
        observer: Observer,
    ) -> None:
        self.plan = plan
        self._launch = launch
        self._session = session
        self._gateway = gateway
        self._host = host
        self._player = player
        self._lookout = lookout
        self._versions = versions
        self._observer = observer
        self._stopping = threading.Event()

    def run(self) -> TrainingResult:
        """Trains; blocks until the end.

        Raises:
            UsageError: Something that the user can mend.
        """
        before = Measurement()
        try:
            with room_for_files(self.plan.run_folder):
                before = self._versions.measure_before()
                if self._versions.enough(before, 0):
                    certified = self.plan.certified
                    reason = sentences.met_before(certified=certified)
                    return self._result(before, reason)
                return self._result(before, self._train())
        except TrainingStopped:
            return self._make(before, sentences.INTERRUPTED, interrupted=True)
        finally:
            self._host.close()

    def stop(self) -> None:
        """Ends the training soon, from another thread."""
        self._stopping.set()
        self._player.stop()

    def runner_lost(self, runner: str) -> None:
        """A runner died.

        Args:
            runner: Its name, or how that begins.
        """
        self._player.runner_lost(runner)
        self._lookout.runner_lost(runner)

    def _train(self) -> str:
        """Has verl train, and measures what came of it; returns why it ended."""
        for sentence in self._launch.not_carried_over:
            self._observer.say(f"not carried over to verl: {sentence}")
        # verl takes the GPUs, and serves the policy by itself.
        self._host.pause()
        self._gateway.pass_on(str(self.plan.base))
        reason = self._run_ppo()
        step = latest_step(self._launch.weights)
        if step is None:
            log = self.plan.run_folder / LOG
            raise UsageError(
                f"verl has saved no weights: {reason}; its output is in {log}"
            )
        self._take(step)
        self._versions.measure_best()
        return reason

    def _run_ppo(self) -> str:
        """Runs verl's process to its end; returns why it ended."""
        folder, config = self.plan.run_folder, self.plan.config
        job = folder / "verl.json"
        # It has the gateway's key.
        job.touch(mode=0o600)
        job.write_text(json.dumps(self._launch.to_json()), encoding="utf-8")
        metrics = MetricsFile(folder / "verl-metrics.jsonl")
        where = {PATH_VARIABLE: str(folder / "verl-metrics.jsonl")}
        episodes = config.updates * config.groups * config.group_size
        self._observer.phase("train", episodes)
        process = trainer_process.WatchedProcess(
            [*trainer_process.TRAINER, str(job)], folder / LOG, where
        )
        try:
            with closing(Journal(folder)) as journal:
                return self._watch(process, metrics, journal)
        finally:
            process.end()
            job.unlink(missing_ok=True)

    def _watch(
        self,
        process: trainer_process.WatchedProcess,
        metrics: MetricsFile,
        journal: Journal,
    ) -> str:
        """Follows verl's process, and ends it when there is no time left.

        Raises:
            TrainingStopped: The training is to end early.
            UsageError: It failed.
        """
        while True:
            code = process.poll()
            self._follow(metrics, journal)
            if code:
                raise UsageError(
                    f"verl's trainer ended with exit code {code}: "
                    f"{process.last_line}; its output is in {process.log}"
                )
            if code == 0:
                return sentences.updates_made(self._session.state.version)
            if (spent := self._spent()) is not None:
                return spent
            if self._lookout.due:
                self._lookout.look()
            if self._stopping.wait(LOOK_SECONDS):
                raise TrainingStopped("the training was stopped")

    def _follow(self, metrics: MetricsFile, journal: Journal) -> None:
        """Takes in what verl says of its updates."""
        state = self._session.state
        for step, data in metrics.new():
            if "val/passed" in data:
                state.validated[step] = data["val/passed"]
                share = data["val/passed"]
                self._observer.say(f"validation of update {step}: {share:.1%} passed")
            state.episodes += int(
                data.get("agentgym/episodes", 0) + data.get("val/n_rollouts", 0)
            )
            if without_our_parts(data):
                raise UsageError(
                    "verl trained without agentgym's parts, so that a lost episode "
                    "counts as a reward of 0: leave worker_process_setup_hook out of "
                    "--agentgym-trainer-config"
                )
            if not trained(data):
                continue
            elapsed = self._session.elapsed
            line = update_line(step, data, episodes=state.episodes, elapsed=elapsed)
            journal.write(line)
            state.version = step
            self._observer.update(line)

    def _spent(self) -> str | None:
        """Why there is no room for another update; None if there is."""
        minutes, state = self.plan.config.minutes, self._session.state
        if self._session.elapsed + state.reserve <= 60 * minutes:
            return None
        return sentences.time_used_up(
            minutes, measuring=state.reserve, updates=state.version
        )

    def _take(self, step: int) -> None:
        """Makes verl's weights of a step the present version.

        Raises:
            UsageError: They cannot be used.
        """
        actor = actor_folder(self._launch.weights, step)
        check_same_base(actor, self.plan.base)
        merged = self._launch.weights / "merged"
        places = ["--local_dir", str(actor), "--target_dir", str(merged)]
        log = self.plan.run_folder / MERGE_LOG
        merger = trainer_process.WatchedProcess([*trainer_process.MERGER, *places], log)
        try:
            if code := merger.wait():
                raise UsageError(
                    f"verl's merger ended with exit code {code}: {merger.last_line}; "
                    f"its output is in {log}"
                )
        finally:
            merger.end()

        def save(folder: Path) -> None:
            import_adapter(merged, self.plan.base, folder)

        state = self._session.state
        # What was learned after the last save is lost.
        state.version = step
        state.validated.clear()
        self._host.write(step, save)
        self._host.start()

    def _result(self, before: Measurement, reason: str) -> TrainingResult:
        """The result; saves the agent, if there is one."""
        result = self._make(before, reason)
        if not self._versions.after.outcomes:
            return result
        adapter = self._host.adapter(result.version)
        return save_trained(self.plan, self._session.state, result, adapter)

    def _make(
        self, before: Measurement, reason: str, *, interrupted: bool = False
    ) -> TrainingResult:
        self._session.count_time()
        state, after = self._session.state, self._versions.after
        made = make_result(
            self.plan,
            state,
            before,
            after if after.outcomes and not interrupted else None,
            reason=reason,
            interrupted=interrupted,
            never_passed=[],
            signs=self._session.watch.signs(state.version),
        )
        # While it learned, vLLM in verl sampled, whatever measured.
        mismatch = sampler_mismatch(self.plan.run_folder, "vllm")
        return replace(made, mismatch=mismatch)
