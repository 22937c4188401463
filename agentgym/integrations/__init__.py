"""Existing agents, unchanged, as agents that a scenario can run and question."""

from agentgym.integrations.functions import tool
from agentgym.integrations.protocol import Agent, wrap

__all__ = ["Agent", "tool", "wrap"]
