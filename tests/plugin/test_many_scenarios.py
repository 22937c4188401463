"""What a run of very many scenarios prints is bounded, and says what it leaves out."""

from __future__ import annotations

import re

import pytest

MANY = 60
SOURCE = f"""
    import pytest
    from agentgym import scenario

    @pytest.mark.parametrize("customer", range({MANY}))
    @scenario(episodes=4, cases=4)
    def test_a_customer_of_the_old_warehouse_is_helped(agent, case, customer):
        words = "look_up=7" if case.index < customer % 5 else "wait"
        run = agent.run(words)
        assert run.called("look_up")
        assert run.reply == "done"

    @pytest.mark.parametrize("customer", range(25))
    @scenario(episodes=1)
    def test_stock(agent, broken, customer):
        assert agent.run("hi").reply

    def test_plain():
        assert 1 + 1 == 3
"""
BROKEN = """
    @pytest.fixture
    def broken():
        raise LookupError("no stock")
"""


@pytest.fixture
def many(gym, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    gym.more_conftest(BROKEN)
    gym.file(SOURCE)
    return gym


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_what_is_printed_is_bounded(many, workers):
    plugins = ("xdist.plugin",) if workers else ()
    result = many.start(*workers, plugins=plugins)
    lines = result.outlines
    rows = [line for line in lines if re.match(r"  \S+ +\d/\d ", line)]
    assert len(rows) == MANY + 25
    assert len({row.split()[0] for row in rows}) == MANY + 25
    assert len(lines) < len(rows) + 220
    # One letter each, as pytest shows tests.
    if not workers:
        assert any(re.search(r"F{20,}", line) for line in lines)
    assert not [line for line in lines if re.search(r"\d/\d passed", line)]
    told = [line for line in lines if line.startswith("FAILED ")]
    assert len(told) == 11
    # Those that cannot be judged are the worst, and a plain test is always shown.
    assert sum("test_stock" in line for line in told) == 10
    assert sum("test_plain" in line for line in told) == 1
    assert sum(line.startswith("_") for line in lines) == 11
    hidden = MANY + 25 - 10
    [more] = [line for line in lines if line.startswith("... and ")]
    assert more.startswith(f"... and {hidden} more: the table of scenarios has them")
    result.assert_outcomes(failed=MANY + 25 + 1)
    # Each check is told once, the rows come as they were collected.
    text = " ".join(result.stdout.str().split())
    assert text.count("assert run.reply == 'done' test_it.py:") == 1
    names = [s["name"] for s in many.summary()["scenarios"]]
    numbers = [int(name.partition("[")[2].rstrip("]")) for name in names]
    assert numbers == [*range(MANY), *range(25)]


@pytest.mark.parametrize("options", [("-v",), ("-rA",)], ids=" ".join)
def test_all_of_it_is_there_for_who_asks(many, options):
    lines = many.start(*options).outlines
    told = [line for line in lines if line.startswith("FAILED ")]
    assert len(told) == MANY + 25 + 1
    assert not [line for line in lines if line.startswith("... and ")]


def test_few_scenarios_have_a_line_each(gym):
    gym.file("""
        import pytest
        from agentgym import scenario

        @pytest.mark.parametrize("customer", range(20))
        @scenario(episodes=1)
        def test_customer(agent, customer):
            assert agent.run("hi").reply == "ho"
    """)
    lines = gym.start().outlines
    assert sum("]: 0/1 passed" in line for line in lines) == 20
    assert sum(line.startswith("FAILED ") for line in lines) == 20
