"""Existing agents, unchanged, as agents that a scenario can run and question."""

from agentgym.integrations.frameworks import redirect, wrap
from agentgym.integrations.functions import tool
from agentgym.integrations.protocol import Agent

__all__ = ["Agent", "redirect", "tool", "wrap"]
