"""Classes of scenarios, the class form, and async scenarios."""

from __future__ import annotations

ASYNC_AGENT = """
    import asyncio
    import agentgym
    import pytest

    @agentgym.tool
    async def look_up(order):
        await asyncio.sleep(0.01)
        return "paid"

    @pytest.fixture
    def agent():
        async def obey(message):
            await look_up(order=message)
            return "done"
        return agentgym.wrap(obey)
"""


def test_a_class_gets_a_new_instance_and_setup_method_per_episode(gym):
    gym.file("""
        from agentgym import scenario

        class TestOrders:
            made = []

            def setup_method(self):
                # Of several threads: a sum would lose some.
                self.made.append(self)
                self.order = "7"

            def teardown_method(self):
                print("torn", "down")

            @scenario(episodes=3)
            def test_order(self, agent):
                assert not hasattr(self, "used")
                self.used = True
                run = agent.run(f"look_up={self.order}")
                assert run.called("look_up", order="7")

        def test_count():
            assert len(set(map(id, TestOrders.made))) == 3
    """)
    gym.run().assert_outcomes(passed=2)
    assert [e["outcome"] for e in gym.episodes()] == ["passed"] * 3
    assert gym.summary()["scenarios"][0]["name"] == "test_it.py::TestOrders::test_order"


def test_the_class_form(gym):
    gym.file("""
        from agentgym import Scenario

        class Base(Scenario):
            episodes = 2

        class Refund(Base):
            def create_environment(self):
                return [self.case.index]

            def play(self, agent, environment, tmp_path):
                assert environment == [self.case.index]
                assert tmp_path.is_dir()
                assert agent.run("look_up=7 refund=7").called("refund", order="7")

            def broadcast_rewards(self, trajectory):
                assert self.reward == 1
                return [0.25 for step in trajectory.steps]
    """)
    result = gym.run("-k", "Refund")
    result.assert_outcomes(passed=1)
    (found,) = gym.summary()["scenarios"]
    assert found["name"] == "test_it.py::Refund::play"
    assert found["passed"] == found["episodes"] == 2
    assert found["mean_reward"] == 0.25


def test_broadcast_rewards_of_the_wrong_length_is_one_sentence(gym):
    gym.file("""
        from agentgym import Scenario

        class Refund(Scenario):
            def play(self, agent):
                assert agent.run("look_up=7").called("look_up")

            def broadcast_rewards(self, trajectory):
                return []
    """)
    result = gym.run()
    assert result.ret == 4
    result.stdout.fnmatch_lines(
        ["*Refund.broadcast_rewards() returned []: give a list of 1 numbers in *"]
    )
    result.stdout.no_fnmatch_line("*Traceback*")


def test_async_scenarios_are_played_together_in_one_loop(gym):
    gym.conftest(ASYNC_AGENT)
    gym.file("""
        import asyncio
        import threading
        import pytest
        from agentgym import scenario

        loops, threads, open_now, most = set(), set(), 0, 0

        @pytest.fixture
        async def shop():
            global open_now, most
            open_now += 1
            most = max(most, open_now)
            yield "shop"
            await asyncio.sleep(0)
            open_now -= 1

        @pytest.fixture
        async def door(shop):
            return shop + " door"

        @scenario(episodes=8)
        async def test_order(agent, door):
            loops.add(asyncio.get_running_loop())
            threads.add(threading.get_ident())
            run = await agent.run("7")
            assert run.called("look_up", order="7")
            assert door == "shop door"
            async with asyncio.timeout(60):
                while most < 8:
                    await asyncio.sleep(0.01)

        def test_after():
            assert len(loops) == len(threads) == 1
            assert (most, open_now) == (8, 0)
    """)
    result = gym.run("-p", "no:randomly", "--agentgym-concurrency=8")
    result.assert_outcomes(passed=2)
    assert gym.summary()["episodes"]["passed"] == 8


def test_an_async_agent_plays_in_a_sync_scenario(gym):
    gym.conftest(ASYNC_AGENT)
    gym.file("""
        from agentgym import scenario

        @scenario
        def test_order(agent):
            assert agent.run("7").called("look_up")
    """)
    gym.run().assert_outcomes(passed=1)


def test_an_async_fixture_of_a_class_has_the_episodes_own_instance(gym):
    gym.file("""
        import pytest
        from agentgym import scenario

        class TestShop:
            @pytest.fixture
            async def shelf(self):
                self.shelf = []
                return self.shelf

            @scenario(episodes=4)
            async def test_shelf(self, shelf):
                assert self.shelf is shelf
    """)
    gym.run().assert_outcomes(passed=1)
    assert gym.summary()["episodes"]["passed"] == 4
