"""Values of the user's that raise, sleep or grow without end lose no episode."""

from __future__ import annotations

import pytest

UNKIND = '''
import asyncio, collections.abc, logging, threading
import agentgym
import pytest


def raises(kind):
    def method(*args):
        raise kind("no picture of this")
    return method


def printed(kind):
    return type("Unkind", (), {"__repr__": raises(kind), "__str__": raises(kind)})()


class Odd:
    """Every question to it raises."""
    __repr__ = __str__ = __eq__ = __bool__ = __len__ = __iter__ = raises(SystemExit)
    __getattr__ = __reduce__ = __reduce_ex__ = __int__ = __float__ = raises(SystemExit)
    __hash__ = None
    __class__ = property(raises(SystemExit))


class OddList(list):
    __iter__ = __len__ = __getitem__ = __bool__ = __repr__ = raises(SystemExit)


class OddDict(dict):
    __iter__ = __len__ = items = keys = __bool__ = __repr__ = raises(SystemExit)


class OddText(str):
    __str__ = __repr__ = __len__ = isascii = encode = raises(SystemExit)


class OddNumber(int):
    __repr__ = __str__ = bit_length = __int__ = __index__ = raises(SystemExit)


class OddFloat(float):
    __repr__ = __str__ = __sub__ = __float__ = raises(SystemExit)


class Endless(collections.abc.Mapping):
    def __getitem__(self, key):
        return key
    def __iter__(self):
        n = 0
        while True:
            yield n
            n += 1
    def __len__(self):
        return 1


def doubling():
    """A few lists that print as 2 ** 60."""
    value = []
    for _ in range(60):
        value = [value, value]
    return value


def doubling_dict():
    value = {}
    for _ in range(60):
        value = {"left": value, "right": value}
    return value


def deep():
    value = []
    for _ in range(50_000):
        value = [value]
    return value


class Wordless(Exception):
    __str__ = __repr__ = raises(SystemExit)
    __reduce__ = __reduce_ex__ = raises(SystemExit)


class Wordy(Exception):
    def __str__(self):
        return "x" * 30_000_000


class Slow:
    def __repr__(self):
        threading.Event().wait(60)
        return "slow"
    __str__ = __repr__


VALUES = {
    **{f"raises {kind.__name__}": lambda kind=kind: printed(kind) for kind in (
        SystemExit, KeyboardInterrupt, GeneratorExit, RecursionError, MemoryError,
        asyncio.CancelledError, StopIteration, agentgym.UsageError,
    )},
    "odd": Odd, "odd list": lambda: OddList([1]), "odd dict": lambda: OddDict(a=1),
    "odd text": lambda: OddText("x" * 60), "odd number": lambda: OddNumber(3),
    "odd float": lambda: OddFloat(3), "endless": Endless, "doubling": doubling,
    "doubling dict": doubling_dict, "deep": deep, "long": lambda: "x" * 30_000_000,
    "long repr": lambda: type("Long", (), {"__repr__": lambda s: "x" * 30_000_000})(),
    "wide": lambda: [["x" * 40] * 1000] * 1000, "key": lambda: {printed(SystemExit): 1},
    "nested": lambda: {"a": [printed(SystemExit)]},
    "foreign": lambda: "\\u4e00" * 10**7,
}
ERRORS = {
    "wordless": Wordless, "wordy": Wordy,
    "group": lambda: ExceptionGroup("several", [Wordless()]),
    "odd argument": lambda: ValueError(Odd()),
}
'''

CONFTEST = (
    UNKIND
    + """
@agentgym.tool
def look(make):
    return make()

@agentgym.tool
def take(value):
    return 1

@agentgym.tool
def fail(make):
    raise make()

@pytest.fixture
def agent(case):
    def ask(message):
        if case.index == 0:
            how, _, name = message.partition(" ")
            make = (VALUES | ERRORS).get(name)
            if how == "looks":
                take(value=look(make))
            elif how == "fails":
                fail(make)
            elif how == "swallows":
                try:
                    fail(make)
                except Exception:
                    pass
            elif how == "raises":
                raise make()
            elif how == "returns":
                return make()
        return "Done."
    return ask
"""
)


