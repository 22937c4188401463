"""The main process of a training: the hub, the trainer's thread, the results."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from agentgym.errors import AgentGymError, UsageError
from agentgym.runs.files.layout import RUNS
from pytest_agentgym.training.arrivals import Arrivals
from pytest_agentgym.training.catalogue import CatalogueEntry, deserialized
from pytest_agentgym.training.item_reports import item_reports
from pytest_agentgym.training.reporter import TrainingReporter
from pytest_agentgym.training.runner import Runner
from pytest_agentgym.training.scheduling import HubScheduling, wake
from pytest_agentgym.training.setting_up import Start, default_name, hold
from pytest_agentgym.training.shared_files import Failure, SharedFiles

if TYPE_CHECKING:
    from agentgym.training.hub.gateway import Gateway
    from agentgym.training.job.plan import TrainingPlan
    from agentgym.training.job.task import ScenarioInfo
    from agentgym.training.job.training_result import TrainingResult
    from agentgym.training.loop.loop import Training
    from agentgym.training.verl.verl_training import VerlTraining

WATCH_SECONDS = 0.2


class MainProcess:
    """Starts the trainer, waits for its end, and reports the scenarios.

    Args:
        config: Of the main process.
        start: What the training starts from.
        files: The run's shared files.
        reporter: Shows the progress and the results.
        runner: Plays in this process, where there are no workers.
    """

    def __init__(
        self,
        config: pytest.Config,
        start: Start,
        files: SharedFiles,
        reporter: TrainingReporter,
        runner: Runner,
    ) -> None:
        self._config = config
        self._start = start
        self._files = files
        self._reporter = reporter
        self._runner = runner
        self._arrivals = Arrivals(config, self._wake)
        self._stopped = threading.Event()
        self._over = threading.Event()
        self._training: Training | VerlTraining | None = None
        self._gateway: Gateway | None = None
        self._held: int | None = None
        self._result: TrainingResult | None = None
        self._error: BaseException | None = None
        self._trainer = threading.Thread(
            target=self._train, name="agentgym-trainer", daemon=True
        )
        self._watcher = threading.Thread(
            target=self._watch, name="agentgym-watcher", daemon=True
        )

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(
        self, session: pytest.Session
    ) -> Generator[None, object, object]:
        """Trains while the runners play, here, in xdist's workers or elsewhere."""
        if self._config.option.collectonly:
            return (yield)
        self._runner.between = self._arrivals.report
        self._trainer.start()
        self._watcher.start()
        interrupted = True
        try:
            looped = yield
            interrupted = False
        finally:
            self._end(interrupted)
        self._report_end(session)
        return looped

    @pytest.hookimpl(optionalhook=True, tryfirst=True)
    def pytest_xdist_make_scheduler(self) -> HubScheduling:
        """Gives xdist's workers nothing to run."""
        return HubScheduling(self._over.is_set, self._arrivals.report)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """Has the episodes of a worker that died played again."""
        training = self._training
        if error and training is not None:
            training.runner_lost(f"{node.gateway.id}-")

    def pytest_unconfigure(self) -> None:
        """Removes what a training goes on from, once it is over and its report written.

        Until then whatever kills it loses nothing.
        """
        saved = self._result is not None and self._result.agent is not None
        if saved and self._training is not None and self._reporter.written:
            folder = self._training.plan.training_folder
            shutil.rmtree(folder, ignore_errors=True)

    def _train(self) -> None:
        """The trainer's thread."""
        from agentgym.training.hub.gateway import Gateway, Listening

        try:
            if self._start.dry_run:
                self._dry_run(self._collected() or [])
                return
            at = Listening()
            if (listen := self._start.listen) is not None:
                host, port, key = listen
                at = Listening(host=host, port=port, key=key)
            self._gateway = gateway = Gateway.start(at)
            gateway.arrived = self._arrivals.put
            self._files.write_hub(gateway.url, gateway.key, self._start.in_flight)
            entries = self._collected()
            training = None if entries is None else self._make(entries, gateway)
            if training is not None:
                self._training = training
                if self._stopped.is_set():
                    # Meanwhile: it ends at once, with a result that says so.
                    training.stop()
                self._result = training.run()
        except BaseException as exc:  # noqa: BLE001 - raised again in the main thread
            self._error = exc
        finally:
            self._over.set()
            self._files.end()
            self._wake()

    def _wake(self) -> None:
        """Lets the main thread look what there is to do."""
        xdist = self._config.pluginmanager.get_plugin("dsession")
        if xdist is not None:
            wake(xdist)

    def _collected(self) -> list[CatalogueEntry] | None:
        """What the first runner collected; None if the run ends before."""
        while not self._stopped.is_set():
            entries = self._files.catalogue()
            if entries is not None:
                return [CatalogueEntry.from_json(entry) for entry in entries]
            time.sleep(0.02)
        return None

    def _make(
        self, entries: list[CatalogueEntry], gateway: Gateway
    ) -> Training | VerlTraining | None:
        """The training of the collected scenarios; None without any."""
        start = self._start
        self._reporter.collected(entries)
        scenarios = _trainable(entries)
        if not scenarios:
            return None
        folder = self._reporter.open_store(start.resumed)
        plan = self._plan(entries, folder)
        self._held = hold(folder)
        start.write(folder, plan.name)
        if start.chosen and start.resumed is None:
            self._reporter.say(start.chosen)
        observer, stopped = self._reporter.observer, self._stopped.is_set
        if start.trainer == "verl":
            from agentgym.training.verl.verl_parts import make_verl_training

            return make_verl_training(
                plan, gateway, observer, file=start.trainer_file, stopped=stopped
            )
        from agentgym.training.loop.assembly import make_training

        return make_training(plan, gateway, observer, stopped=stopped)

    def _plan(self, entries: list[CatalogueEntry], folder: Path) -> TrainingPlan:
        """What is trained.

        Args:
            entries: What was collected, a scenario at least among them.
            folder: The run's.
        """
        from agentgym.training.job.plan import TrainingPlan

        start, root = self._start, self._config.rootpath
        scenarios = _trainable(entries)
        return TrainingPlan(
            scenarios=scenarios,
            base=start.base,
            adapter=start.adapter,
            base_spec=start.policy,
            config=start.config,
            seed=start.seed,
            name=start.save or default_name(root, [s.scenario for s in scenarios]),
            run_folder=folder,
            root=root,
            timeout=max(entry.timeout for entry in entries),
            certified=start.certified,
            devices=start.devices,
            vllm=start.vllm and replace(start.vllm, log=folder / "vllm.log"),
        )

    def _dry_run(self, entries: list[CatalogueEntry]) -> None:
        """Says what a training by verl would do."""
        from agentgym.training.verl.verl_launch import VerlLaunch, dry_run

        if not _trainable(entries):
            return
        # Nothing is written there.
        plan = self._plan(entries, self._config.rootpath / RUNS / "RUN")
        file = self._start.trainer_file
        launch = VerlLaunch.of(plan, "http://127.0.0.1:0", "***", file)
        for line in dry_run(plan, launch):
            self._reporter.say(line)

    def _watch(self) -> None:
        """Stops the trainer when a runner has ended the training."""
        while not self._over.wait(WATCH_SECONDS):
            if self._files.failure() is not None:
                self._stop()
                return

    def _stop(self) -> None:
        self._stopped.set()
        if self._training is not None:
            self._training.stop()

    def _end(self, interrupted: bool) -> None:
        """Waits for the trainer; it saves what it has when it is stopped."""
        if interrupted:
            self._files.stop()
        # Whatever ended the runners, there is nobody to play any more.
        self._stop()
        self._reporter.closing(self._over.is_set())
        while self._trainer.is_alive():
            self._arrivals.report()
            self._trainer.join(WATCH_SECONDS)
        self._arrivals.close()
        self._watcher.join()
        if self._gateway is not None:
            self._gateway.close()
        self._reporter.ended(self._result)
        if self._held is not None:
            os.close(self._held)

    def _report_end(self, session: pytest.Session) -> None:
        """Raises the training's error, or reports the scenarios."""
        failure = self._files.failure()
        if failure is not None:
            self._report_failure(session, failure)
        if isinstance(self._error, UsageError):
            self._reporter.usage_errors.append(str(self._error))
        elif self._error is not None and failure is None:
            raise self._error
        elif self._start.dry_run:
            self._reporter.dry = True
        elif failure is None or failure.kind == "teardown":
            self._report_items()

    def _report_failure(self, session: pytest.Session, failure: Failure) -> None:
        if failure.report is not None:
            report = deserialized(self._config, failure.report)
            self._config.hook.pytest_runtest_logreport(report=report)
        match failure.kind:
            case "usage":
                if failure.text not in self._reporter.usage_errors:
                    self._reporter.usage_errors.append(failure.text)
            case "exit":
                pytest.exit(failure.text)
            case "collection":
                raise session.Interrupted(failure.text)
            case "internal":
                raise AgentGymError(f"a runner failed:\n{failure.text}")

    def _report_items(self) -> None:
        met = self._result is not None and self._result.met
        for entry in self._reporter.entries:
            for report in item_reports(
                self._config,
                entry,
                self._reporter.tally(entry),
                target=self._start.config.target,
                met=met,
            ):
                self._config.hook.pytest_runtest_logreport(report=report)


def _trainable(entries: list[CatalogueEntry]) -> tuple[ScenarioInfo, ...]:
    return tuple(entry.info for entry in entries if entry.info is not None)
