"""CPU seconds of training: our stack part by part, and its model part against TRL.

    python benchmarks/training_cost.py [--trl] [--no-stack]

The stack is measured in a real `pytest --agentgym --train` on the customer-support
pack: LangChain agents, Agent Lightning's gateway, the policy server. The model part
alone (sampling and update) plays episodes of at most two model calls: a customer asks
where a parcel is, the model calls a tool, and answers. TRL's GRPOTrainer gets the same
model, prompts, tools, LoRA layers, group size and completion length in float32, in its
cheapest configuration; the two take turns, step by step, on one torch thread.
"""

import argparse
import functools
import importlib
import inspect
import json
import os
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ |= {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}

sys.path.insert(0, str(Path(__file__).resolve().parent))

import torch
from stack_cost import PROMPTS, REPEATS, ROOT, Cost, run_stack
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from transformers.utils import get_json_schema, logging

from agentgym.policy.chat.chat_template import ChatTemplate
from agentgym.policy.engine.engine import Engine
from agentgym.policy.engine.generation import Generation, SamplingParams
from agentgym.policy.engine.loading import load
from agentgym.policy.folders.embedded import embedded_path
from agentgym.policy.server import wire
from agentgym.scenarios.cases import make_cases
from agentgym.scenarios.components import COMPONENTS
from agentgym.training.batch.batch import Sample, make_batch
from agentgym.training.batch.rows import merge
from agentgym.training.batch.segments import segment
from agentgym.training.job.config import TrainingConfig
from agentgym.training.step.update import Updater

COMPLETION = 128
RATE = 1e-6
"""Small, so that both sides sample from the same policy to the end."""

Message = dict[str, Any]


# The task that both can express.


class Task:
    """Eight customers ask where their parcels are."""

    def __init__(self) -> None:
        sys.path.insert(0, str(ROOT / "scenarios"))
        helpdesk: Any = importlib.import_module("customer_support.helpdesk")
        language: Any = importlib.import_module("customer_support.language")
        case = make_cases(None, count=1, seed=0, scenario="cost", split="train")[0]
        desk = helpdesk.Helpdesk.of(case)
        orders = [desk.add_order("shipped") for _ in range(PROMPTS)]
        self.answers = [order.depot for order in orders]
        self.prompts: list[list[Message]] = [
            [
                {"role": "system", "content": language.INSTRUCTIONS},
                {"role": "user", "content": language.say("track", case, order)},
            ]
            for order in orders
        ]
        self.functions = [_described(tool) for tool in desk.tools]
        self.tools = [get_json_schema(tool) for tool in self.functions]
        self.mistakes = (helpdesk.HelpdeskError, ValueError, LookupError, TypeError)

    def call(self, name: str, arguments: str) -> str:
        """What a tool answers.

        Args:
            name: The tool's.
            arguments: JSON.
        """
        tools = {tool.__name__: tool for tool in self.functions}
        try:
            return str(tools[name](**json.loads(arguments)))
        except self.mistakes as error:
            return f"error: {error}"

    @staticmethod
    def reward(messages: Sequence[Message], answer: str) -> float:
        """Half for a tool call, half for the depot in the answer.

        Args:
            messages: All that follow the prompt.
            answer: The depot.
        """
        called = any(message.get("tool_calls") for message in messages)
        return 0.5 * called + 0.5 * (answer in (messages[-1]["content"] or ""))


def _described(tool: Callable[..., Any]) -> Callable[..., str]:
    """The tool with the words on each argument that transformers insists on."""

    @functools.wraps(tool)
    def made(**given: Any) -> str:
        return json.dumps(tool(**given))

    lines = [f"    {name}: The {name}." for name in inspect.signature(tool).parameters]
    made.__doc__ = "\n".join([inspect.getdoc(tool) or "", "", "Args:", *lines])
    return made


# The model part alone.


@dataclass(slots=True)
class Call:
    """A model call, as the gateway would have recorded it."""

    prompt_ids: list[int]
    token_ids: list[int]
    logprobs: list[float]


@dataclass(slots=True)
class Episode:
    """A conversation of our side."""

    id: str
    prompt: int
    messages: list[Message]
    calls: list[Call] = field(default_factory=list)
    room: int = COMPLETION


