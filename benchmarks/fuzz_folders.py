"""Damages a model's, an adapter's and an agent's files at random, for a long time.

Usage: `python benchmarks/fuzz_folders.py --seconds 3600`. Each example is a number, so
that `--only NUMBER` shows one again. What each must come to is what users get: the
folder works, or is refused in one line that steers no terminal, within limits of memory
and time. Anything else is a finding: a line of JSON, and exit code 1.

Examples run in forks: most only look at the files, and some load the model and let it
write, once a trial with limits has let it pass, as for users.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import torch

from agentgym.errors import UsageError
from agentgym.policy.chat import trial
from agentgym.policy.chat.trial_process import tried
from agentgym.policy.engine.adapter import read_adapter
from agentgym.policy.engine.engine import Engine
from agentgym.policy.engine.generation import SamplingParams
from agentgym.policy.engine.loading import load
from agentgym.policy.folders.adapter_folder import CONFIG, WEIGHTS, check_adapter
from agentgym.policy.folders.model_folder import check_folder
from agentgym.policy.folders.weight_files import parameter_count
from agentgym.policy.trained.agent_folder import save_agent
from agentgym.policy.trained.trained_agent import TrainedAgent
from tests.hostile_folders import copied
from tests.mutations import mutate_bytes, mutate_json
from tests.tiny_adapter import make_adapter

SECONDS, MEMORY = 60, 1_500_000_000
"""What an example may take at most, beside what the libraries do."""
BATCH = 100
"""Examples in one fork that look at the files only."""
MODEL_FILES = (
    *("config.json", "generation_config.json", "tokenizer.json", "tokenizer.json"),
    *("tokenizer_config.json", "chat_template.jinja", "model.safetensors"),
)
AGENT_FILES = ("agent.json", "agent.json", CONFIG, WEIGHTS)
_LOG = os.fdopen(os.dup(2), "w", buffering=1)
"""Ours: a fork has none that one sees."""


class Finding(Exception):
    """What should not have happened, in words."""


class Subjects:
    """The folders that are damaged, one file at a time.

    Args:
        home: Gets them.
    """

    def __init__(self, home: Path) -> None:
        self.model = copied(home / "model")
        adapter = make_adapter(self.model, home / "adapter")
        card = {
            "base": {"spec": str(self.model)},
            "scenarios": [{"scenario": "test_a.py::test_one", "judged_by": ["shy"]}],
            "config": {"dtype": "auto", "chat_template_kwargs": {"thinking": False}},
            "before": {"value": 0.5, "low": 0.4, "high": 0.6},
            "prompt": {"system": "Help.", "tools": [{"name": "refund"}]},
            "per_passed": {
                "before": {"tokens": 3, "tool_calls": 2, "usd": {"m": 0.1}},
                "after": {"tokens": 2, "tool_calls": 2, "usd": {"m": 0.1}},
            },
            "episodes": 30,
            "seconds": 3.5,
        }
        self.agent = save_agent(home, "it", adapter, card)

    @contextlib.contextmanager
    def damaged(self, random: Random) -> Iterator[tuple[Path, str]]:
        """One folder with one file that has changed, which is whole again afterwards.

        Args:
            random: Draws what becomes of it.
        """
        folder = random.choice((self.model, self.agent))
        name = random.choice(MODEL_FILES if folder is self.model else AGENT_FILES)
        file = folder / name
        whole = file.read_bytes()
        try:
            file.write_bytes(_damage(name, whole, random))
            yield folder, name
        finally:
            file.write_bytes(whole)


def _damage(name: str, whole: bytes, random: Random) -> bytes:
    if name.endswith(".safetensors"):
        size = int.from_bytes(whole[:8], "little")
        text, rest = whole[8 : 8 + size], whole[8 + size :]
        if random.random() < 0.5:
            made = mutate_json(text.decode(), random).encode()
            return len(made).to_bytes(8, "little") + made + rest
        return mutate_bytes(whole[: 8 + size], random) + rest
    if name.endswith(".json") and random.random() < 0.8:
        return mutate_json(whole.decode(), random).encode()
    return mutate_bytes(whole, random)


# What is done with a folder.


def look(folder: Path, name: str) -> str:
    """Asks of the files what can be asked without loading anything.

    Args:
        folder: A model's or an agent's.
        name: The damaged file, for messages.
    """
    if name not in AGENT_FILES:
        parameter_count(folder)
        return _judged(check_folder, folder)
    said = _judged(lambda: TrainedAgent.load(folder))
    if said == "works":
        agent = TrainedAgent.load(folder)
        _check_line(agent.card().replace("\n", ""))
        _check_line(str(agent))
        agent.prompt.crew()
        _ = agent.template
    return said


def use(folder: Path, name: str) -> str:
    """Loads the model, or the agent's adapter, and lets it write.

    Args:
        folder: A model's or an agent's.
        name: The damaged file.
    """
    adapter = folder if name in AGENT_FILES else None
    base = folder if adapter is None else folder.parents[3] / "model"

    def run() -> None:
        if adapter is not None:
            check_adapter(adapter)
            read_adapter(adapter)
        engine = Engine(load(base), adapter=adapter)
        prompt = engine.policy.dialect.encode("<|im_start|>user\nhello<|im_end|>\n")
        done = engine.generate(prompt, SamplingParams(max_tokens=4))
        engine.close()
        if done.error is not None:
            raise done.error

    return _judged(run)


def _judged(check: Callable[..., Any], *args: Any) -> str:
    """What it comes to: "works", or "refused" with a proper sentence."""
    try:
        check(*args)
    except UsageError as error:
        _check_line(str(error))
        return "refused"
    return "works"


def _check_line(text: str) -> None:
    if not text.isprintable():
        raise Finding(f"a line that is not printable: {text!r}")
    if len(text) > 1500:
        raise Finding(f"a line of {len(text)} characters: {text[:200]!r}")


# Forks.


def forked(work: Callable[[Callable[[str], None]], None]) -> tuple[list[str], int]:
    """Runs something in a fork with limits.

    Args:
        work: Gets what writes a line to us.

    Returns:
        The lines, and the exit status: negative for a signal.
    """
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read_end)
        status = 0
        try:
            _limit()
            with os.fdopen(write_end, "w") as stream:
                work(lambda line: print(line, file=stream, flush=True))
        except BaseException:  # noqa: BLE001 - whatever it is, it is told
            traceback.print_exc(file=_LOG)
            status = 70
        os._exit(status)
    os.close(write_end)
    with os.fdopen(read_end) as stream:
        lines = stream.read().splitlines()
    _, ended = os.waitpid(child, 0)
    return lines, os.waitstatus_to_exitcode(ended)


def _limit() -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime) + 1 + SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 2)
    os.dup2(silent, 1)
    signal.alarm(20 * SECONDS)


def looked_at(subjects: Subjects, numbers: range) -> Iterator[tuple[int, str, str]]:
    """What examples come to that only look: number, file and what it is.

    Args:
        subjects: Are whole.
        numbers: Of the examples.
    """

    def work(say: Callable[[str], None]) -> None:
        for number in numbers:
            with subjects.damaged(Random(number)) as (folder, name):
                say(json.dumps([number, name, None]))
                try:
                    said = look(folder, name)
                except BaseException:  # noqa: BLE001 - a panic is none else
                    said = "finding: " + traceback.format_exc()
                say(json.dumps([number, name, said]))

    lines, status = forked(work)
    told = [json.loads(line) for line in lines]
    yield from (tuple(each) for each in told if each[2] is not None)
    if status and told:
        yield told[-1][0], told[-1][1], f"finding: the process ended with {status}"


def used(subjects: Subjects, number: int) -> tuple[int, str, str]:
    """What an example comes to that is loaded: number, file and what it is.

    Args:
        subjects: Are whole.
        number: Of the example.
    """
    with subjects.damaged(Random(number)) as (folder, name):

        def try_it(say: Callable[[str], None]) -> None:
            verdict = None
            if name not in AGENT_FILES:
                with contextlib.suppress(UsageError):
                    check_folder(folder)
                    verdict = tried(folder)
            say(json.dumps(verdict))

        def work(say: Callable[[str], None]) -> None:
            trial.finish_trial = lambda _: None
            trial.begin_trial = lambda _: None
            # What the other processes have found out.
            from agentgym.policy.engine import loading, token_model

            token_model.finish_trial = trial.finish_trial
            loading.trial_beside = lambda _: contextlib.nullcontext()
            try:
                say(json.dumps(use(folder, name)))
            except BaseException:  # noqa: BLE001 - a panic is none else
                say(json.dumps("finding: " + traceback.format_exc()))

        # A user's parent process turns its death into a sentence.
        lines, status = forked(try_it)
        if status or not lines or json.loads(lines[-1]) is not None:
            return number, name, "refused by the trial"
        lines, status = forked(work)
        if not lines:
            return number, name, f"finding: the process ended with {status}"
        return number, name, json.loads(lines[-1])


def main() -> int:
    """Runs for as long as it is asked to; says what it found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60, help="how long")
    parser.add_argument("--start", type=int, default=0, help="the first number")
    parser.add_argument("--only", type=int, help="one example, loaded, too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    counts: Counter[str] = Counter()
    findings = 0
    home = Path(tempfile.mkdtemp(prefix="agentgym-fuzz-"))
    try:
        subjects = Subjects(home)
        for number, name, said in _examples(subjects, options):
            counts[f"{name}: {said.partition(':')[0]}"] += 1
            if said.startswith("finding"):
                findings += 1
                print(json.dumps({"number": number, "file": name, "said": said}))
                sys.stdout.flush()
    finally:
        shutil.rmtree(home)
    for what, count in sorted(counts.items()):
        print(f"{count:8,}  {what}")
    print(f"{counts.total():,} examples, {findings} findings")
    return 1 if findings else 0


def _examples(
    subjects: Subjects, options: argparse.Namespace
) -> Iterator[tuple[int, str, str]]:
    if options.only is not None:
        yield from looked_at(subjects, range(options.only, options.only + 1))
        yield used(subjects, options.only)
        return
    end = time.monotonic() + options.seconds
    number = options.start
    while time.monotonic() < end:
        yield from looked_at(subjects, range(number, number + BATCH))
        # A tenth is loaded: it takes a hundred times as long.
        for each in range(number, number + BATCH, 10):
            if time.monotonic() < end:
                yield used(subjects, each)
        number += BATCH


if __name__ == "__main__":
    sys.exit(main())
