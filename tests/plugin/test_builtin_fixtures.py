"""pytest's own fixtures, and those of its plugins, are fresh in each episode."""

from __future__ import annotations

import pytest

EACH = {
    "caplog of its own records": """
        @pytest.fixture
        def noisy(caplog):
            logging.getLogger("shop").warning("set-up")
            yield
            logging.getLogger("shop").warning("tear-down")

        @scenario(episodes=4)
        def test_it(agent, case, noisy, caplog):
            assert caplog.text == ""
            agent.run(f"log={case.index}")
            assert caplog.messages == [f"order {case.index}"]
            assert caplog.text.count("order") == 1
            assert [r.message for r in caplog.get_records("setup")] == ["set-up"]
            caplog.clear()
            assert not caplog.records
    """,
    "async caplog": """
        @scenario(episodes=4)
        async def test_it(agent, case, caplog):
            await agent.run(f"log={case.index}")
            assert caplog.messages == [f"order {case.index}"]
    """,
    "the level of caplog": """
        @scenario(episodes=4)
        def test_it(agent, case, caplog):
            assert not logging.getLogger("shop").isEnabledFor(logging.DEBUG)
            caplog.set_level(logging.DEBUG, "shop")
            logging.getLogger("shop").debug("small")
            assert agent.run("hi").reply
            assert caplog.messages == ["small"]
    """,
    "capsys": """
        @scenario(episodes=4)
        def test_it(agent, case, capsys):
            agent.run(f"print={case.index}")
            assert capsys.readouterr().out == f"{case.index}\\n"
            print("left unread")
    """,
    "capfd": """
        @scenario(episodes=4)
        def test_it(agent, case, capfd):
            os.write(1, b"raw")
            assert agent.run("hi").reply
            assert capfd.readouterr().out == "raw"
            os.write(1, b"left unread")
    """,
    "recwarn": """
        @scenario(episodes=4)
        def test_it(agent, case, recwarn):
            warnings.warn("old")
            assert agent.run("hi").reply
            assert len(recwarn) == 1
    """,
    "monkeypatch": """
        @scenario(episodes=4)
        def test_it(agent, case, monkeypatch):
            assert "ORDER" not in os.environ
            monkeypatch.setenv("ORDER", str(case.index))
            agent.run("sleep=0.02")
            assert os.environ["ORDER"] == str(case.index)
    """,
    "tmp_path and tmpdir": """
        @scenario(episodes=4)
        def test_it(agent, case, tmp_path, tmpdir):
            assert not list(tmp_path.iterdir())
            (tmp_path / "order").touch()
            assert agent.run("hi").reply
            assert str(tmpdir) == str(tmp_path)
    """,
    "what is recorded of the item": """
        @scenario(episodes=4)
        def test_it(agent, case, record_property, cache, pytestconfig):
            record_property("case", case.index)
            assert agent.run("hi").reply
            assert cache.get("nothing", 3) == 3
    """,
}


@pytest.mark.parametrize("source", EACH.values(), ids=EACH)
def test_each_episode_has_its_own(gym, source):
    gym.more_conftest("""
        import logging

        def obeys(message):
            name, _, value = message.partition("=")
            if name == "log":
                logging.getLogger("shop").warning("order %s", value)
                return message
            return obey(message)

        @pytest.fixture
        def agent():
            return agentgym.wrap(obeys)
    """)
    head = (
        "import logging, os, warnings\nimport pytest\nfrom agentgym import scenario\n"
    )
    path = gym.file(source)
    path.write_text(head + path.read_text())
    result = gym.start("--agentgym-concurrency=4")
    assert gym.summary()["episodes"] == {
        **dict.fromkeys(gym.summary()["episodes"], 0),
        "passed": 4,
    }, result.outlines


def test_what_another_episode_logged_makes_no_check_hold(gym):
    gym.file("""
        import logging
        from agentgym import scenario

        @scenario(episodes=4)
        def test_logged(agent, case, caplog):
            agent.run("hi")
            if case.index == 0:
                logging.getLogger("shop").warning("refund")
            assert "refund" in caplog.messages
    """)
    gym.start()
    assert [e["outcome"] for e in gym.episodes()] == ["passed", *["failed"] * 3]


def test_an_abandoned_episode_logs_into_no_other_one(gym):
    gym.file("""
        import logging, threading, time
        from agentgym import scenario

        wake, written = threading.Event(), threading.Event()

        @scenario(episodes=2, timeout=1)
        def test_late(agent, case, caplog):
            if case.index == 0:
                wake.wait(60)
                logging.getLogger("shop").warning("late")
                written.set()
                return
            wake.set()
            assert written.wait(60)
            assert agent.run("hi").reply
            assert caplog.messages == []
    """)
    gym.start("--agentgym-timeout=60")
    assert [e["outcome"] for e in gym.episodes()] == ["failed", "passed"]


def test_only_who_asks_for_the_output_takes_it_from_the_episode(gym):
    gym.file("""
        from agentgym import scenario

        @scenario(episodes=1)
        def test_patched(agent, monkeypatch, caplog):
            assert agent.run("print=hello").reply

        @scenario(episodes=1)
        def test_captured(agent, capsys):
            assert agent.run("print=hello").reply
    """)
    gym.start()
    captured, patched = gym.episodes()
    assert patched["output"] == "hello\n"
    assert captured["output"] == ""


def test_a_process_wide_fixture_must_be_named(gym):
    gym.file("""
        from agentgym import scenario

        @scenario(episodes=2)
        def test_order(agent, request):
            request.getfixturevalue("monkeypatch")
            assert agent.run("hi").reply
    """)
    result = gym.start()
    assert result.ret == 4
    result.stdout.fnmatch_lines(
        [
            "*test_order: 'monkeypatch' changes the whole process, so episodes that*",
        ]
    )


def test_another_plugins_patches_run_one_at_a_time(gym):
    gym.more_conftest("""
        @pytest.fixture
        def mocker():
            return None
    """)
    gym.turns(fixtures="agent, mocker", episodes=4, most=1)
    gym.run("--agentgym-concurrency=4").assert_outcomes(passed=2)


def test_the_asserts_within_subtests_are_checks(gym):
    gym.file("""
        from agentgym import scenario

        @scenario(episodes=3)
        def test_order(agent, case, subtests):
            run = agent.run("hi")
            with subtests.test("first", order=7):
                assert case.index > 0
            with subtests.test():
                if case.index == 1:
                    raise LookupError("in a block")
                assert run.reply
    """)
    gym.start()
    found = [e["outcome"] for e in gym.episodes()]
    assert found == ["failed", "failed", "passed"]
    assert gym.episodes()[1]["error"] == "LookupError: in a block"
