"""Our parts in Agent Lightning's trainer, in the Ray process that it runs in.

Its trainer finds its parts by name in its own module: what asks for rollouts, what
makes a batch of them, and what computes advantages. `install` is the set-up hook of
Ray's workers: it puts a trainer in place that puts the other parts in place.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from functools import partial
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from agentgym.errors import AgentGymError
from agentgym.training.batch.samples import Components
from agentgym.training.hub.player import MAX_TRIES
from agentgym.training.verl.learned import learn, result_of
from agentgym.training.verl.verl_job import VerlJob

HOOK = f"{__name__}.install"
JOB = "agentgym"
"""Where the job lies in the configuration's `agentlightning`."""
_MODULE = "agentlightning.verl.trainer"
_TRAINER = "AgentLightningRayPPOTrainer"
_PARTS = (
    *("RolloutAdapter", "AglRolloutManager"),
    *("compute_rollout_level_advantage", "normalize_advantages_by_rollout"),
)
_PLACE = "agentgym_place"


def install() -> None:
    """Has our trainer take the place of Agent Lightning's in this process.

    Its module is not imported here: Ray's workers for GPUs have this hook, too, and
    must not touch CUDA before they know which of them is theirs.
    """
    importlib.import_module("agentlightning.verl.per_rollout_loss").register_in_worker()
    module = sys.modules.get(_MODULE)
    if module is not None:
        replace_trainer(module)
    elif not any(isinstance(finder, _AfterImport) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AfterImport())


class _AfterImport(MetaPathFinder):
    """Replaces the trainer when its module is imported."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: Any = None
    ) -> ModuleSpec | None:
        if fullname != _MODULE:
            return None
        sys.meta_path.remove(self)
        spec = find_spec(fullname)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def then_replace(module: ModuleType) -> None:
            execute(module)
            replace_trainer(module)

        spec.loader.exec_module = then_replace  # type: ignore[method-assign]
        return spec


def replace_trainer(module: Any) -> None:
    """Puts our trainer into the module of Agent Lightning's.

    Args:
        module: `agentlightning.verl.trainer`.
    """
    missing = [name for name in (_TRAINER, *_PARTS) if not hasattr(module, name)]
    if missing:
        raise AgentGymError(
            f"{_MODULE} has no {', '.join(missing)}: install agentlightning 1.0.2"
        )
    theirs = getattr(module, _TRAINER)
    if hasattr(theirs, "agentgym"):
        return

    class OwnPartsTrainer(theirs):  # type: ignore[misc, valid-type]
        agentgym = True

        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            from omegaconf import OmegaConf

            said = OmegaConf.to_container(self.config.agentlightning[JOB], resolve=True)
            substitute(VerlJob.from_json(said))  # type: ignore[arg-type]

    setattr(module, _TRAINER, OwnPartsTrainer)


def substitute(job: VerlJob) -> Any:
    """Puts our parts into the module of Agent Lightning's trainer.

    Args:
        job: How rollouts become what verl learns from.

    Returns:
        The module.
    """
    module: Any = importlib.import_module(_MODULE)
    module.RolloutAdapter = partial(_adapter(), job, _components(job))
    module.AglRolloutManager = _manager()
    module.compute_rollout_level_advantage = own_advantages
    # They are weighed already.
    module.normalize_advantages_by_rollout = lambda advantages, *_, **__: advantages
    return module


def own_advantages(batch: Any, **_: Any) -> tuple[Any, dict[str, float]]:
    """Takes the advantages that came with the rows for verl's own.

    Args:
        batch: verl's `DataProto`.
    """
    from agentgym.training.verl.verl_batch import ADVANTAGES

    advantages = batch.batch.pop(ADVANTAGES)
    batch.batch["advantages"] = advantages
    batch.batch["returns"] = advantages.clone()
    return batch, {}


def _adapter() -> Any:
    theirs = importlib.import_module("agentlightning.verl.rollout_adapter")

    class LearnedRollouts(theirs.RolloutAdapter):  # type: ignore[misc, name-defined]
        """Makes verl's batch of what counts."""

        def __init__(
            self, job: VerlJob, components: Components, **options: Any
        ) -> None:
            super().__init__(**options)
            self._job = job
            self._components = components

        def get_train_data_batch(
            self, completed_rollouts: Sequence[Any], *, global_steps: int = 0
        ) -> tuple[Any, dict[str, Any]]:
            from agentgym.training.verl.verl_batch import Sizes, data_proto, fit

            learned = learn(completed_rollouts, self._job, self._components)
            if learned.lost and not learned.played:
                raise AgentGymError(
                    f"all {learned.lost} episodes of an update were lost; the last one "
                    f"is an {learned.why_lost}"
                )
            sizes = Sizes(
                prompt=self.max_prompt_length,
                response=self.max_response_length,
                pad=self.pad_token_id,
            )
            fitted = fit(learned.rows, sizes)
            batch = data_proto(
                fitted.rows,
                sizes,
                mini_batch=self._job.mini_batch,
                episodes=len(learned.played) or 1,
            )
            metrics = {
                **learned.metrics(),
                "agentgym/too_long_rows": fitted.too_long,
                "agentgym/cut_rows": fitted.cut,
            }
            return batch, metrics

        def get_test_metrics(
            self, completed_rollouts: Sequence[Any], *, global_steps: int = 0
        ) -> dict[str, Any]:
            results = [result_of(rollout) for rollout in completed_rollouts]
            counted = [result for result in results if result.outcome.counts]
            passed = sum(result.outcome == "passed" for result in counted)
            metrics: dict[str, float] = {
                "val/n_rollouts": len(results),
                "val/n_lost": sum(
                    not (result.outcome.counts or result.skipped) for result in results
                ),
            }
            if counted:
                rewards = [result.reward or 0.0 for result in counted]
                metrics["val/reward"] = sum(rewards) / len(rewards)
                metrics["val/passed"] = passed / len(counted)
            return metrics

    return LearnedRollouts


def _components(job: VerlJob) -> Components:
    from agentgym.policy.engine.token_model import read_token_model
    from agentgym.training.batch.segments import components_of

    return components_of(read_token_model(job.base, template=job.template or None))


def _manager() -> Any:
    theirs = importlib.import_module("agentlightning.verl.agl_rollout_manager")

    class ReplayingManager(theirs.AglRolloutManager):  # type: ignore[misc, name-defined]
        """Has rollouts that were lost played again."""

        def enqueue_and_wait_until_completed(
            self, data: dict[str, Any], *, is_train: bool
        ) -> list[Any]:
            ended = list(
                super().enqueue_and_wait_until_completed(data, is_train=is_train)
            )
            self._train_rollout_n = 1
            for _ in range(MAX_TRIES - 1):
                lost = [place for place, each in enumerate(ended) if _is_lost(each)]
                if not lost:
                    break
                inputs = [ended[place].input for place in lost]
                again = {
                    name: [each[name] for each in inputs] for name in inputs[0]
                } | {_PLACE: lost}
                for each in super().enqueue_and_wait_until_completed(
                    again, is_train=is_train
                ):
                    place = each.input.pop(_PLACE)
                    of_group = ("data_id", "sample_idx_in_step")
                    kept = {name: getattr(ended[place], name) for name in of_group}
                    ended[place] = each.model_copy(update=kept)
            return ended

    return ReplayingManager


def _is_lost(rollout: Any) -> bool:
    result = result_of(rollout)
    return not (result.outcome.counts or result.skipped)
