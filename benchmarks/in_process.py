"""The customer-support pack played in this process: no HTTP, no LangChain, no pytest.

Learning experiments need many runs. Here an agent of a few lines plays the pack's own
scenarios and checks on an engine in the same process, and the library's own training
code (rows, advantages, loss, update) learns from it, on one core.
"""

import ast
import builtins
import importlib
import json
import random
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

import agentgym
from agentgym.policy.chat.chat_template import ChatTemplate
from agentgym.policy.engine.engine import Engine
from agentgym.policy.engine.generation import SamplingParams
from agentgym.policy.engine.loading import load
from agentgym.policy.folders.embedded import embedded_path
from agentgym.policy.server import wire
from agentgym.recording.recorder import Recorder, current
from agentgym.scenarios.cases import Case, make_cases
from agentgym.scenarios.check_log import CheckLog, FunctionChecks
from agentgym.scenarios.checks import specs_of
from agentgym.scenarios.reward import compute_reward
from agentgym.scenarios.scenario import settings_of
from agentgym.training.batch.batch import Sample
from agentgym.training.batch.rows import merge
from agentgym.training.batch.segments import segment
from pytest_agentgym.collect import check_pass

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scenarios"))
MAX_CALLS = 12


@dataclass
class ModelCallRecord:
    """A model call of the agent, as the gateway would have recorded it."""

    prompt_ids: list[int]
    token_ids: list[int]
    logprobs: list[float]


def pack() -> dict[str, Callable[..., None]]:
    """The pack's scenario functions, their asserts made checks."""
    functions = {}
    for path in sorted((ROOT / "scenarios/customer_support").glob("test_*.py")):
        tree = ast.parse(path.read_text())
        specs = check_pass.instrument(tree, str(path))
        module = ModuleType(f"customer_support.{path.stem}")
        module.__package__ = "customer_support"
        module.__dict__[check_pass.JUDGES] = [FunctionChecks(each) for each in specs]
        module.__dict__[check_pass.EXCEPTION] = builtins.Exception
        exec(compile(tree, str(path), "exec"), module.__dict__)
        functions |= {
            name: value
            for name, value in vars(module).items()
            if callable(value) and settings_of(value) is not None
        }
    return functions


