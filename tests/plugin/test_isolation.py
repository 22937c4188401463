"""Episodes in processes of their own, which nothing of what they do can outlive."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from process_group import signal_when, start_group

CONFTEST = """
    import ctypes, os, re, time

    import agentgym
    import pytest

    CALLS = []
    WIDE = []


    @agentgym.tool
    def run_code(code: str) -> str:
        '''Runs it, whatever it is.'''
        CALLS.append(code)
        if code == "exit":
            os._exit(3)
        if code == "crash":
            ctypes.string_at(0)
        if code == "hang in C":
            re.match("(a+)+$", 64 * "a" + "b")
        if code == "wait":
            time.sleep(60)
        if code == "much memory":
            bytearray(4 * 1024**3)
        if code == "much time":
            while True:
                pass
        if code == "large file":
            with open("large", "wb") as file:
                file.write(bytes(2 * 1024**2))
        if code == "many files":
            [open("/dev/null") for _ in range(100)]
        if code == "key":
            return os.environ["MY_API_KEY"]
        if code == "kill itself":
            os.kill(os.getpid(), 9)
        if code == "children":
            os.system("sleep 61 &")
        if code == "past Python":
            os.system("echo from a shell")
        return code


    @pytest.fixture(scope="session")
    def wide():
        WIDE.append(1)
        yield WIDE
        WIDE.append("over")


    @pytest.fixture
    def agent():
        def answer(message):
            print("asked for", message)
            return f"{run_code(message)} {len(CALLS)}"

        return answer
