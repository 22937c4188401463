"""A pack that comes with agentgym, copied into a project, with a perfect agent."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentgym.commands.main import main

SHIPPED = Path(__file__).parents[2] / "scenarios"
PACKS = sorted(file.parent.name for file in SHIPPED.glob("*/oracles.py"))

ORACLE = """
    import contextlib, importlib
    from pathlib import Path

    import agentgym, pytest

    @pytest.fixture
    def agent(request, case, tools):
        oracles = importlib.import_module(f"{PACK}.oracles")
        assert Path(oracles.__file__).is_relative_to(request.config.rootpath)
        scene = oracles.situation(request.function.__name__, case)
        known = {tool.__name__: agentgym.tool(tool) for tool in tools}

        def agent(message):
            assert message == scene.message
            for name, arguments in scene.calls:
                with contextlib.suppress(Exception):
                    known[name](**arguments)
            return scene.reply(case.rng)

        return agent
"""


@pytest.mark.parametrize("pack", PACKS)
def test_the_oracle_passes_every_scenario(gym, monkeypatch, pack):
    monkeypatch.chdir(gym.pytester.path)
    assert main(["scenarios", "copy", pack]) == 0
    gym.conftest(f"    PACK = {pack!r}" + ORACLE)
    result = gym.start(
        "scenarios", "--agentgym-episodes=4", "-n2", "-v", plugins=("xdist",)
    )
    assert result.ret == 0, result.stdout.str()
    summary = gym.summary()
    assert len(summary["scenarios"]) >= 10
    assert summary["reliability"]["value"] == 1
    assert {episode["reward"] for episode in gym.episodes()} == {1}
