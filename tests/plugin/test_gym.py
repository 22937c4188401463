"""A pytest run within this process leaves the process as it was."""

from __future__ import annotations

import pytest


def test_a_run_that_asks_over_http_leaves_httpx_whole(gym):
    httpx = pytest.importorskip("httpx")
    source = """
        import httpx
        import pytest

        def test_nobody_answers():
            with httpx.Client() as client, pytest.raises(httpx.ConnectError):
                client.get("http://127.0.0.1:9")
    """
    gym.file(source)
    gym.run(agentgym=False).assert_outcomes(passed=1)
    with httpx.Client() as client, pytest.raises(httpx.ConnectError):
        client.get("http://127.0.0.1:9")