class Ours:
    """The engine of the policy server and the updater of the trainer."""

    def __init__(self, task: Task, folder: Path) -> None:
        self._task, self._folder = task, folder
        self._policy = load(embedded_path(), "cpu")
        self._engine = Engine(self._policy, max_rows=PROMPTS * REPEATS)
        self._template = ChatTemplate(self._policy.dialect)
        # One pass over a batch, as TRL's default is.
        config = TrainingConfig(learning_rate=RATE, lora_rank=16, epochs=1)
        self._updater = Updater(load(embedded_path(), "cpu"), config)
        self._version = -1
        self._publish()

    def step(self) -> Cost:
        """Plays 64 episodes and learns from them."""
        cost = Cost()
        cost["episodes"] = PROMPTS * REPEATS
        with cost.of("seconds", time.perf_counter):
            with cost.of("sampling"):
                groups = [
                    [Episode(f"{p}.{i}", p, [*messages]) for i in range(REPEATS)]
                    for p, messages in enumerate(self._task.prompts)
                ]
                episodes = [episode for group in groups for episode in group]
                self._answer(self._answer(episodes))
                self._template._remembered.clear()
            with cost.of("update"):
                samples = [[self._sample(episode) for episode in g] for g in groups]
                batch = make_batch(
                    samples, advantage="std", reward="checks", token_mean="rollout"
                )
                self._updater.update(batch)
                self._publish()
        cost["tokens"] = sum(len(c.token_ids) for e in episodes for c in e.calls)
        cost["reward"] = sum(s.reward for group in samples for s in group)
        return cost

    def close(self) -> None:
        """Ends the engine."""
        self._engine.close()

    def first_prompt(self) -> list[int]:
        """The tokens of the first prompt."""
        return self._template.prompt(self._task.prompts[0], self._task.tools).ids

    def _publish(self) -> None:
        self._version += 1
        folder = self._folder / f"v{self._version}"
        self._updater.save_adapter(folder)
        self._engine.load_adapter(folder.name, folder)

    def _answer(self, episodes: list[Episode]) -> list[Episode]:
        """A model call of each episode; returns those that called tools."""
        tools, adapter = self._task.tools, f"v{self._version}"
        asked: list[tuple[Episode, Any, Future[Generation]]] = []
        for episode in episodes:
            prompt = self._template.prompt(episode.messages, tools, salt=episode.id)
            if episode.calls:
                # Like TRL's, a completion is all that follows the first prompt.
                first = len(episode.calls[0].prompt_ids)
                episode.room = COMPLETION - (len(prompt.ids) - first)
                if episode.room <= 0:
                    continue
            future: Future[Generation] = Future()
            params = SamplingParams(max_tokens=episode.room)
            made = Generation(prompt.ids, params, adapter, on_done=future.set_result)
            self._engine.submit(made)
            asked.append((episode, prompt, future))
        going = []
        for episode, prompt, future in asked:
            generation = future.result()
            ids = generation.token_ids
            episode.calls.append(Call(prompt.ids, ids, generation.logprobs))
            shown = ids[:-1] if ids[-1] in self._policy.stop_ids else ids
            dialect = self._policy.dialect
            message = wire.assistant_message(dialect.parse(dialect.text(shown)))
            self._template.remember(prompt, message, ids)
            episode.messages.append(message)
            for call in message.get("tool_calls", ()):
                result = self._task.call(**call["function"])
                episode.messages.append(
                    {"role": "tool", "tool_call_id": call["id"], "content": result}
                )
            if "tool_calls" in message:
                going.append(episode)
        return going

    def _sample(self, episode: Episode) -> Sample:
        stop, dialect = self._policy.stop_ids, self._policy.dialect
        reward = self._task.reward(
            episode.messages[2:], self._task.answers[episode.prompt]
        )
        rows = merge(
            episode.calls,
            lambda _, ids: segment(dialect.pieces(ids), dialect, ended=ids[-1] in stop),
        )
        return Sample(
            scenario="cost",
            reward=reward,
            passed=reward == 1,
            rows=rows,
            trained=COMPONENTS,
        )


