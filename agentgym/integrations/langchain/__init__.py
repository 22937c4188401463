"""LangChain 1.x and LangGraph: any Runnable, watched through its callbacks.

A handler that is passed to each invocation sees the calls of models and tools, nested
graphs included; what runs within an agent of another kind gets one by LangChain's own
hook. `redirect` finds the `ChatOpenAI` models inside the runnable and lets
them ask the policy, in this driver's own invocations only.
"""

from __future__ import annotations

from typing import Any

from agentgym.integrations.langchain.driver import LangChainDriver
from agentgym.integrations.langchain.handler import watch

__all__ = ["TESTED", "driver", "watch"]

TESTED = ("1.4.7", "1.7.2")
"""Versions of langchain-core."""


def driver(agent: Any) -> LangChainDriver:
    """The driver of a runnable."""
    return LangChainDriver(agent)