def play(gym, source, *args, plugins=()):
    """Plays, and returns the episodes; nothing may have ended the run."""
    gym.conftest(CONFTEST)
    head = "import pytest\nfrom agentgym import scenario\nfrom conftest import *\n"
    path = gym.file(source)
    path.write_text(head + path.read_text())
    result = gym.start(*args, plugins=plugins)
    assert result.ret in (0, 1), result.outlines
    text = result.stdout.str() + result.stderr.str()
    assert "INTERNALERROR" not in text
    assert "Traceback" not in text
    size = (gym.runs[-1] / "episodes.jsonl").stat().st_size
    return gym.episodes(), size


def outcomes(episodes):
    """By parameter set, in the order of the episodes."""
    found = {}
    for episode in episodes:
        found.setdefault(episode["scenario"], []).append(episode["outcome"])
    return found


SYNC_AND_ASYNC = pytest.mark.parametrize(
    ("define", "wait"), [("def", ""), ("async def", "await ")]
)


@SYNC_AND_ASYNC
def test_results_and_arguments_change_no_outcome(gym, define, wait):
    episodes, size = play(
        gym,
        f"""
        @pytest.mark.parametrize("name", list(VALUES))
        @scenario(episodes=2)
        {define} test_look(agent, name):
            run = {wait}agent.run("looks " + name)
            assert run.reply == "Done."
            assert not run.errors
        """,
    )
    found = outcomes(episodes)
    assert len(found) == 24
    assert set(map(tuple, found.values())) == {("passed", "passed")}
    assert size / len(episodes) < 1_000_000


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    ("how", "first"),
    [("fails", "failed"), ("raises", "failed"), ("swallows", "passed")],
)
def test_errors_are_the_agents_whatever_they_say(gym, how, first, workers):
    episodes, size = play(
        gym,
        f"""
        @pytest.mark.parametrize("name", list(ERRORS))
        @scenario(episodes=2)
        def test_look(agent, name):
            run = agent.run("{how} " + name)
            assert run.reply == "Done."
        """,
        *(("-n", str(workers)) if workers else ()),
        plugins=("xdist",) if workers else (),
    )
    found = outcomes(episodes)
    assert len(found) == 4
    assert set(map(tuple, found.values())) == {(first, "passed")}
    assert size / len(episodes) < 200_000


def test_replies_cases_and_what_is_printed(gym):
    episodes, _ = play(
        gym,
        """
        @pytest.mark.parametrize("name", list(VALUES))
        @scenario(episodes=2)
        def test_reply(agent, name):
            run = agent.run("returns " + name)
            assert isinstance(run.reply, str)

        @scenario(episodes=len(VALUES), cases=[make() for make in VALUES.values()])
        def test_case(agent, case):
            assert agent.run("hello").reply == "Done."

        @scenario(episodes=2)
        def test_printed(agent, case):
            if case.index == 0:
                print("y" * 30_000_000)
            assert agent.run("hello").reply == "Done."
        """,
    )
    assert {episode["outcome"] for episode in episodes} == {"passed"}
    assert len(episodes) == 24 * 2 + 24 + 2
    for episode in episodes:
        assert len(episode["output"]) < 100_000
        assert len(episode["case"]["value"] or "") <= 500


def test_what_a_check_compares(gym):
    """pytest prints the values of an assert that does not hold."""
    episodes, _ = play(
        gym,
        """
        @pytest.mark.parametrize("name", list(VALUES))
        @scenario(episodes=2)
        def test_look(agent, case, name):
            run = agent.run("looks " + name)
            if case.index == 0:
                assert run.calls[0].result is None
                assert run.called("look", make=lambda value: 1 / 0)
            assert run.reply == "Done."
        """,
    )
    assert {tuple(v) for v in outcomes(episodes).values()} == {("failed", "passed")}


