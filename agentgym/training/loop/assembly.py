"""Makes a training and its parts, all that is heavy among them."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

from agentgym.training.batch.collector import Collector
from agentgym.training.batch.curriculum import Curriculum
from agentgym.training.batch.segments import components_of
from agentgym.training.hub.gateway import Gateway
from agentgym.training.hub.host import PolicyHost
from agentgym.training.hub.player import Player
from agentgym.training.job.plan import TrainingPlan, check_plan
from agentgym.training.loop import sentences
from agentgym.training.loop.checkpoint import Checkpoint, State, room_for_files
from agentgym.training.loop.evaluator import Evaluator
from agentgym.training.loop.loop import Training
from agentgym.training.loop.measurement import MeasuredEpisodes
from agentgym.training.loop.observer import Observer
from agentgym.training.loop.session import TrainingSession
from agentgym.training.loop.versions import Versions
from agentgym.training.signs.watch import Watch

ROLLOUT_TRIES = 4
"""A rollout is given up after the time limits of so many tries at its episode."""


def make_training(
    plan: TrainingPlan,
    gateway: Gateway,
    observer: Observer,
    *,
    stopped: Callable[[], bool] = lambda: False,
) -> Training:
    """Starts the policy server, loads the policy, and takes up what was kept.

    Args:
        plan: What is trained, and on what.
        gateway: Where rollouts are queued.
        observer: Follows the training.
        stopped: Whether nobody waits for it any more: a large model takes minutes.

    Raises:
        UsageError: Something that the user can mend.
        InfraError: It was stopped.
    """
    began = time.monotonic()
    check_plan(plan)
    host = policy_host(plan, gateway, observer.say, stopped)
    try:
        with room_for_files(plan.run_folder):
            host.start()
            return _loaded(plan, gateway, observer, host, began)
    except BaseException:
        host.close()
        raise


def policy_host(
    plan: TrainingPlan,
    gateway: Gateway,
    say: Callable[[str], None],
    given_up: Callable[[], bool],
) -> PolicyHost:
    """What serves the versions of a training's policy; it is not started yet.

    Args:
        plan: What is trained, and on what.
        gateway: Where each version is published.
        say: Tells the user that the server had to be started again.
        given_up: Whether nobody waits for it any more.
    """
    return PolicyHost(
        plan.base,
        plan.training_folder / "versions",
        gateway,
        log=plan.run_folder / "policy.log",
        device=plan.devices.sampler or plan.config.device,
        dtype=plan.config.dtype,
        vllm=plan.vllm,
        template=plan.config.chat_template_kwargs,
        given_up=given_up,
        say=say,
    )


def _loaded(
    plan: TrainingPlan,
    gateway: Gateway,
    observer: Observer,
    host: PolicyHost,
    began: float,
) -> Training:
    """Loads the policy and what was kept of the training."""
    # Heavy: the server imports the same at the same time.
    from agentgym.policy.engine.loading import load
    from agentgym.training.step.base_check import check_base, probe
    from agentgym.training.step.update import Updater

    config = plan.config
    checkpoint = Checkpoint(plan.training_folder)
    kept = checkpoint.load()
    policy = load(plan.base, plan.devices.trainer or config.device, config.dtype)
    if plan.vllm is not None:
        host.shares_gpu = plan.vllm.starts and policy.model.device.type == "cuda"
        prompt = probe(policy)
        check_base(policy, prompt, *host.sampled(prompt))
    updater = Updater(
        policy,
        config,
        seed=plan.seed,
        adapter=plan.adapter,
        sampler=None if plan.vllm is None else "vLLM",
    )
    curriculum = Curriculum(
        [info.scenario for info in plan.learned_from],
        seed=plan.seed,
        adaptive=config.adaptive_cases,
    )
    state, tensors = (State(), None) if kept is None else kept
    watch = Watch(state.watched)
    session = TrainingSession(state, checkpoint, curriculum, watch, began=began)
    if tensors is None:
        session.keep(updater.state())
    else:
        updater.restore(tensors)
        curriculum.restore(state.curriculum)
        observer.say(sentences.resumed(state))
    if not state.version or not host.adapter(state.version).exists():
        host.write(state.version, updater.save_adapter)
    player = Player(
        seed=plan.seed,
        # Nothing says how far rollouts were that an earlier session had begun.
        session="" if kept is None else secrets.token_hex(8),
        gateway=gateway,
        host=host,
        timeout=plan.timeout * ROLLOUT_TRIES + 60,
        say=observer.say,
    )
    collector = Collector(
        plan.scenarios,
        config,
        curriculum,
        components_of(policy),
        lambda tasks: player.play(tasks, session.count_episode),
    )
    evaluator = Evaluator(
        plan.scenarios,
        session,
        player,
        MeasuredEpisodes(plan.run_folder),
        observer,
    )
    return Training(
        plan,
        session=session,
        collector=collector,
        updater=updater,
        host=host,
        player=player,
        versions=Versions(
            config.target,
            certified=plan.certified,
            minutes=config.minutes,
            session=session,
            evaluator=evaluator,
            host=host,
            observer=observer,
        ),
        observer=observer,
    )
