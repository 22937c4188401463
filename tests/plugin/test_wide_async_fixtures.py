"""Async fixtures that outlive an episode: one sentence, or a value that works."""

from __future__ import annotations

import pytest

HEAD = """
    import pytest
    from agentgym import scenario

    @scenario(episodes=2)
    def test_played(agent):
        assert agent.run("look_up=7").called("look_up")
"""
MAKES = {
    "coroutine": "return 7",
    "generator": "yield 7",
}


def refused(gym, result, *names, fixture="client", scope="session"):
    """Asserts that these scenarios, and no others, were refused in one sentence."""
    text = result.stdout.str()
    for name in names:
        assert f"::{name}: the async fixture '{fixture}' (test_it.py:" in text, text
    assert f"has the scope '{scope}'" in text
    assert "AssertionError" not in text
    assert "Traceback" not in text
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    said = gym.summary()["decision"]["reasons"]
    assert [reason["kind"] for reason in said if fixture in str(reason)] == [
        "usage" for _ in names
    ]
    assert gym.summary()["episodes"]["passed"] == 2


@pytest.mark.parametrize("word", ["", "async "])
@pytest.mark.parametrize("make", MAKES)
@pytest.mark.parametrize("scope", ["session", "package", "module", "class"])
def test_refused_in_each_scenario_that_uses_it(gym, word, make, scope):
    gym.file(f"""{HEAD}
    @pytest.fixture(scope="{scope}")
    async def client():
        {MAKES[make]}

    @pytest.fixture
    def shop(client):
        return client

    @scenario(episodes=2)
    {word}def test_direct(client):
        assert True

    @scenario(episodes=2)
    {word}def test_transitive(shop):
        assert True
    """)
    refused(gym, gym.run(), "test_direct", "test_transitive", scope=scope)


@pytest.mark.parametrize("scope", ["function", "module"])
@pytest.mark.parametrize("word", ["", "async "])
def test_refused_where_it_is_asked_for_by_name(gym, word, scope):
    gym.file(f"""{HEAD}
    @pytest.fixture(scope="session")
    async def client():
        return 7

    @pytest.fixture(scope="{scope}")
    def shop(request):
        return request.getfixturevalue("client")

    @scenario(episodes=2)
    {word}def test_asks(shop):
        assert True

    @scenario(episodes=2)
    {word}def test_asks_too(shop):
        assert True
    """)
    refused(gym, gym.run(), "test_asks", "test_asks_too")


ANYIO = """
    @pytest.fixture(scope="session")
    def anyio_backend():
        return "asyncio"

    @pytest.fixture(scope="session")
    async def client(anyio_backend):
        return 7
"""


def test_an_async_scenario_cannot_use_what_anyio_made_for_another_test(gym):
    pytest.importorskip("anyio")
    gym.file(f"""{HEAD}{ANYIO}
    @pytest.mark.anyio
    async def test_plain(client):
        assert client == 7

    @scenario(episodes=2)
    async def test_async(client):
        assert client == 7
    """)
    result = gym.run("-p", "anyio.pytest_plugin")
    result.assert_outcomes(passed=2, errors=1)
    refused(gym, result, "test_async")


SHELF = """
    @pytest.fixture(scope="module")
    def shelf(request):
        return request.getfixturevalue("client")
"""
ASK_BY_NAME = {
    "module": """
    @pytest.fixture(scope="module")
    def shop(request):
        return request.getfixturevalue("client")
    """,
    "two of them": f"""{SHELF}
    @pytest.fixture(scope="module")
    def shop(request):
        yield request.getfixturevalue("shelf")
    """,
    "a factory": """
    @pytest.fixture(scope="module")
    def shelf(request):
        return request.getfixturevalue

    @pytest.fixture(scope="module")
    def shop(shelf):
        return shelf("client")
    """,
    "by the episode": f"""{SHELF}
    @pytest.fixture
    def shop(request):
        return request.getfixturevalue("shelf")
    """,
    "what it overrides": """
    @pytest.fixture(scope="module")
    def shop(request):
        return request.getfixturevalue("client")

    class TestShop:
        @pytest.fixture
        def shop(self, request):
            return request.getfixturevalue("shop")

        @scenario(episodes=2)
        async def test_async(self, shop):
            assert shop == 7
    """,
}


@pytest.mark.parametrize("asks", ASK_BY_NAME)
@pytest.mark.parametrize("first", ["the scenario", "another test"])
def test_an_async_scenario_cannot_use_what_another_fixture_asked_for(gym, asks, first):
    pytest.importorskip("anyio")
    another = """
    @pytest.mark.anyio
    async def test_plain(shop):
        assert shop == 7
    """
    before, after = (another, "") if first == "another test" else ("", another)
    gym.file(f"""{HEAD}{ANYIO}{before}{ASK_BY_NAME[asks]}
    @scenario(episodes=2)
    async def test_async(shop):
        assert shop == 7
    {after}""")
    result = gym.run("-p", "anyio.pytest_plugin")
    names = ["test_async"]
    if asks == "what it overrides":
        names.append("TestShop::test_async")
    refused(gym, result, *names)


@pytest.mark.parametrize("asks", ["client", "shelf"])
@pytest.mark.parametrize("word", ["", "async "])
def test_it_is_not_made_while_episodes_play(gym, word, asks):
    pytest.importorskip("anyio")
    gym.file(f"""{HEAD}{ANYIO}{SHELF}
    @pytest.fixture
    def shop(request):
        return request.getfixturevalue("{asks}")

    @scenario(episodes=2)
    {word}def test_asks(shop):
        assert shop == 7
    """)
    result = gym.run("-p", "anyio.pytest_plugin")
    refused(gym, result, "test_asks")
    told = "*and is asked for by name while an episode plays*"
    if word:
        told = "*and scenarios play on event loops of their own*"
    result.stdout.fnmatch_lines([told])


def test_it_can_be_asked_for_by_name_once_it_is_made(gym):
    pytest.importorskip("anyio")
    gym.file(f"""{HEAD}{ANYIO}
    @pytest.fixture
    def shop(request):
        return request.getfixturevalue("client")

    @scenario(episodes=2)
    def test_asks(shop, client):
        assert shop == client == 7
    """)
    assert gym.run("-p", "anyio.pytest_plugin").ret == 0


@pytest.mark.parametrize("asks", ["module", "two of them", "a factory"])
def test_a_sync_scenario_uses_what_anyio_made_for_another_fixture(gym, asks):
    pytest.importorskip("anyio")
    gym.file(f"""{HEAD}{ANYIO}{ASK_BY_NAME[asks]}
    @scenario(episodes=2)
    def test_sync(shop):
        assert shop == 7
    """)
    assert gym.run("-p", "anyio.pytest_plugin").ret == 0


def test_a_sync_scenario_uses_what_anyio_made(gym):
    pytest.importorskip("anyio")
    gym.file(f"""{HEAD}{ANYIO}
    @scenario(episodes=2)
    def test_sync(client):
        assert client == 7
    """)
    gym.run("-p", "anyio.pytest_plugin").assert_outcomes(passed=2)
