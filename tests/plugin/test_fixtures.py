"""Function-scoped fixtures are fresh per episode; the others are shared."""

from __future__ import annotations

import pytest


def test_fresh_per_episode_with_teardown_and_shared_in_wider_scopes(gym):
    gym.file("""
        import pytest
        from agentgym import scenario

        log = []

        @pytest.fixture(scope="session")
        def bank():
            log.append("session")
            return []

        @pytest.fixture(scope="module")
        def shop(bank):
            log.append("module")
            yield {"bank": bank}
            log.append("module over")

        @pytest.fixture
        def basket(shop):
            log.append("basket")
            yield []
            log.append("basket over")

        @pytest.fixture
        def till(basket, request):
            request.addfinalizer(lambda: log.append("till over"))
            return basket

        @scenario(episodes=5)
        def test_order(agent, basket, till, shop):
            assert basket is till
            assert basket == []
            basket.append(agent.run("look_up=7").reply)

        def test_after():
            assert log[:2] == ["session", "module"]
            count = {word: log.count(word) for word in log}
            assert count == {"session": 1, "module": 1, "basket": 5, "till over": 5,
                             "basket over": 5}
            assert log[-2:] == ["till over", "basket over"]
    """)
    gym.run().assert_outcomes(passed=2)
    assert gym.summary()["episodes"]["passed"] == 5


def test_an_override_gets_the_fixture_that_it_overrides(gym):
    gym.more_conftest("""
        @pytest.fixture
        def instructions(instructions):
            return instructions + " Be kind."
    """)
    gym.file("""
        import pytest
        from agentgym import scenario, wrap

        @pytest.fixture
        def instructions(instructions):
            return instructions + " Be brief."

        @pytest.fixture
        def agent(agent, instructions):
            return wrap(lambda message: agent.run("look_up=7").reply + instructions)

        @scenario(episodes=2)
        def test_order(agent):
            run = agent.run("hi")
            assert run.reply == (
                "look_up=7You are a helpful assistant. Be kind. Be brief."
            )
    """)
    gym.run().assert_outcomes(passed=1)


def test_an_async_override_gets_the_async_fixture_that_it_overrides(gym):
    gym.more_conftest("""
        import pytest

        made = []

        @pytest.fixture
        async def shop():
            made.append("shop")
            yield "shop"
            made.append("shop over")

        @pytest.fixture
        async def street(shop):
            return "street"
    """)
    gym.file("""
        import pytest
        from agentgym import scenario
        from conftest import made

        @pytest.fixture
        def street(street, shop):
            return [street, shop]

        @pytest.fixture
        async def sign(shop):
            return f"the sign of {shop}"

        @pytest.fixture
        async def shop(shop, sign):
            yield [shop, sign]
            made.append("override over")

        @scenario(episodes=2)
        async def test_shop(agent, shop, street):
            assert shop == ["shop", "the sign of shop"]
            assert street == ["street", shop]
            assert (await agent.run("hi")).reply

        def test_after():
            assert made.count("shop") == made.count("shop over") == 2
            assert made.count("override over") == 2
            assert made[-2:] == ["override over", "shop over"]
    """)
    gym.run().assert_outcomes(passed=2)


def test_parametrized_and_autouse_fixtures(gym):
    gym.file("""
        import pytest
        from agentgym import scenario

        seen = []

        @pytest.fixture(params=["7", "8"])
        def order(request):
            return request.param

        @pytest.fixture(params=["a"], scope="module")
        def shop(request):
            return request.param

        @pytest.fixture(autouse=True)
        def note(request):
            seen.append((request.episode, request.case.index))

        @scenario(episodes=3)
        def test_order(agent, order, shop):
            assert agent.run(f"look_up={order}").called("look_up", order=order)
            assert shop == "a"

        def test_after(note):
            pass
    """)
    result = gym.run("-k", "test_order")
    result.assert_outcomes(passed=2)
    names = sorted(s["name"] for s in gym.summary()["scenarios"])
    assert names == ["test_it.py::test_order[a-7]", "test_it.py::test_order[a-8]"]


def test_tmp_path_is_another_one_in_each_episode(gym):
    gym.file("""
        from agentgym import scenario

        @scenario(episodes=6)
        def test_files(agent, tmp_path):
            assert list(tmp_path.iterdir()) == []
            (tmp_path / "order").write_text(agent.run("hi").reply)
    """)
    gym.run().assert_outcomes(passed=1)
    gym.run().assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("fixtures", "most"), [("agent, monkeypatch", "1"), ("agent", "4")]
)
def test_process_wide_fixtures_make_episodes_take_turns(gym, fixtures, most):
    gym.turns(fixtures=fixtures, episodes=4, most=most)
    gym.run("--agentgym-concurrency=4").assert_outcomes(passed=2)


