"""The command `agentgym doctor`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from agentgym.commands.main import main
from agentgym.distribution import __version__

METADATA = f"""\
Metadata-Version: 2.1
Name: pytest-agentgym
Version: {__version__}
Provides-Extra: judge
Provides-Extra: policy
Provides-Extra: train
Provides-Extra: all
Requires-Dist: pytest>=9
Requires-Dist: pluggy<1
Requires-Dist: no-such-client>=2; extra == "judge"
Requires-Dist: nowhere-to-be-found; extra == "policy"
Requires-Dist: never-on-this-python; extra == "policy" and python_version < "3"
Requires-Dist: pytest-agentgym[policy]; extra == "train"
Requires-Dist: pytest-agentgym[judge,train]; extra == "all"
"""


def test_what_is_installed_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    assert told.out.startswith(f"agentgym {__version__}, Python 3.")
    lines = dict(
        line.rsplit(maxsplit=1)
        for line in told.out.splitlines()
        if line.endswith(("yes", "installed"))
    )
    assert lines["measure an agent"] == "yes"
    assert max(map(len, told.out.splitlines()[3:])) <= 100


def test_what_is_missing_or_of_a_wrong_version(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    info = tmp_path / f"pytest_agentgym-{__version__}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(METADATA)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "version_info", (3, 12, 1))
    assert main(["doctor"]) == 1
    told = capsys.readouterr()
    assert "is installed, and pluggy<1 is needed: run pip install" in told.err
    told_lines = [" ".join(line.split()) for line in told.out.splitlines()]
    for line in (
        "measure an agent yes",
        "measure with a local model no: pip install 'pytest-agentgym[policy]'",
        "train no: pip install 'pytest-agentgym[train]'",
        "judge(...) and simulated users no: pip install 'pytest-agentgym[judge]'",
        "extra judge missing no-such-client",
        "extra policy missing nowhere-to-be-found",
        "extra train missing nowhere-to-be-found",
    ):
        assert line in told_lines
    monkeypatch.setattr(sys, "version_info", (3, 11, 9))
    assert main(["doctor"]) == 1
    assert "no: training needs Python 3.12 or newer" in capsys.readouterr().out
