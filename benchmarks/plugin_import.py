"""What the installed plugin adds to plain `pytest`, and what it leaves unimported.

    python benchmarks/plugin_import.py [--runs 15]

Runs an empty test file with and without the plugin, in turns, and compares medians.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LIMIT_MILLISECONDS = 30
HEAVY = ("torch", "transformers", "pydantic", "rich", "httpx")
SHOW = (
    "import atexit, sys\n"
    f"heavy = {HEAVY}\n"
    "atexit.register(lambda: print('heavy:', [n for n in heavy if n in sys.modules]))\n"
)


def run(folder: Path, *arguments: str) -> tuple[float, str]:
    """Milliseconds of one pytest process, and what it printed."""
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
        cwd=folder,
        # As on a user's machine, modules are compiled once.
        env={
            **os.environ,
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTHONDONTWRITEBYTECODE": "",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    return 1000 * (time.perf_counter() - begun), done.stdout


def main() -> None:
    """Prints the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=15)
    runs = parser.parse_args().runs
    plugin = ("-p", "pytest_agentgym.plugin")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "test_empty.py").write_text("def test_empty(): pass\n")
        (folder / "conftest.py").write_text(SHOW)
        loaded = run(folder, *plugin)[1].splitlines()[-1]
        pairs = [(run(folder)[0], run(folder, *plugin)[0]) for _ in range(runs)]
    plain, with_plugin = (
        statistics.median(times) for times in zip(*pairs, strict=True)
    )
    added = statistics.median(b - a for a, b in pairs)
    print(f"plain pytest      {plain:7.1f} ms")
    print(f"with the plugin   {with_plugin:7.1f} ms")
    print(f"added             {added:7.1f} ms (limit {LIMIT_MILLISECONDS})")
    print(loaded)


if __name__ == "__main__":
    main()