def test_monkeypatch_is_undone_after_each_episode(gym):
    gym.file("""
        import os
        from agentgym import scenario

        @scenario(episodes=3)
        def test_env(agent, monkeypatch):
            assert "SHOP" not in os.environ
            monkeypatch.setenv("SHOP", agent.run("hi").reply)
    """)
    gym.run().assert_outcomes(passed=1)


def test_a_missing_fixture_is_one_sentence(gym):
    gym.file("""
        from agentgym import scenario

        @scenario
        def test_order(agent, warehouse):
            assert agent.run("hi").reply
    """)
    result = gym.run()
    assert result.ret == 4
    result.stdout.fnmatch_lines(
        [
            "test_it.py::test_order: there is no fixture 'warehouse'; write one in "
            "conftest.py (pytest --fixtures lists those that exist)"
        ]
    )
    result.stdout.no_fnmatch_line("*Traceback*")


@pytest.mark.parametrize(
    "body", ["raise OSError('no shop')", "yield; raise OSError('no shop')"]
)
def test_a_fixture_that_raises_is_the_harness_and_cannot_be_judged(gym, body):
    gym.file(f"""
        import pytest
        from agentgym import scenario

        @pytest.fixture
        def shop():
            {body}

        @scenario(episodes=4)
        def test_order(agent, shop):
            assert agent.run("look_up=7").called("look_up")
    """)
    result = gym.run()
    assert result.ret == 6
    assert gym.summary()["episodes"]["harness_error"] == 4
    result.stdout.fnmatch_lines(
        [
            "4 harness_error: OSError: no shop (test_it.py:[678] in shop)",
            "*4 x harness_error:*",
            "*OSError: no shop*",
            "CANNOT JUDGE: 4 of 4 *",
        ]
    )


def test_a_session_fixture_that_raises_is_an_ordinary_error(gym):
    gym.file("""
        import pytest
        from agentgym import scenario

        @pytest.fixture(scope="session")
        def shop():
            raise OSError("no shop")

        @scenario(episodes=4)
        def test_order(agent, shop):
            assert agent.run("look_up=7").called("look_up")
    """)
    result = gym.run()
    result.assert_outcomes(errors=1)
    # Nothing is known of the agent.
    assert result.ret == 6


def test_agents_that_build_their_client_inside_take_turns(gym):
    """The environment names the policy; a real client reads it from there."""
    pytest.importorskip("openai")
    gym.conftest("""
        import pytest, threading
        from agentgym.testing import ScriptedModel, say

        @pytest.fixture(scope="session")
        def model():
            with ScriptedModel([say("hello").after(0.05)]) as model:
                yield model

        @pytest.fixture
        def policy(model):
            return model.endpoint

        lock, inside, most = threading.Lock(), 0, []

        def run(message):
            global inside
            import openai

            with lock:
                inside += 1
                most.append(inside)
            with openai.OpenAI(max_retries=0) as client:
                answer = client.chat.completions.create(
                    model="scripted", messages=[{"role": "user", "content": message}]
                )
            with lock:
                inside -= 1
            return answer.choices[0].message.content

        @pytest.fixture
        def agent(policy_environment):
            return run
    """)
    gym.file("""
        import conftest, os
        from agentgym import scenario

        @scenario(episodes=4)
        def test_hello(agent):
            assert agent.run("hi").reply == "hello"

        def test_after():
            assert max(conftest.most) == 1
            assert "OPENAI_BASE_URL" not in os.environ
    """)
    gym.run("--agentgym-concurrency=4").assert_outcomes(passed=2)


@pytest.mark.parametrize("define", ["def", "async def"])
def test_a_stop_iteration_of_a_fixture_is_shown_as_itself(gym, define):
    gym.file(f"""
        import pytest
        from agentgym import scenario

        @pytest.fixture
        def order():
            return next(iter([]))

        @scenario(episodes=1)
        {define} test_order(order):
            assert order
    """)
    gym.run()
    (episode,) = gym.episodes()
    assert episode["outcome"] == "harness_error"
    assert episode["error"] == "StopIteration (test_it.py:7 in order)"


@pytest.mark.parametrize("way", ["argument", "getfixturevalue", "neither"])
def test_a_policy_counts_however_it_is_asked_for(gym, way):
    from agentgym.testing import ScriptedModel

    argument = ", policy" if way == "argument" else ""
    asked = 'request.getfixturevalue("policy")' if way == "getfixturevalue" else "None"
    gym.conftest(f"""
        import pytest

        @pytest.fixture
        def agent(request{argument}):
            endpoint = {asked}
            return lambda message: message
    """)
    gym.file("""
        from agentgym import scenario

        @scenario(episodes=3)
        def test_it(agent):
            assert agent.run("Hello").reply
    """)
    with ScriptedModel(["Hello"], name="desk") as model:
        spec = f"{model.base_url}#desk"
        gym.run("--agentgym-policy", spec).assert_outcomes(passed=1)
    wanted = None if way == "neither" else spec
    assert [e["policy"] for e in gym.episodes()] == [wanted] * 3
