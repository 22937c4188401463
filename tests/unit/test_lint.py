import pytest

from agentgym.commands.main import main

IDLE = """
from agentgym import must, scenario

@scenario
def test_idle(agent):
    run = agent.run("hi")
    assert run.called("look")
    assert not run.called("pay")

@scenario
def test_guarded(agent):
    run = agent.run("hi")
    assert run.called("look"), must("look first")
    assert not run.called("pay")

@scenario
def test_required(agent):
    run = agent.run("hi")
    assert "no" in run.reply
    assert not run.called("pay"), must("never pay")

def test_ordinary(run):
    assert not run.called("pay")
"""


def test_it_tells_which_check_rewards_doing_nothing(tmp_path, capsys):
    (tmp_path / "test_a.py").write_text(IDLE)
    hidden = tmp_path / ".venv" / "test_b.py"
    hidden.parent.mkdir()
    hidden.write_text(IDLE)
    assert main(["lint", str(tmp_path)]) == 1
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 1
    assert "test_a.py:8: an agent that does nothing is rewarded for" in out[0]
    assert "`not run.called('pay')`" in out[0]
    assert "must(" in out[0]


def test_nothing_to_tell(tmp_path, capsys):
    (tmp_path / "test_a.py").write_text("def test_a(): pass")
    assert main(["lint", str(tmp_path / "test_a.py")]) == 0
    expected = "1 file: no check rewards an agent for doing nothing\n"
    assert capsys.readouterr().out == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "there is no such file or folder"),
        ("def f(:", "test_a.py:1: this is no valid Python: invalid syntax"),
        (
            "from agentgym import scenario, weight\n@scenario\ndef test_a(agent):\n"
            "    assert 1, weight(-1)",
            "test_a.py:4: weight(-1): a weight is a number of at least 0",
        ),
    ],
)
def test_misuse(tmp_path, capsys, content, expected):
    path = tmp_path / "test_a.py"
    if content is not None:
        path.write_text(content)
    assert main(["lint", str(path)]) == 4
    assert expected in capsys.readouterr().err