"""


def write(pytester: pytest.Pytester, scenario: str, conftest: str = CONFTEST) -> None:
    pytester.makeconftest(conftest)
    pytester.makepyfile(test_it=scenario)


def run(pytester: pytest.Pytester, *options: str) -> pytest.RunResult:
    return pytester.runpytest_subprocess(
        "--agentgym", "-p", "no:randomly", *options, timeout=120
    )


def episodes(pytester: pytest.Pytester) -> list[dict[str, Any]]:
    lines = next(pytester.path.glob(".agentgym/runs/*/episodes.jsonl")).read_text()
    return sorted(map(json.loads, lines.splitlines()), key=lambda e: e["index"])


def played(pytester: pytest.Pytester) -> dict[str, dict[str, Any]]:
    """The episodes by what their cases are about."""
    return {eval(e["case"]["value"]): e for e in episodes(pytester)}


def test_whatever_ends_an_episode_ends_nothing_else(pytester: pytest.Pytester) -> None:
    write(
        pytester,
        """
        from agentgym import ProcessLimits, scenario

        CASES = ["fine", "exit", "crash", "much memory", "large file", "many files"]

        @scenario(
            cases=CASES + ["past Python", "key", "kill itself"],
            isolation=ProcessLimits(memory_mib=1024, file_mib=1, open_files=64),
        )
        def test_it(agent, case):
            run = agent.run(case.value)
            assert run.called("run_code", code=case.value)
            assert run.reply == f"{case.value} 1"
        """,
    )
    os.environ["MY_API_KEY"] = "3f9a1b7c5d2e8f60"
    try:
        result = run(pytester, "--agentgym-episodes", "9")
    finally:
        del os.environ["MY_API_KEY"]
    result.stdout.fnmatch_lines(["*2/8 passed, 1 do not count*"])
    by = played(pytester)
    assert {code: e["outcome"] for code, e in by.items()} == {
        "fine": "passed",
        "past Python": "passed",
        "exit": "failed",
        "crash": "failed",
        "much memory": "failed",
        "large file": "failed",
        "many files": "failed",
        "key": "failed",
        "kill itself": "harness_error",
    }
    assert by["exit"]["error"] == (
        "AgentError: its process ended with exit code 3 while run_code ran"
    )
    assert "was ended by SIGSEGV while run_code ran" in by["crash"]["error"]
    assert "Segmentation fault" in by["crash"]["output"]
    assert by["much memory"]["error"].startswith("MemoryError")
    assert "File too large" in by["large file"]["error"]
    assert "Too many open files" in by["many files"]["error"]
    assert by["past Python"]["output"] == "asked for past Python\nfrom a shell\n"
    # What it did before is known.
    [step] = by["exit"]["trajectory"]["steps"]
    assert step["tool_calls"][0]["arguments"] == {"code": "exit"}
    assert by["exit"]["checks"][0]["status"] == "not_reached"
    assert by["key"]["error"] == (
        "KeyError: 'MY_API_KEY' (MY_API_KEY is kept out of isolated processes: "
        'isolation=ProcessLimits(environment=("MY_API_KEY",)) lets it in)'
    )
    assert "was the memory of the machine used up?" in by["kill itself"]["error"]


def test_what_does_not_end_is_ended(pytester: pytest.Pytester) -> None:
    write(
        pytester,
        """
        from agentgym import ProcessLimits, scenario

        @scenario(
            cases=["hang in C", "much time", "children"],
            isolation=ProcessLimits(cpu_seconds=1),
            timeout=100,
        )
        def test_work(agent, case):
            assert agent.run(case.value).reply

        @scenario(cases=["wait"], isolation="process", timeout=2)
        def test_wait(agent, case):
            assert agent.run(case.value).reply
        """,
    )
    run(pytester, "--agentgym-episodes", "3")
    by = played(pytester)
    assert by["children"]["outcome"] == "passed"
    assert [by[code]["outcome"] for code in ("hang in C", "wait", "much time")] == (
        3 * ["failed"]
    )
    used = "its process used more than 1 seconds of processor time while run_code ran"
    assert by["hang in C"]["error"] == by["much time"]["error"] == f"AgentError: {used}"
    assert by["wait"]["error"].startswith("EpisodeTimeout")
    assert not sleeping("61"), "what a tool started is still running"


def test_a_process_that_gives_no_sign_of_life_is_killed(
    pytester: pytest.Pytester,
) -> None:
    write(
        pytester,
        """
        from agentgym import scenario

        @scenario(cases=["hang in C"], isolation="process", timeout=1)
        def test_it(agent, case):
            assert agent.run(case.value).reply
        """,
    )
    run(pytester, "--agentgym-episodes", "2")
    for episode in episodes(pytester):
        assert episode["outcome"] == "failed"
        assert episode["error"].startswith("EpisodeTimeout")
        assert episode["tools"][0]["name"] == "run_code"


@pytest.mark.parametrize("workers", [[], ["-n", "2"]], ids=["", "workers"])
def test_nothing_is_shared(pytester: pytest.Pytester, workers: list[str]) -> None:
    write(
        pytester,
        """
        import random

        import pytest
        from agentgym import scenario

        DRAWN = []

        @scenario(episodes=12, isolation="process")
        def test_it(agent, wide, monkeypatch, tmp_path, caplog):
            monkeypatch.setenv("ONLY_HERE", "1")
            assert wide == [1]
            assert not list(tmp_path.iterdir())
            (tmp_path / "file").write_text("1")
            import logging
            logging.getLogger().warning("noted")
            assert caplog.messages == ["noted"]
            run = agent.run(f"fine {random.random()}")
            assert run.reply.endswith(" 1")
        """,
    )
    result = run(pytester, *workers, "--agentgym-threshold", "1")
    result.stdout.fnmatch_lines(["reliability 100.0 % (12/12 episodes,*"])
    assert result.ret == 0
    found = episodes(pytester)
    assert all("asked for fine" in episode["output"] for episode in found)
    said = {episode["trajectory"]["messages"][0]["content"] for episode in found}
    assert len(said) == 12, "processes draw the same numbers"


def test_async_scenarios_and_their_fixtures(pytester: pytest.Pytester) -> None:
    write(
        pytester,
        """
        import asyncio

        import pytest
        from agentgym import scenario, wrap

        @pytest.fixture
        async def shelf():
            await asyncio.sleep(0)
            yield ["book"]

        @scenario(episodes=4, isolation="process", timeout=5)
        async def test_it(shelf):
            async def reply(message):
                await asyncio.sleep(0)
                return shelf.pop()
            run = await wrap(reply).run("what is there?")
            assert run.reply == "book"
        """,
    )
    result = run(pytester)
    result.stdout.fnmatch_lines(["reliability 100.0 % (4/4 episodes,*"])


def test_fixtures_that_fail_skip_or_end_the_run(pytester: pytest.Pytester) -> None:
    write(
        pytester,
        """
        import pytest
        from agentgym import scenario

        @pytest.fixture(scope="module")
        def broken():
            raise OSError("no shelf")

        @pytest.fixture(scope="module")
        def broken_end():
            yield
            raise OSError("no end")

        @pytest.fixture(scope="module")
        def missing():
            pytest.skip("no shelf here")

        @scenario(episodes=2, isolation="process")
        def test_broken(agent, broken):
            assert agent.run("fine").reply

        @scenario(episodes=2, isolation="process")
        def test_broken_end(agent, broken_end):
            assert agent.run("fine").reply

        @scenario(episodes=2, isolation="process")
        def test_missing(agent, missing):
            assert agent.run("fine").reply

        @scenario(episodes=2, isolation="process")
        def test_usage(agent, request):
            assert request.getfixturevalue("nobody")
        """,
    )
    result = run(pytester, "-rs")
    result.stdout.fnmatch_lines(
        [
            "*OSError: no shelf*",
            "*in the tear-down: *OSError*no end*",
            "SKIPPED *no shelf here",
        ]
    )
    assert "nobody" in result.stdout.str() + result.stderr.str()
    found = [e["outcome"] for e in episodes(pytester)]
    assert found == 4 * ["harness_error"]


def test_a_ctrl_c_ends_all_processes(pytester: pytest.Pytester) -> None:
    write(
        pytester,
        """
        from agentgym import scenario

        @scenario(cases=["fine", "wait"], episodes=8, isolation="process")
        def test_it(agent, case):
            assert agent.run(case.value).reply
        """,
    )
    options = ["-m", "pytest", "--agentgym", "-p", "no:randomly"]
    process = start_group([*options, "--agentgym-concurrency", "4"], pytester.path)

    def reached() -> bool:
        runs = pytester.path.glob(".agentgym/runs/*/episodes.jsonl")
        return any(len(file.read_text().splitlines()) >= 2 for file in runs)

    signal_when(process, reached)
    text = process.communicate(timeout=60)[0]
    assert "KeyboardInterrupt" in text
    assert {e["outcome"] for e in episodes(pytester)} == {"passed"}
    wait_for_end(process.pid)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="asks Linux")
def test_a_run_that_is_killed_leaves_no_process(pytester: pytest.Pytester) -> None:
    write(
        pytester,
        """
        from agentgym import scenario

        @scenario(cases=["wait"], isolation="process", episodes=4)
        def test_it(agent, case):
            open(f"begun-{case.repeat}", "w").close()
            assert agent.run(case.value).reply
        """,
    )
    process = start_group(["-m", "pytest", "--agentgym"], pytester.path)

    def reached() -> bool:
        return len(list(pytester.path.glob("begun-*"))) == 4

    deadline = time.monotonic() + 60
    while not reached() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert reached()
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    wait_for_end(process.pid)


def test_a_wrong_setting_is_one_sentence(pytester: pytest.Pytester) -> None:
    for setting, text in {
        "'container'": "choose 'process', or ProcessLimits(...)",
        "ProcessLimits(memory_mib=0)": "give a whole number of at least 1",
        "ProcessLimits(environment='KEY')": "give a tuple of the names of variables",
    }.items():
        write(
            pytester,
            f"""
            from agentgym import ProcessLimits, scenario

            @scenario(isolation={setting})
            def test_it(agent):
                assert agent.run("fine").reply
            """,
        )
        result = run(pytester)
        result.stdout.fnmatch_lines([f"*{text}*"])
        assert "Traceback" not in result.stdout.str()


def sleeping(seconds: str) -> list[int]:
    """Processes that sleep for so long."""
    return [
        int(folder.name)
        for folder in Path("/proc").glob("[0-9]*")
        if command(folder)[:2] == ["sleep", seconds]
    ]


def command(folder: Path) -> list[str]:
    try:
        return (folder / "cmdline").read_text().split("\0")
    except OSError:
        return []


def wait_for_end(session: int) -> None:
    """Waits until no process of this session is left."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if not (left := of_session(session)):
            return
        time.sleep(0.05)
    raise AssertionError(f"processes are left: {left}")


def of_session(session: int) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, number = (
                (folder / "stat").read_text().rpartition(")")[2].split()[:4]
            )
        except OSError:
            continue
        if int(number) == session and state != "Z":
            found.append(int(folder.name))
    return found
