"""What of the policy can be imported where torch is not installed."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys

import agentgym.policy

# Programs (`__main__`) are not imported by anything.
NEED_TORCH = {
    *("build.examples", "build.model", "build.optimizer", "build.tokenizer"),
    "build.imitation",
    *("engine.adapter", "engine.claimed_size", "engine.engine", "engine.loading"),
    "engine.penalties",
    *("engine.room", "engine.sampling"),
    *("engine.kv.attention", "engine.kv.cache_choice", "engine.kv.kv_cache"),
    *("engine.kv.plain_cache", "engine.kv.slots", "engine.kv.step_rows"),
    *("server.completions", "server.in_process", "server.routes"),
    "server.structured_output",
    "trained.merging",
}

PROGRAM = """
import importlib, json, sys
loaded = {}
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
    for model in ("torch", "transformers"):
        if model in sys.modules:
            loaded.setdefault(model, name)
print(json.dumps(loaded))
"""


def test_only_what_computes_imports_torch():
    prefix = "agentgym.policy."
    modules = {
        module.name
        for module in pkgutil.walk_packages(agentgym.policy.__path__, prefix)
        if not module.name.endswith("__main__")
    }
    needed = {prefix + name for name in NEED_TORCH}
    assert needed <= modules
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(sorted(modules - needed))],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == {}
