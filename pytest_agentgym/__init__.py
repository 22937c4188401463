"""The pytest plugin of agentgym."""
