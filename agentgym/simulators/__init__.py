"""Judges and simulated users: models of the user's that are not the agent."""
