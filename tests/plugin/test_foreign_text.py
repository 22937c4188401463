"""Words of agents, tools and errors steer neither the terminal nor a CI's runner."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from agentgym.commands.main import main
from agentgym.runs.lines import harmless

STEERING = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)
COMMAND = re.compile(r"^\s*::|##\[", re.MULTILINE)
WORDS = [
    "\x1b[2J\x1b[31mred \x1b]8;;http://elsewhere.invalid\x07click\x1b]8;;\x07 \x9b1m",
    "file \u202egnp.exe\u2066 and \u200f more \u061c",
    "nothing\n::error file=shop.py::all is lost\n \t::set-output name=a::b",
    "##[error]all is lost ##[set-env name=A]b\r\n::stop-commands::x",
    # Wrapped at 80 columns, a line of it begins with the command.
    f"{'so many words ' * 12}\n{'::warning::w ' * 40}",
]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("  ::error::x", "  : :error::x"),
        ("\t::error::x", " : :error::x"),
        (":::a", ": ::a"),
        ("test_it.py::test_a", "test_it.py::test_a"),
        ("a ##[group]b", "a ## [group]b"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[38;2;1;2;3mred\x9b0m \x1b[2J\x1b[?25l\x1b(B\x1b7b", "red b"),
        ("\x1b]8;;http://a.invalid\x07one\x1b]8;;\x1b\\ \x1bPq#0\x1b\\two", "one two"),
        ("\x1b]0;a title without end", "0;a title without end"),
        ("a\x1b \x07", "a? ?"),
        ("[31m 3 [1]", "[31m 3 [1]"),
        ("grün 👍 日本", "grün 👍 日本"),
        ("a\xa0b\ud800", "a b?"),
    ],
)
def test_one_line_is_made_harmless_and_otherwise_kept(text, shown):
    assert harmless(text) == shown
    assert harmless(shown) == shown


@pytest.mark.parametrize(
    "options",
    [["-v"], ["-q", "-rA"], ["-n", "1"], ["--agentgym-gate=certified", "--tb=line"]],
    ids=" ".join,
)
def test_foreign_words_are_shown_and_do_nothing(gym, options, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    gym.conftest(f"""
        import agentgym, logging, pytest

        WORDS = {WORDS!r}

        @agentgym.tool
        def look(words):
            raise ValueError(WORDS[words])

        @agentgym.tool
        def repeat(words):
            print(WORDS[words])
            logging.getLogger("shop").warning(WORDS[words])
            return WORDS[words]

        def answer(message):
            how, number = message.split()
            words = int(number)
            if how == "raises":
                raise ValueError(WORDS[words])
            (look if how == "looks" else repeat)(words)
            return WORDS[words]

        @pytest.fixture
        def agent():
            return agentgym.wrap(answer)

        @pytest.fixture
        def stock(words):
            raise LookupError(WORDS[words])
    """)
    gym.file(f"""
        import pytest
        from agentgym import scenario

        every = pytest.mark.parametrize("words", range({len(WORDS)}))

        @every
        @pytest.mark.parametrize("how", ["repeats", "looks", "raises"])
        @scenario(episodes=2)
        def test_words(agent, how, words):
            run = agent.run(f"{{how}} {{words}}")
            assert run.reply == "the list"
            assert run.called("look", words=run.reply)

        @every
        @scenario(episodes=2)
        def test_fixture(agent, stock, words):
            assert agent.run(f"repeats {{words}}").reply
    """)
    plugins = ("xdist.plugin",) if "-n" in options else ()
    result = gym.start("--junitxml=out.xml", *options, plugins=plugins)
    said = result.stdout.str() + result.stderr.str()
    assert "all is lost" in said
    assert "first error: ValueError" in said or "--tb=line" in options
    assert "LookupError" in said
    assert STEERING.search(said) is None
    assert COMMAND.search(said) is None
    xml = (gym.pytester.path / "out.xml").read_text(encoding="utf-8")
    told = [*ElementTree.fromstring(xml).itertext(), xml]
    assert [text for text in told if STEERING.search(text)] == []
    assert [text for text in told if COMMAND.search(text)] == []
    # The record keeps the truth.
    kept = "".join(str(episode) for episode in gym.episodes())
    assert repr(WORDS[0])[1:20] in kept


def test_commands_show_foreign_words_likewise(gym, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    for reply in ("the list", "no"):
        gym.conftest(f"""
            import agentgym, pytest

            @pytest.fixture
            def agent():
                return agentgym.wrap(lambda message: {(reply + WORDS[2] + WORDS[3])!r})
        """)
        gym.file("""
            from agentgym import scenario

            @scenario(episodes=8, cases=8)
            def test_words(agent):
                assert agent.run("Please.").reply.startswith("the list")
        """)
        gym.start()
    monkeypatch.chdir(gym.pytester.path)
    assert main(["compare", "--show", "9"]) == 0
    assert main(["report", str(gym.runs[-1])]) == 0
    said = capsys.readouterr().out
    assert "all is lost" in said
    assert COMMAND.search(said) is None
    assert STEERING.search(said) is None