def run_trl(
    task: Task, steps: int, rows: int, folder: Path, before_step: Callable[[], None]
) -> list[Cost]:
    """Steps of TRL's GRPOTrainer.

    Args:
        task: Prompts, tools and rewards.
        steps: How many.
        rows: Of one backward pass.
        folder: Scratch.
        before_step: Called before each step, outside of what is measured.
    """
    try:
        from datasets import Dataset
        from peft import LoraConfig
        from trl import GRPOConfig, GRPOTrainer
        from trl.chat_template_utils import qwen3_template
    except ImportError as error:
        raise SystemExit(f"--trl needs TRL ({error}): run uv pip install trl") from None
    costs: list[Cost] = []

    class Clocked(GRPOTrainer):  # type: ignore[misc]
        def _generate(self, prompts: list[Any]) -> Any:
            with costs[-1].of("sampling"):
                return super()._generate(prompts)

    class Steps(TrainerCallback):  # type: ignore[misc]
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            before_step()
            costs.append(Cost(episodes=PROMPTS * REPEATS))
            self.begun = time.process_time(), time.perf_counter()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            cost, (cpu, wall) = costs[-1], self.begun
            cost["update"] = time.process_time() - cpu - cost["sampling"]
            cost["seconds"] = time.perf_counter() - wall

    def reward(completions: list[Any], answer: list[str], **_: Any) -> list[float]:
        rewards = [task.reward(c, a) for c, a in zip(completions, answer, strict=True)]
        costs[-1]["reward"] = sum(rewards)
        return rewards

    tokenizer = AutoTokenizer.from_pretrained(embedded_path())
    # Its tool calls are written as Qwen's are.
    tokenizer.response_template = qwen3_template
    trainer = Clocked(
        model=AutoModelForCausalLM.from_pretrained(embedded_path(), dtype="float32"),
        reward_funcs=reward,
        processing_class=tokenizer,
        tools=task.functions,
        train_dataset=Dataset.from_list(
            [
                {"prompt": prompt, "answer": answer}
                for prompt, answer in zip(task.prompts, task.answers, strict=True)
            ]
        ),
        peft_config=LoraConfig(
            r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"
        ),
        args=GRPOConfig(
            output_dir=str(folder / "trl"),
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            max_steps=steps,
            per_device_train_batch_size=rows,
            gradient_accumulation_steps=PROMPTS * REPEATS // rows,
            num_generations=REPEATS,
            max_completion_length=COMPLETION,
            max_tool_calling_iterations=1,
            learning_rate=RATE,
            lr_scheduler_type="constant",
            beta=0.0,
            report_to="none",
            save_strategy="no",
            logging_steps=1,
            disable_tqdm=True,
        ),
        callbacks=[Steps()],
    )
    trainer.train()
    for cost, log in zip(costs, trainer.state.log_history, strict=False):
        cost["tokens"] = PROMPTS * REPEATS * log["completions/mean_length"]
    return costs


def table(title: str, costs: Sequence[Cost], parts: Sequence[str]) -> float:
    """Prints medians per episode; returns the CPU milliseconds of one.

    Args:
        title: What was measured.
        costs: Of each step, the first of which is not counted.
        parts: Names of those that are summed, each in CPU seconds.
    """

    def median(of: Callable[[Cost], float]) -> float:
        # The first one warms up.
        return statistics.median(map(of, costs[1:]))

    each = [
        median(lambda c, part=part: 1000 * c[part] / c["episodes"]) for part in parts
    ]
    total = median(lambda c: 1000 * sum(c[part] for part in parts) / c["episodes"])
    speed = median(lambda c: c["episodes"] / c["seconds"])
    cells = "  ".join(f"{part} {ms:.1f}" for part, ms in zip(parts, each, strict=True))
    print(
        f"{title:12} {total:6.1f} ms of CPU per episode: {cells}; {speed:.1f} a second"
    )
    if costs[0]["tokens"]:
        tokens = median(lambda c: c["tokens"] / c["episodes"])
        reward = median(lambda c: c["reward"] / c["episodes"])
        print(
            f"{'':12} {tokens:.0f} sampled tokens and reward {reward:.2f} per episode"
        )
    return total


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trl", action="store_true", help="compare with TRL")
    parser.add_argument("--no-stack", action="store_true", help="the model part only")
    parser.add_argument("--steps", type=int, default=5, help="the first is not counted")
    parser.add_argument("--rows", type=int, default=16, help="TRL's in a backward pass")
    options = parser.parse_args()
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    warnings.simplefilter("ignore")
    print("load averages", *(f"{load:.1f}" for load in os.getloadavg()))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if not options.no_stack:
            parts = ("sampling", "agent", "gateway", "runner", "scoring", "update")
            table("stack", run_stack(options.steps, folder), parts)
        task = Task()
        ours = Ours(task, folder)
        mine: list[Cost] = []
        if options.trl:
            theirs = run_trl(
                task,
                options.steps,
                options.rows,
                folder,
                lambda: mine.append(ours.step()),
            )
        else:
            mine = [ours.step() for _ in range(options.steps)]
        ours.close()
        cost = table("model part", mine, ("sampling", "update"))
        if options.trl:
            of_trl = table("TRL", theirs, ("sampling", "update"))
            print(f"TRL takes {of_trl / cost:.1f} times the CPU")
    print("load averages", *(f"{load:.1f}" for load in os.getloadavg()))


if __name__ == "__main__":
    main()
