"""Makes the parts of a training by verl."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

from agentgym.training.batch.curriculum import Curriculum
from agentgym.training.hub.gateway import Gateway
from agentgym.training.hub.lookout import Lookout
from agentgym.training.hub.player import Player
from agentgym.training.job.plan import TrainingPlan
from agentgym.training.loop.assembly import ROLLOUT_TRIES, policy_host
from agentgym.training.loop.checkpoint import Checkpoint, State
from agentgym.training.loop.evaluator import Evaluator
from agentgym.training.loop.measurement import MeasuredEpisodes
from agentgym.training.loop.observer import Observer
from agentgym.training.loop.session import TrainingSession
from agentgym.training.loop.versions import Versions
from agentgym.training.signs.watch import Watch
from agentgym.training.verl.verl_launch import VerlLaunch
from agentgym.training.verl.verl_training import VerlTraining


def make_verl_training(
    plan: TrainingPlan,
    gateway: Gateway,
    observer: Observer,
    *,
    file: Path | None,
    stopped: Callable[[], bool] = lambda: False,
) -> VerlTraining:
    """Begins to start the policy server that is measured before.

    Args:
        plan: What is trained, and on what.
        gateway: Where rollouts are queued.
        observer: Follows the training.
        file: The user's settings of verl.
        stopped: Whether nobody waits for it any more.

    Raises:
        UsageError: Something that the user can mend.
    """
    began = time.monotonic()
    launch = VerlLaunch.of(plan, gateway.url, gateway.key, file)
    host = policy_host(plan, gateway, observer.say, stopped)
    host.start()
    if plan.adapter is not None:
        adapter = plan.adapter
        host.write(0, lambda folder: _copy(adapter, folder))
    curriculum = Curriculum(
        [info.scenario for info in plan.learned_from], seed=plan.seed, adaptive=False
    )
    checkpoint = Checkpoint(plan.training_folder)
    session = TrainingSession(State(), checkpoint, curriculum, Watch({}), began=began)
    timeout = plan.timeout * ROLLOUT_TRIES + 60
    player = Player(
        seed=plan.seed,
        session="",
        gateway=gateway,
        host=host,
        timeout=timeout,
        say=observer.say,
    )
    evaluator = Evaluator(
        plan.scenarios, session, player, MeasuredEpisodes(plan.run_folder), observer
    )
    return VerlTraining(
        plan,
        launch,
        session=session,
        gateway=gateway,
        host=host,
        player=player,
        lookout=Lookout(gateway, timeout),
        versions=Versions(
            plan.config.target,
            certified=plan.certified,
            minutes=plan.config.minutes,
            session=session,
            evaluator=evaluator,
            host=host,
            observer=observer,
        ),
        observer=observer,
    )


def _copy(adapter: Path, folder: Path) -> None:
    shutil.copytree(adapter, folder, dirs_exist_ok=True)
