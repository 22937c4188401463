"""One running thing per version and process, until nobody uses it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from agentgym.endpoint import PolicyEndpoint
from agentgym.policy.trained.sharing import Shared


class Fake:
    """A server that starts slowly."""

    started = 0

    def __init__(self) -> None:
        type(self).started += 1
        threading.Event().wait(0.02)
        self.endpoint = PolicyEndpoint("http://fake/v1", "key", "fake")
        self.running = True

    def alive(self) -> bool:
        return self.running

    def stop(self) -> None:
        self.running = False


@pytest.fixture
def server() -> type[Fake]:
    class Counted(Fake):
        started = 0

    return Counted


def test_all_who_ask_share_one(server: type[Fake]) -> None:
    shared = Shared()
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda i: shared.get("a", i, server), range(8)))
    assert (len(found), server.started) == (1, 1)
    assert shared.get("b", 0, server) not in found
    assert server.started == 2


def test_it_ends_with_the_last_who_uses_it(server: type[Fake]) -> None:
    shared = Shared()
    one, other = shared.get("a", "ann", server), shared.get("b", "ann", server)
    assert shared.get("a", "bob", server) is one
    shared.release("ann")
    assert (one.alive(), other.alive()) == (True, False)
    shared.release("ann")
    shared.release("nobody")
    assert one.alive()
    shared.release("bob")
    assert not one.alive()
    assert shared.get("a", "ann", server).alive()


def test_one_that_died_is_replaced(server: type[Fake]) -> None:
    shared = Shared()
    first = shared.get("a", "ann", server)
    first.stop()
    second = shared.get("a", "bob", server)
    assert second.alive()
    shared.release("bob")
    # Whoever used the first may ask again, and still holds it.
    assert shared.get("a", "ann", server) is second


def test_a_start_that_fails_leaves_nothing() -> None:
    def broken() -> Fake:
        raise ZeroDivisionError

    shared = Shared()
    with pytest.raises(ZeroDivisionError):
        shared.get("a", "ann", broken)
    shared.release("ann")
    shared.stop_all()


def test_a_forked_process_starts_its_own_and_ends_only_that(
    server: type[Fake], monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = Shared()
    parent = shared.get("a", "ann", server)
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", lambda: -1)
        child = shared.get("a", "ann", server)
        assert child is not parent
        shared.stop_all()
    assert (parent.alive(), child.alive()) == (True, False)


def test_all_end_with_the_process() -> None:
    code = (
        "from agentgym.policy.trained.sharing import Shared\n"
        "from tests.unit.test_sharing import Fake\n"
        "Fake.stop = lambda self: print('stopped')\n"
        "Shared().get('a', 1, Fake)\n"
        "print('end')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["end", "stopped"]
