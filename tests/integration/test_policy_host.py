"""The policy server of a training, which is started again when it dies."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("agentlightning")

from agentgym.errors import UsageError
from agentgym.training.hub.gateway import Gateway
from agentgym.training.hub.host import RESTARTS, PolicyHost
from tests.tiny_policy import make_tiny

pytestmark = pytest.mark.slow


def kill_server(ready_of: PolicyHost) -> None:
    """Kills the one server that this process has started, which answers."""
    assert ready_of.sampled([1, 2, 3])
    command = ["pgrep", "-P", str(os.getpid()), "-f", "agentgym.policy.server"]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    pid = int(found.stdout)
    os.kill(pid, signal.SIGKILL)
    # It counts as running until its end was seen.
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def test_one_that_dies_again_and_again_is_given_up(tmp_path: Path) -> None:
    log, gateway = tmp_path / "policy.log", Gateway.start()
    model = make_tiny(tmp_path / "model")
    host = PolicyHost(model, tmp_path / "versions", gateway, log=log)
    host.start()
    try:
        for _ in range(RESTARTS):
            kill_server(host)
            assert host.revive()
        assert not host.revive()
        kill_server(host)
        wanted = rf"died 6 times; its output is in {log}; end what kills it, and go on"
        with pytest.raises(UsageError, match=wanted):
            host.revive()
    finally:
        host.close()
        gateway.close()