@pytest.mark.slow
@SYNC_AND_ASYNC
def test_a_value_that_sleeps_holds_up_nobody_and_changes_no_outcome(gym, define, wait):
    episodes, _ = play(
        gym,
        f"""
        @pytest.mark.parametrize("how", ["result", "case", "error"])
        @scenario(episodes=3, timeout=2)
        {define} test_look(agent, case, how):
            if case.index == 0 and how == "case":
                object.__setattr__(case, "value", Slow())
            run = {wait}agent.run("hello")
            if case.index == 0 and how == "result":
                look(Slow)
            assert run.reply == "Done."
            if case.index == 0 and how == "error":
                raise ValueError(Slow())
        """,
        "--agentgym-concurrency=3",
    )
    assert outcomes(episodes) == {
        "test_it.py::test_look[result]": ["passed"] * 3,
        "test_it.py::test_look[case]": ["passed"] * 3,
        "test_it.py::test_look[error]": ["failed", "passed", "passed"],
    }
    shown = episodes[6]["trajectory"]["steps"][0]["tool_calls"][0]["result"]
    assert shown == "<Slow that takes too long to be shown>"
    assert all(episode["duration"] < 20 for episode in episodes)


USAGE = """
    import httpx, openai, pytest
    from agentgym.integrations.openai import record_openai

    COUNTS = {counts}

    @pytest.fixture
    def agent(case):
        def ask(message):
            said = {{"role": "assistant", "content": "Done."}}
            body = {{
                "id": "1", "object": "chat.completion", "created": 0, "model": "m",
                "choices": [{{"index": 0, "finish_reason": "stop", "message": said}}],
                "usage": {{
                    "prompt_tokens": COUNTS[case.index], "completion_tokens": 5,
                    "total_tokens": 5,
                }},
            }}
            http = httpx.Client(
                transport=httpx.MockTransport(lambda _: httpx.Response(200, json=body))
            )
            client = record_openai(openai.OpenAI(
                base_url="http://model.invalid/v1", api_key="none", http_client=http,
            ))
            told = [{{"role": "user", "content": message}}]
            answer = client.chat.completions.create(model="m", messages=told)
            return answer.choices[0].message.content
        return ask
"""


def test_numbers_of_tokens_that_are_none(gym):
    pytest.importorskip("openai")
    counts = ["about 12", None, -3, 1e300, [1], {"a": 1}, 10**30, 12.0, 12]
    gym.conftest(USAGE.format(counts=repr(counts)))
    gym.file(f"""
        from agentgym import scenario

        @scenario(episodes={len(counts)}, cases={len(counts)})
        def test_look(agent):
            run = agent.run("hello")
            assert run.reply == "Done."
            assert run.tokens < 100
    """)
    gym.start()
    episodes = gym.episodes()
    assert {episode["outcome"] for episode in episodes} == {"passed"}
    assert [episode["tokens"] for episode in episodes] == [5] * 7 + [17] * 2


@pytest.mark.slow
def test_an_episode_of_many_megabytes_is_cut_and_says_so(gym):
    episodes, size = play(
        gym,
        """
        @pytest.mark.parametrize("text", ["a", "\u4e00"], ids=["ascii", "chinese"])
        @scenario(episodes=1)
        def test_look(agent, text):
            run = None
            for number in range(900):
                run = agent.run(f"{number} " + text * 15_000)
                take({"page": text * 15_000})
            assert run.reply == "Done."
        """,
        "--agentgym-max-tool-calls=1000",
    )
    assert size / len(episodes) < 5_000_000
    for episode in episodes:
        assert episode["outcome"] == "passed"
        messages = episode["trajectory"]["messages"]
        assert messages[0]["content"].startswith("0 ")
        assert messages[-2]["content"].endswith("messages cut]")
        assert messages[-1]["content"] == "Done."
        steps = episode["trajectory"]["steps"]
        assert len(steps) == 900
        last = steps[-1]["tool_calls"][0]["arguments"]
        assert last == {"...": "[1 items cut]"}


def test_an_episode_that_a_hook_made_unfit_is_lost_alone(gym):
    gym.more_conftest("""
        def pytest_agentgym_reward_computed(item, episode):
            if episode.index == 1:
                loop = []
                loop.append(loop)
                episode.checks.append(loop)
    """)
    gym.file("""
        from agentgym import scenario

        @scenario(episodes=3)
        def test_order(agent):
            assert agent.run("look_up=7").called("look_up")
    """)
    result = gym.start()
    assert result.ret == 6
    found = [(e["outcome"], e["error"]) for e in gym.episodes()]
    assert [outcome for outcome, _ in found] == ["passed", "harness_error", "passed"]
    assert found[1][1].startswith("HarnessError: the episode cannot be kept: ")
