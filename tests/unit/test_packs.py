"""The registry of scenario packs, and the command `agentgym scenarios`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentgym import Case, ScenarioRegistry, UsageError
from agentgym.commands.main import main
from scenarios.customer_support.helpdesk import Helpdesk
from tests.made_distribution import make_distribution, make_pack

ABOUT = """
title = "A parcel service"
cases = "two by hand"
tools = ["send"]
embedded = 0.5
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of installed packages; the test is in another, empty folder."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    folder = tmp_path / "site-packages"
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == "post"]:
        del sys.modules[name]


def test_what_comes_with_agentgym_says_what_is_there(site):
    pack = ScenarioRegistry().get("customer_support")
    case = Case(index=0, seed=1, split="train")
    tools = [each.__name__ for each in Helpdesk.of(case).tools]
    assert sorted(pack.tools) == sorted(tools)
    assert len(pack.scenarios) == 18
    assert "test_refunds.py::test_damaged_item_is_refunded" in pack.scenarios
    assert pack.source.startswith("pytest-agentgym ")


def test_the_gameable_pack_has_the_tools_of_customer_support(site):
    registry = ScenarioRegistry()
    pack = registry.get("gameable")
    assert pack.title.startswith("Gameable on purpose")
    assert pack.tools == registry.get("customer_support").tools
    assert len(pack.scenarios) == 5


def test_the_modules_of_a_pack(site):
    make_distribution(site, {"parcels": "post.parcels"})
    make_pack(site / "post" / "parcels")
    registry = ScenarioRegistry()
    wording = registry.get("parcels").module("wording")
    assert wording.__name__ == "post.parcels.wording"
    # A copy in the project has the same name, and is another one.
    shipped = registry.get("customer_support").module("helpdesk")
    assert shipped is registry.get("customer_support").module("helpdesk")
    assert shipped.Helpdesk is not Helpdesk
    assert Path(shipped.__file__ or "").parent == (
        registry.get("customer_support").folder
    )
    with pytest.raises(ImportError):
        registry.get("customer_support").module("nowhere")


def test_what_others_publish(site):
    make_distribution(site, {"parcels": "post.parcels", "letters": "post.letters"})
    make_pack(site / "post" / "parcels", ABOUT)
    make_pack(site / "post" / "letters")
    registry = ScenarioRegistry()
    assert registry.names == sorted(registry.names)
    assert {"customer_support", "letters", "parcels"} <= set(registry.names)
    assert [pack.name for pack in registry] == registry.names
    pack = registry.get("parcels")
    assert (pack.folder, pack.source) == (site / "post/parcels", "parcel-packs 1.2")
    assert (pack.title, pack.cases) == ("A parcel service", "two by hand")
    assert (pack.tools, pack.embedded) == (("send",), 0.5)
    ids = ["test_parcels.py::test_one_is_sent", "test_parcels.py::TestAsAClass"]
    assert pack.scenarios == ids
    assert registry.get("letters").embedded is None
    assert "post.parcels" not in sys.modules


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("parcel", r"there is no scenario pack 'parcel': did you mean parcels\?"),
        ("x", "no scenario pack 'x': installed are broken, .*customer_support, "),
        ("twice", "twice is in .*-packs 1.2 and .*-packs 1.2: uninstall one of them"),
        ("nowhere", "nowhere of parcel-packs 1.2 cannot be found: ModuleNotFoundErr"),
        ("broken", "cannot be found: ZeroDivisionError: division by zero"),
        ("module", "names post.one_file, which is no package: its entry point must"),
        ("no_toml", "no_toml/pack.toml cannot be read: "),
        ("typo", "typo/pack.toml: titel: no such key; there are title, cases, exam"),
        ("tools", "tools/pack.toml: tools: give a list of names"),
        ("share", "share/pack.toml: embedded: give a share from 0 to 1"),
        ("title", "title/pack.toml: title: give a text"),
    ],
)
def test_packs_that_cannot_be_used(site, name, sentence):
    packs = {
        each: f"post.{each}" for each in ("no_toml", "typo", "tools", "share", "title")
    }
    packs |= {"nowhere": "no.such", "module": "post.one_file", "broken": "bad.pack"}
    packs |= {"parcels": "post.parcels", "twice": "post.parcels"}
    make_distribution(site, packs | {"elsewhere": "elsewhere"})
    make_distribution(site, {"twice": "post.parcels"}, "other-packs")
    make_pack(site / "post" / "parcels")
    for key, text in {
        "no_toml": "title = ",
        "typo": 'titel = "x"',
        "tools": 'tools = "send"',
        "share": "embedded = 72.7",
        "title": "title = 7",
    }.items():
        make_pack(site / "post" / key, text)
    (site / "post" / "one_file.py").touch()
    (site / "bad").mkdir()
    (site / "bad" / "__init__.py").write_text("1 / 0")
    with pytest.raises(UsageError, match=sentence):
        ScenarioRegistry().get(name)


