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
    """)
    refused(gym, gym.run(), "test_asks")


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


def test_a_sync_scenario_uses_what_anyio_made(gym):
    pytest.importorskip("anyio")
    gym.file(f"""{HEAD}{ANYIO}
    @scenario(episodes=2)
    def test_sync(client):
        assert client == 7
    """)
    gym.run("-p", "anyio.pytest_plugin").assert_outcomes(passed=2)
