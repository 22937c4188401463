"""Scenarios made of conversations that happened: `agentgym import`."""