class World:
    """A policy in this process and the pack to play on it."""

    def __init__(self, model: Path | None = None, *, rows: int = 64) -> None:
        self.policy = load(model or embedded_path(), "cpu")
        self.engine = Engine(self.policy, max_rows=rows)
        self.template = ChatTemplate(self.policy.dialect)
        self.scenarios = pack()
        self._pool = ThreadPoolExecutor(rows)
        helpdesk: Any = importlib.import_module("customer_support.helpdesk")
        language: Any = importlib.import_module("customer_support.language")
        dialogues: Any = importlib.import_module("customer_support.dialogues")
        self._helpdesk = helpdesk.Helpdesk
        self._instructions = language.INSTRUCTIONS
        self._tools = next(iter(dialogues.dialogues(0, 1)))["tools"]

    def case(self, scenario: str, split: Any, index: int, seed: int) -> Case:
        """A case of a scenario, as the plugin makes it.

        Args:
            scenario: Its name.
            split: "train" or "held_out".
            index: Among the cases of this split.
            seed: The same seed gives the same case.
        """
        return make_cases(
            None, count=index + 1, seed=seed, scenario=scenario, split=split
        )[index]

    def play(
        self,
        wanted: list[tuple[str, Case]],
        *,
        trained: dict[str, frozenset[str]],
        train: bool,
    ) -> list[Sample]:
        """Plays episodes, many in flight.

        Args:
            wanted: Scenario and case of each.
            trained: Components by scenario.
            train: Whether they are made rows to learn from.
        """
        done = list(self._pool.map(lambda w: self._episode(*w, trained, train), wanted))
        self.template._remembered.clear()
        return done

    def _episode(
        self, scenario: str, case: Case, trained: dict[str, frozenset[str]], train: bool
    ) -> Sample:
        desk = self._helpdesk.of(case)
        calls: list[ModelCallRecord] = []
        agent = agentgym.wrap(lambda text: self._converse(text, desk, calls))
        function = self.scenarios[scenario]
        known = {"agent": agent, "helpdesk": desk, "case": case}
        names = function.__code__.co_varnames[: function.__code__.co_argcount]
        log, recorder = CheckLog(), Recorder(max_tool_calls=50)
        with recorder.activate(), log.activate():
            try:
                function(**{name: known[name] for name in names})
                finished = True
            except Exception:  # noqa: BLE001 - as a failed episode
                finished = False
        results = log.results(specs_of(function) or ())
        reward = compute_reward(results, finished=finished)
        rows = merge(calls, self.components) if train else []
        return Sample(
            scenario=scenario,
            reward=reward,
            passed=finished
            and all(r.status == "passed" or r.spec.conditional for r in results),
            rows=rows,
            trained=trained.get(scenario, frozenset()),
            calls=len(calls),
            tokens=sum(len(c.prompt_ids) + len(c.token_ids) for c in calls),
            tool_calls=len(recorder.trajectory.tool_calls),
        )

    def components(self, _: Any, ids: Any) -> Any:
        """The component of each sampled token."""
        dialect, ended = self.policy.dialect, ids[-1] in self.policy.stop_ids
        return segment(dialect.pieces(ids), dialect, ended=ended)

    def _converse(self, text: str, desk: Any, calls: list[ModelCallRecord]) -> str:
        recorder = current()
        assert recorder is not None
        tools = {tool.__name__: tool for tool in desk.tools}
        messages: list[dict[str, Any]] = [
            {"role": "system", "content": self._instructions},
            {"role": "user", "content": text},
        ]
        for _ in range(MAX_CALLS):
            prompt = self.template.prompt(messages, self._tools)
            begun = recorder.model_started()
            params = SamplingParams(
                max_tokens=min(512, self.policy.context - len(prompt.ids))
            )
            made = self.engine.generate(prompt.ids, params)
            ids = made.token_ids
            shown = ids[:-1] if ids[-1] in self.policy.stop_ids else ids
            dialect = self.policy.dialect
            reply = dialect.parse(dialect.text(shown))
            message = wire.assistant_message(reply)
            self.template.remember(prompt, message, ids)
            calls.append(
                ModelCallRecord(
                    prompt_ids=list(prompt.ids),
                    token_ids=list(ids),
                    logprobs=list(made.logprobs),
                )
            )
            recorder.model_finished(begun, message=message)
            messages.append(message)
            valid = [
                (c["id"], c["function"]["name"], _arguments(c))
                for c in message.get("tool_calls", ())
            ]
            if not any(arguments is not None for _, _, arguments in valid):
                return message["content"] or ""
            for call_id, name, arguments in valid:
                if arguments is None:
                    continue
                if name not in tools:
                    result = f"error: {name} is not a valid tool"
                    recorder.tool_answered(call_id, result, refused=True)
                else:
                    call = recorder.tool_started(name, arguments, call_id=call_id)
                    try:
                        value = tools[name](**arguments)
                        result = json.dumps(value, ensure_ascii=False)
                        recorder.tool_finished(call, value)
                    except Exception as error:  # noqa: BLE001 - the model gets it
                        result = f"error: {error}"
                        recorder.tool_failed(call, error)
                messages.append(
                    {"role": "tool", "tool_call_id": call_id, "content": result}
                )
        return ""


def _arguments(call: dict[str, Any]) -> dict[str, Any] | None:
    try:
        found = json.loads(call["function"]["arguments"] or "{}")
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def install(world: World, model: Any) -> None:
    """Puts the trained LoRA weights, merged, into the world's engine.

    Args:
        world: Whose policy is replaced.
        model: The trained peft model.
    """
    inner = model.get_base_model()
    trained = dict(inner.named_modules())
    with torch.no_grad():
        for name, module in world.policy.model.named_modules():
            lora = trained.get(name)
            if lora is not None and hasattr(lora, "lora_A"):
                base = lora.get_base_layer().weight
                module.weight.copy_(base + lora.get_delta_weight("default"))
    # What was computed with the weights before is void.
    world.engine._cache.clear()
    torch.set_num_threads(1)


def shuffled(rng: random.Random, values: list[Any]) -> list[Any]:
    """The values in another order.

    Args:
        rng: The random generator.
        values: They stay as they are.
    """
    return rng.sample(values, len(values))
