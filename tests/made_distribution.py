"""An installed distribution with scenario packs, made without an installer."""

from pathlib import Path

CONFTEST = """
import pytest
from agentgym import tool, wrap

@pytest.fixture
def parcels():
    return []

@pytest.fixture
def agent(parcels):
    @tool
    def send(parcel):
        parcels.append(parcel)

    return wrap(lambda message: send(parcel=message) or "sent")
"""
SCENARIO = """
from agentgym import Scenario, must, scenario

from .wording import polite

@scenario(episodes=3)
def test_one_is_sent(agent, parcels):
    run = agent.run("a book")
    assert parcels == ["a book"], must("it is asked for")
    polite(run)

class TestAsAClass(Scenario):
    def play(self, agent):
        assert agent.run("a pen").called("send")
"""
WORDING = """
from agentgym import rubric

@rubric
def polite(run):
    assert "please" in run.reply
"""


def make_distribution(
    site: Path, packs: dict[str, str], name: str = "parcel-packs"
) -> Path:
    """Makes a distribution; its folder of packages is to be on the path.

    Args:
        site: That folder; "site-packages" is what says that it is installed.
        packs: Packs' names, and the packages that its entry points name.
        name: The distribution's name.
    """
    info = site / f"{name.replace('-', '_')}-1.2.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2")
    points = "\n".join(f"{pack} = {package}" for pack, package in packs.items())
    (info / "entry_points.txt").write_text(f"[agentgym.scenarios]\n{points}\n")
    return site


def make_pack(folder: Path, about: str | None = None) -> None:
    """A package with scenarios, its environment, and a rubric beside them.

    Args:
        folder: The package's.
        about: Its `pack.toml`, if it has one.
    """
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_parcels.py").write_text(SCENARIO)
    (folder / "wording.py").write_text(WORDING)
    if about is not None:
        (folder / "pack.toml").write_text(about)