@pytest.mark.parametrize(
    ("example", "sentence"),
    [
        (
            "wording:nothing",
            "wording:nothing of the scenario pack parcels made no tool",
        ),
        ("nowhere:tools", "nowhere:tools of .* made no tools: ModuleNotFoundError"),
    ],
)
def test_example_tools_that_cannot_be_made(site, example, sentence):
    make_distribution(site, {"parcels": "post.parcels"})
    make_pack(site / "post" / "parcels", f'example = "{example}"')
    with pytest.raises(UsageError, match=sentence):
        ScenarioRegistry().get("parcels").example_tools()


def test_the_list_goes_on_behind_one_that_is_no_good(site, capsys):
    make_distribution(site, {"gone": "no.such", "parcels": "post.parcels"})
    make_pack(site / "post" / "parcels", ABOUT)
    assert main(["scenarios"]) == 0
    told = capsys.readouterr()
    assert told.err.startswith("agentgym: the scenario pack gone of parcel-packs 1.2")
    assert "customer_support " in told.out
    lines = told.out.splitlines()
    row = next(line for line in lines if line.startswith("parcels"))
    assert row.split(maxsplit=3) == ["parcels", "2", "1", "50.0 % of held-out episodes"]
    assert max(map(len, lines)) <= 80
    assert main(["scenarios", "list"]) == 0
    assert capsys.readouterr().out == told.out


def test_one_is_shown(site, capsys):
    make_distribution(site, {"parcels": "post.parcels"})
    make_pack(site / "post" / "parcels")
    assert main(["scenarios", "show", "parcels"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"parcels, of parcel-packs 1.2, in {site / 'post/parcels'}",
        "embedded policy: passes unknown",
        "2 scenarios:",
        "    test_parcels.py::test_one_is_sent",
        "    test_parcels.py::TestAsAClass",
        "",
        "measure it: pytest --agentgym --agentgym-scenario parcels",
        "train on it: agentgym train parcels",
        "edit it, or put your agent there: agentgym scenarios copy parcels",
    ]


def test_one_is_copied_once(site, capsys):
    make_distribution(site, {"parcels": "post.parcels"})
    make_pack(site / "post" / "parcels")
    (site / "post" / "parcels" / "__pycache__").mkdir()
    assert main(["scenarios", "copy", "parcels"]) == 0
    assert capsys.readouterr().out.endswith("pytest --agentgym scenarios/parcels\n")
    names = {file.name for file in Path("scenarios/parcels").iterdir()}
    assert names == {"__init__.py", "conftest.py", "test_parcels.py", "wording.py"}
    assert main(["scenarios", "copy", "parcels"]) == 4
    told = capsys.readouterr().err
    assert told == (
        "agentgym: scenarios/parcels exists: name another folder, or remove it\n"
    )
    assert main(["scenarios", "copy", "parcels", "--to", "mine"]) == 0
    Path("file").touch()
    assert main(["scenarios", "copy", "parcels", "--to", "file/mine"]) == 4
    assert "file/mine cannot be made: Not a directory" in capsys.readouterr().err
